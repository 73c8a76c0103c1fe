import Torch
import TorchNN

/// DINOv2's picture encoder (arXiv:2304.07193), under the hub's names.
///
/// Positions are resized whenever the input's grid is not the configured one: the public
/// checkpoints hold those of 518 pixels and are used at 224.
public struct DINOv2Tower: VisionTower {
    public let configuration: VisionConfiguration
    let classToken: Tensor  // [1, 1, D]
    let maskToken: Tensor?  // [1, D]
    let patches: PatchEmbedding
    let positions: Tensor  // [1, N, D], row 0 for the class token
    let layers: [DINOv2Layer]
    let norm: LayerNorm

    public init(_ dino: DINOv2Configuration, in scope: ParameterScope) throws {
        configuration = .dinov2(dino)
        let width = dino.width
        let embeddings = scope["embeddings"]
        classToken = try embeddings.parameter(
            "cls_token", shape: [1, 1, width], initial: .normal(deviation: 0.02))
        maskToken =
            dino.hasMaskToken
            ? try embeddings.parameter("mask_token", shape: [1, width], initial: .zeros) : nil
        patches = try PatchEmbedding(
            channels: dino.channels, width: width, patchSize: dino.patchSize, bias: true,
            initial: .normal(deviation: 0.02), in: embeddings["patch_embeddings"]["projection"])
        positions = try embeddings.parameter(
            "position_embeddings", shape: [1, configuration.tokenCount + 1, width],
            initial: .normal(deviation: 0.02))
        layers = try (0..<dino.layerCount).map { index in
            try DINOv2Layer(dino, in: scope["encoder"]["layer"][index])
        }
        norm = try LayerNorm(width, epsilon: dino.epsilon, in: scope["layernorm"])
    }

    public func embed(_ pixels: Tensor, interpolating: Bool) -> Tensor {
        embed(pixels, masking: nil)
    }

    /// The tokens that enter the first layer.
    ///
    /// - Parameter mask: `[B, n]`; where it is 1 (or true) the mask token takes the patch's place.
    public func embed(_ pixels: Tensor, masking mask: Tensor?) -> Tensor {
        var tokens = patches(pixels)  // [B, n, D]
        if let mask {
            guard let maskToken else { fatalError("this DINOv2 has no mask token") }
            tokens = Tensor.select(
                where: (mask.to(.float32) .> 0.5).unsqueezed(-1), maskToken.to(tokens.dtype),
                tokens)
        }
        let (batch, width) = (tokens.shape[0], tokens.shape[2])
        let front = classToken.expanded(to: [batch, 1, width])
        let rows = positions.reshaped([tokenCount + 1, width])
        let grid = resizedPositions(
            rows.narrowed(axis: 0, start: 1, length: tokenCount),
            rows: pixels.shape[2] / patchSize, columns: pixels.shape[3] / patchSize)
        return Tensor.concatenated([front, tokens], axis: 1)
            + Tensor.concatenated([rows.narrowed(axis: 0, start: 0, length: 1), grid], axis: 0)
    }

    public func layer(_ index: Int, _ hidden: Tensor) -> Tensor { layers[index](hidden) }

    /// Normed tokens; pooled is the class token among them.
    public func finish(_ hidden: Tensor) -> VisionOutput {
        let last = norm(hidden)
        return VisionOutput(last: last, pooled: last[.all, 0, .all])
    }
}

/// Pre-norm layer whose branches are scaled per channel.
struct DINOv2Layer {
    let norm1: LayerNorm
    let attention: EncoderAttention
    let scale1: Tensor  // [D]
    let norm2: LayerNorm
    let first: Linear
    let second: Linear
    let scale2: Tensor  // [D]
    let activation: Activation
    let isGated: Bool

    init(_ dino: DINOv2Configuration, in scope: ParameterScope) throws {
        let (width, spread) = (dino.width, Initial.normal(deviation: 0.02))
        let own = scope["attention"]["attention"]
        norm1 = try LayerNorm(width, epsilon: dino.epsilon, in: scope["norm1"])
        attention = EncoderAttention(
            query: try Linear(
                width, width, bias: dino.hasAttentionBias, initial: spread, in: own["query"]),
            key: try Linear(
                width, width, bias: dino.hasAttentionBias, initial: spread, in: own["key"]),
            value: try Linear(
                width, width, bias: dino.hasAttentionBias, initial: spread, in: own["value"]),
            out: try Linear(
                width, width, initial: spread, in: scope["attention"]["output"]["dense"]),
            headCount: dino.headCount, in: own)
        scale1 = try scope["layer_scale1"].parameter(
            "lambda1", shape: [width], initial: .constant(dino.layerScale))
        norm2 = try LayerNorm(width, epsilon: dino.epsilon, in: scope["norm2"])
        let (mlp, hidden) = (scope["mlp"], dino.hiddenWidth)
        isGated = dino.isGated
        first = try Linear(
            width, isGated ? 2 * hidden : hidden, initial: spread,
            in: mlp[isGated ? "weights_in" : "fc1"])
        second = try Linear(
            hidden, width, initial: spread, in: mlp[isGated ? "weights_out" : "fc2"])
        activation = dino.activation
        scale2 = try scope["layer_scale2"].parameter(
            "lambda1", shape: [width], initial: .constant(dino.layerScale))
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let attended = x + scale1 * attention(norm1(x))
        return attended + scale2 * feedForward(norm2(attended))
    }

    private func feedForward(_ x: Tensor) -> Tensor {
        guard isGated else { return second(first.activated(activation.function, x)) }
        return second(first(x).gatedHalves(.silu))
    }
}
