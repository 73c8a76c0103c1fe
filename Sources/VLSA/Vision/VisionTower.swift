import Torch
import TorchNN

// Shapes: B batch, N tokens (patches, and the class token where there is one), D width, S image
// side.

/// A picture encoder: patches to tokens to hidden states.
///
/// Hidden states are counted as the reference does: 0 is what enters the first layer, `layerCount`
/// what leaves the last, without any final norm. What is asked for decides what runs: no layer
/// beyond it is computed.
public protocol VisionTower {
    /// The hyperparameters it was built from.
    var configuration: VisionConfiguration { get }

    /// The tokens that enter the first layer, `[B, N, D]`, of normalised pixels `[B, 3, S, S]`.
    ///
    /// Another size than the configured one traps unless `interpolating`, which resizes the
    /// positions bicubically.
    func embed(_ pixels: Tensor, interpolating: Bool) -> Tensor

    /// Layer `index` (0 is the first) on `[B, N, D]`.
    func layer(_ index: Int, _ hidden: Tensor) -> Tensor

    /// The tower's own ending on the last hidden state.
    func finish(_ hidden: Tensor) -> VisionOutput
}

/// What a whole tower gives.
public struct VisionOutput {
    /// All tokens, `[B, N, D]`; normed where the family norms them (SigLIP, DINOv2).
    public let last: Tensor
    /// One vector a picture, `[B, D]`, where the family has one.
    public let pooled: Tensor?
}

/// Which of a tower's tokens feed the language model.
public struct FeatureSelection: Codable, Equatable, Sendable {
    /// A hidden state: 0 the embeddings, -1 the last layer's output, -2 the one before.
    public var layer: Int
    /// Whether the class token, if there is one, stays in front.
    public var keepsClassToken: Bool

    enum CodingKeys: String, CodingKey {
        case layer = "vision_feature_layer"
        case strategy = "vision_feature_select_strategy"
    }

    public init(layer: Int = -2, keepsClassToken: Bool = false) {
        self.layer = layer
        self.keepsClassToken = keepsClassToken
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        layer = try values.decodeIfPresent(Int.self, forKey: .layer) ?? -2
        let strategy = try values.decodeIfPresent(String.self, forKey: .strategy) ?? "default"
        try values.require(
            ["default", "full"].contains(strategy), .strategy,
            "must be \"default\" (drops the class token) or \"full\", not \"\(strategy)\"")
        keepsClassToken = strategy == "full"
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(layer, forKey: .layer)
        try values.encode(keepsClassToken ? "full" : "default", forKey: .strategy)
    }
}

extension VisionTower {
    /// Token width.
    public var width: Int { configuration.width }
    /// Side of a patch in pixels.
    public var patchSize: Int { configuration.patchSize }
    /// Side of the picture in pixels.
    public var imageSize: Int { configuration.imageSize }
    /// Number of layers.
    public var layerCount: Int { configuration.layerCount }
    /// Patches of a picture of ``imageSize``; the class token is not counted.
    public var tokenCount: Int { configuration.tokenCount }

    /// Hidden states 0 to `layer`, each `[B, N, D]`; nothing beyond `layer` is computed.
    public func hiddenStates(
        _ pixels: Tensor, upTo layer: Int = -1, interpolating: Bool = false
    ) -> [Tensor] {
        var states = [embed(pixels, interpolating: interpolating)]
        for index in 0..<resolved(layer) { states.append(self.layer(index, states[index])) }
        return states
    }

    /// The selected hidden state: `[B, tokenCount, D]`, one token more if the class token is kept.
    ///
    /// - Parameter isCheckpointed: keeps only what passes from layer to layer for the derivative.
    public func features(
        _ pixels: Tensor, _ selection: FeatureSelection = .init(), interpolating: Bool = false,
        isCheckpointed: Bool = false
    ) -> Tensor {
        var hidden = embed(pixels, interpolating: interpolating)
        for index in 0..<resolved(selection.layer) {
            hidden = checkpointed(hidden, when: isCheckpointed) { layer(index, $0) }
        }
        guard configuration.hasClassToken, !selection.keepsClassToken else { return hidden }
        return hidden.narrowed(axis: 1, start: 1, length: hidden.shape[1] - 1)
    }

    /// Every layer and the tower's own ending.
    public func output(_ pixels: Tensor, interpolating: Bool = false) -> VisionOutput {
        var hidden = embed(pixels, interpolating: interpolating)
        for index in 0..<layerCount { hidden = layer(index, hidden) }
        return finish(hidden)
    }

    /// How many layers run for the hidden state `layer`.
    func resolved(_ layer: Int) -> Int {
        let count = layer < 0 ? layerCount + 1 + layer : layer
        guard (0...layerCount).contains(count) else {
            fatalError("hidden state \(layer) of a tower with \(layerCount) layers")
        }
        return count
    }
}

/// Builds the tower a configuration describes, its parameters in `scope`.
public func makeVisionTower(
    _ configuration: VisionConfiguration, in scope: ParameterScope
) throws -> any VisionTower {
    switch configuration {
    case .clip(let clip): try CLIPVisionTower(clip, in: scope)
    case .siglip(let siglip): try SigLIPVisionTower(siglip, in: scope)
    case .dinov2(let dino): try DINOv2Tower(dino, in: scope)
    }
}
