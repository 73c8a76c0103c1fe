import Torch
import TorchNN

/// SigLIP's picture encoder (arXiv:2303.15343), under the hub's names without `vision_model.`.
public struct SigLIPVisionTower: VisionTower {
    public let configuration: VisionConfiguration
    let patches: PatchEmbedding
    let positions: Tensor  // [N, D]
    let layers: [EncoderLayer]
    let postNorm: LayerNorm
    let head: PoolingHead?

    public init(_ siglip: SigLIPVisionConfiguration, in scope: ParameterScope) throws {
        configuration = .siglip(siglip)
        let width = siglip.width
        let embeddings = scope["embeddings"]
        patches = try PatchEmbedding(
            channels: siglip.channels, width: width, patchSize: siglip.patchSize, bias: true,
            initial: .normal(deviation: 0.02), in: embeddings["patch_embedding"])
        positions = try embeddings["position_embedding"].parameter(
            "weight", shape: [configuration.tokenCount, width],
            initial: .normal(deviation: 1 / Double(width).squareRoot()))
        layers = try (0..<siglip.layerCount).map { index in
            try EncoderLayer(
                width: width, hiddenWidth: siglip.hiddenWidth, headCount: siglip.headCount,
                layerCount: siglip.layerCount, epsilon: siglip.epsilon,
                activation: siglip.activation, in: scope["encoder"]["layers"][index])
        }
        postNorm = try LayerNorm(width, epsilon: siglip.epsilon, in: scope["post_layernorm"])
        head = siglip.hasPoolingHead ? try PoolingHead(siglip, in: scope["head"]) : nil
    }

    public func embed(_ pixels: Tensor, interpolating: Bool) -> Tensor {
        let (height, width) = (pixels.shape[2], pixels.shape[3])
        guard interpolating || (height == imageSize && width == imageSize) else {
            fatalError("SigLIP tower of \(imageSize) pixels: got \(height) x \(width)")
        }
        return patches(pixels)
            + resizedPositions(positions, rows: height / patchSize, columns: width / patchSize)
    }

    public func layer(_ index: Int, _ hidden: Tensor) -> Tensor { layers[index](hidden) }

    /// Normed tokens; pooled by the attention head where there is one.
    public func finish(_ hidden: Tensor) -> VisionOutput {
        let last = postNorm(hidden)
        return VisionOutput(last: last, pooled: head.map { $0(last) })
    }
}

/// One learned probe that attends to all tokens, then a feed-forward layer.
struct PoolingHead {
    let probe: Tensor  // [1, 1, D]
    let entryWeight: Tensor  // [3 D, D], rows of query, key, value
    let entryBias: Tensor  // [3 D]
    let out: Linear
    let norm: LayerNorm
    let feedForward: FeedForward
    let headCount: Int

    init(_ siglip: SigLIPVisionConfiguration, in scope: ParameterScope) throws {
        let width = siglip.width
        headCount = siglip.headCount
        probe = try scope.parameter("probe", shape: [1, 1, width], initial: .normal(deviation: 1))
        let attention = scope["attention"]
        entryWeight = try attention.parameter(
            "in_proj_weight", shape: [3 * width, width],
            initial: .uniform(bound: (6 / Double(4 * width)).squareRoot()))
        entryBias = try attention.parameter(
            "in_proj_bias", shape: [3 * width], initial: .zeros)
        out = try Linear(width, width, in: attention["out_proj"])
        norm = try LayerNorm(width, epsilon: siglip.epsilon, in: scope["layernorm"])
        feedForward = FeedForward(
            first: try Linear(width, siglip.hiddenWidth, in: scope["mlp"]["fc1"]),
            second: try Linear(siglip.hiddenWidth, width, in: scope["mlp"]["fc2"]),
            activation: siglip.activation)
    }

    /// `[B, N, D]` to `[B, D]`.
    func callAsFunction(_ tokens: Tensor) -> Tensor {
        let (batch, width) = (tokens.shape[0], tokens.shape[2])
        let weights = entryWeight.split(sizes: [width, width, width], axis: 0)
        let biases = entryBias.split(sizes: [width, width, width], axis: 0)
        let attended = Tensor.attention(
            query: probe.linear(weights[0], bias: biases[0])
                .expanded(to: [batch, 1, width]).splitHeads(headCount),
            key: tokens.linear(weights[1], bias: biases[1]).splitHeads(headCount),
            value: tokens.linear(weights[2], bias: biases[2]).splitHeads(headCount))
        let pooled = out(attended.joinedHeads())  // [B, 1, D]
        return (pooled + feedForward(norm(pooled)))[.all, 0, .all]
    }
}
