import Torch
import TorchNN

// Shapes: B batch, S the tower's picture side, N patches, D depths, K codes, C code width.

/// Hyperparameters of a semantic residual tokenizer: a SigLIP tower, and codes of one of its hidden
/// states.
///
/// The public files are bare state dictionaries, so a folder needs a `config.json` with these keys
/// beside them.
public struct SemanticTokenizerConfiguration: Codable, Equatable, Sendable {
    /// How the hidden state becomes what is quantised.
    public enum Projection: String, Codable, Sendable {
        /// As it is (the tokenizer that ASVR trains with).
        case none
        /// Through attention to a narrow code (DualToken).
        case attention
    }

    /// The tower.
    public let vision: SigLIPVisionConfiguration
    /// The hidden state that is quantised: 0 the embeddings, n the output of the nth layer.
    public let layer: Int
    /// See ``Projection``.
    public let projection: Projection
    /// D.
    public let depth: Int
    /// K.
    public let codeCount: Int
    /// C; the tower's width where nothing is projected.
    public let codeWidth: Int

    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case vision = "vision_config"
        case layer = "semantic_layer"
        case projection
        case depth = "code_depth"
        case codeCount = "codebook_size"
        case codeWidth = "code_dim"
    }

    /// The folder's `model_type`.
    public static let kind = "semantic_tokenizer"

    /// SigLIP-SO400M/14 at 384 pixels.
    public static let standardTower = SigLIPVisionConfiguration(
        width: 1152, hiddenWidth: 4304, layerCount: 27, headCount: 16, imageSize: 384,
        patchSize: 14)

    /// The tokenizer that ASVR was trained with: 8 codebooks of width 1152, on the output of layer 26.
    public static let asvr = SemanticTokenizerConfiguration()

    /// DualToken's published one: codes of width 32 behind a projection.
    public static let dualToken = SemanticTokenizerConfiguration(
        projection: .attention, codeWidth: 32)

    public init(
        vision: SigLIPVisionConfiguration = Self.standardTower, layer: Int = 26,
        projection: Projection = .none, depth: Int = 8, codeCount: Int = 16_384,
        codeWidth: Int? = nil
    ) {
        self.vision = vision
        self.layer = layer
        self.projection = projection
        self.depth = depth
        self.codeCount = codeCount
        self.codeWidth = codeWidth ?? vision.width
    }
}

extension SemanticTokenizerConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        vision =
            try values.decodeIfPresent(SigLIPVisionConfiguration.self, forKey: .vision)
            ?? Self.standardTower
        layer = try values.size(.layer, standard: 26)
        projection = try values.decode(Projection.self, forKey: .projection)
        depth = try values.size(.depth, standard: 8, limit: 1 << 10)
        codeCount = try values.size(.codeCount, standard: 16_384)
        codeWidth = try values.size(.codeWidth, standard: vision.width)
        try values.require(
            layer <= vision.layerCount, .layer, "the tower has \(vision.layerCount) layers")
        try values.require(
            projection == .attention || codeWidth == vision.width, .codeWidth,
            "must be the tower's width \(vision.width) without a projection, not \(codeWidth)")
        try values.require(
            vision.width % codeWidth == 0, .codeWidth,
            "\(codeWidth) does not divide the tower's width \(vision.width)")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(Self.kind, forKey: .modelType)
        try values.encode(vision, forKey: .vision)
        try values.encode(layer, forKey: .layer)
        try values.encode(projection, forKey: .projection)
        try values.encode(depth, forKey: .depth)
        try values.encode(codeCount, forKey: .codeCount)
        try values.encode(codeWidth, forKey: .codeWidth)
    }
}

/// What a picture means, in codes: a frozen target of autoregressive semantic reconstruction (ASVR,
/// arXiv:2506.09040).
public struct SemanticTokenizer: FeatureTarget {
    /// The hyperparameters it was built from.
    public let configuration: SemanticTokenizerConfiguration
    /// The codebooks.
    public let quantizer: ResidualQuantizer
    let tower: SigLIPVisionTower
    let projection: AttentionProjection?

    public init(_ configuration: SemanticTokenizerConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let (vision, width) = (configuration.vision, configuration.codeWidth)
        tower = try SigLIPVisionTower(vision, in: scope["tower"])
        projection =
            configuration.projection == .none
            ? nil
            : try AttentionProjection(
                vision.width, to: width, headCount: vision.width / width, in: scope["projection"])
        quantizer = try ResidualQuantizer(
            depth: configuration.depth, codeCount: configuration.codeCount, width: width,
            in: scope["quantizer"])
    }

    /// C.
    public var width: Int { configuration.codeWidth }
    /// N.
    public var tokenCount: Int { tower.tokenCount }

    /// What is quantised, `[B, N, C]`, of pixels `[B, 3, H, W]` in -1...1; no layer beyond the
    /// quantised one is computed.
    public func vectors(_ pixels: Tensor) -> Tensor {
        let hidden = tower.features(
            tower.input(pixels), FeatureSelection(layer: configuration.layer))
        return projection?(hidden) ?? hidden
    }

    /// Codes int64 `[B, N, D]` of pixels `[B, 3, H, W]` in -1...1.
    public func codes(_ pixels: Tensor) -> Tensor {
        withoutGradients { quantizer.codes(vectors(pixels)) }
    }

    /// Quantised vectors, fp32 `[B, N, C]`.
    public func features(_ pixels: Tensor) -> Tensor {
        withoutGradients { quantizer.vectors(of: codes(pixels)) }
    }
}
