import Torch
import TorchNN

/// CLIP's picture encoder (arXiv:2103.00020), under the hub's names without `vision_model.`.
public struct CLIPVisionTower: VisionTower {
    public let configuration: VisionConfiguration
    let classToken: Tensor  // [D]
    let patches: PatchEmbedding
    let positions: Tensor  // [N, D], row 0 for the class token
    let preNorm: LayerNorm
    let layers: [EncoderLayer]
    let postNorm: LayerNorm

    public init(_ clip: CLIPVisionConfiguration, in scope: ParameterScope) throws {
        configuration = .clip(clip)
        let width = clip.width
        let embeddings = scope["embeddings"]
        classToken = try embeddings.parameter(
            "class_embedding", shape: [width],
            initial: .normal(deviation: 1 / Double(width).squareRoot()))
        patches = try PatchEmbedding(
            channels: clip.channels, width: width, patchSize: clip.patchSize, bias: false,
            initial: .normal(deviation: 0.02), in: embeddings["patch_embedding"])
        positions = try embeddings["position_embedding"].parameter(
            "weight", shape: [configuration.tokenCount + 1, width],
            initial: .normal(deviation: 0.02))
        preNorm = try LayerNorm(width, epsilon: clip.epsilon, in: scope["pre_layrnorm"])
        layers = try (0..<clip.layerCount).map { index in
            try EncoderLayer(
                width: width, hiddenWidth: clip.hiddenWidth, headCount: clip.headCount,
                layerCount: clip.layerCount, epsilon: clip.epsilon, activation: clip.activation,
                in: scope["encoder"]["layers"][index])
        }
        postNorm = try LayerNorm(width, epsilon: clip.epsilon, in: scope["post_layernorm"])
    }

    public func embed(_ pixels: Tensor, interpolating: Bool) -> Tensor {
        let tokens = patches(pixels)  // [B, n, D]
        let (batch, width) = (tokens.shape[0], tokens.shape[2])
        let front = classToken.expanded(to: [batch, 1, width])
        return preNorm(
            Tensor.concatenated([front, tokens], axis: 1)
                + positions(for: pixels, interpolating: interpolating))
    }

    private func positions(for pixels: Tensor, interpolating: Bool) -> Tensor {
        let (height, width) = (pixels.shape[2], pixels.shape[3])
        if height == imageSize, width == imageSize { return positions }
        guard interpolating else {
            fatalError("CLIP tower of \(imageSize) pixels: got \(height) x \(width)")
        }
        let grid = positions.narrowed(axis: 0, start: 1, length: tokenCount)
        return Tensor.concatenated(
            [
                positions.narrowed(axis: 0, start: 0, length: 1),
                resizedPositions(grid, rows: height / patchSize, columns: width / patchSize),
            ], axis: 0)
    }

    public func layer(_ index: Int, _ hidden: Tensor) -> Tensor { layers[index](hidden) }

    /// Tokens as they are; pooled is the normed class token.
    public func finish(_ hidden: Tensor) -> VisionOutput {
        VisionOutput(last: hidden, pooled: postNorm(hidden[.all, 0, .all]))
    }
}

/// CLIP's picture side as a whole checkpoint has it: tower and projection into the space shared
/// with text.
public struct CLIPImageEncoder {
    /// The tower, under `vision_model`.
    public let tower: CLIPVisionTower
    let projection: Linear

    public init(_ clip: CLIPVisionConfiguration, in scope: ParameterScope) throws {
        tower = try CLIPVisionTower(clip, in: scope["vision_model"])
        projection = try Linear(
            clip.width, clip.projectionWidth, bias: false,
            initial: .normal(deviation: 1 / Double(clip.width).squareRoot()),
            in: scope["visual_projection"])
    }

    /// `[B, 3, S, S]` to `[B, P]`, not normalised to unit length.
    public func callAsFunction(_ pixels: Tensor) -> Tensor {
        let pooled = tower.output(pixels).pooled
        guard let pooled else { fatalError("a CLIP tower always pools") }
        return projection(pooled)
    }
}
