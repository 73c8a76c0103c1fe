/// A tower's hyperparameters: `config.json` of one of the families, alone or under `vision_config`.
public enum VisionConfiguration: Equatable, Sendable {
    case clip(CLIPVisionConfiguration)
    case siglip(SigLIPVisionConfiguration)
    case dinov2(DINOv2Configuration)

    /// Token width.
    public var width: Int {
        switch self {
        case .clip(let c): c.width
        case .siglip(let c): c.width
        case .dinov2(let c): c.width
        }
    }

    /// Side of a patch in pixels.
    public var patchSize: Int {
        switch self {
        case .clip(let c): c.patchSize
        case .siglip(let c): c.patchSize
        case .dinov2(let c): c.patchSize
        }
    }

    /// Side of the picture in pixels.
    public var imageSize: Int {
        switch self {
        case .clip(let c): c.imageSize
        case .siglip(let c): c.imageSize
        case .dinov2(let c): c.imageSize
        }
    }

    /// Number of layers.
    public var layerCount: Int {
        switch self {
        case .clip(let c): c.layerCount
        case .siglip(let c): c.layerCount
        case .dinov2(let c): c.layerCount
        }
    }

    /// Patches along a side; a rest that fills no patch is ignored.
    public var patchesPerSide: Int { imageSize / patchSize }

    /// Patches of a picture.
    public var tokenCount: Int { patchesPerSide * patchesPerSide }

    /// Whether a class token stands in front of the patches.
    public var hasClassToken: Bool {
        if case .siglip = self { false } else { true }
    }

    /// The family's standard pixel normalisation; a folder's `preprocessor_config.json` may say otherwise.
    public var normalization: PixelNormalization {
        switch self {
        case .clip: .clip
        case .siglip: .siglip
        case .dinov2: .imageNet
        }
    }
}

extension VisionConfiguration: Codable {
    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case vision = "vision_config"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let kind = try values.decodeIfPresent(String.self, forKey: .modelType)
        let nested = values.contains(.vision)
        switch kind {
        case "clip_vision_model", "clip", nil:
            // Without a model type this is the class that vision-language configurations take for granted.
            self = .clip(
                nested
                    ? try values.decode(CLIPVisionConfiguration.self, forKey: .vision)
                    : try CLIPVisionConfiguration(from: decoder))
        case "siglip_vision_model", "siglip":
            self = .siglip(
                nested
                    ? try values.decode(SigLIPVisionConfiguration.self, forKey: .vision)
                    : try SigLIPVisionConfiguration(from: decoder))
        case "dinov2":
            self = .dinov2(try DINOv2Configuration(from: decoder))
        case let other?:
            guard nested else {
                throw DecodingError.dataCorruptedError(
                    forKey: .modelType, in: values,
                    debugDescription: "\"\(other)\" is no vision tower known here; "
                        + "known are clip, siglip, dinov2")
            }
            self = try values.decode(VisionConfiguration.self, forKey: .vision)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .clip(let c): try c.encode(to: encoder)
        case .siglip(let c): try c.encode(to: encoder)
        case .dinov2(let c): try c.encode(to: encoder)
        }
    }
}

/// CLIP vision hyperparameters, as `config.json` has them.
public struct CLIPVisionConfiguration: Codable, Equatable, Sendable {
    public let width: Int
    public let hiddenWidth: Int
    public let layerCount: Int
    public let headCount: Int
    public let imageSize: Int
    public let patchSize: Int
    public let channels: Int
    public let projectionWidth: Int
    public let epsilon: Double
    public let activation: Activation

    enum CodingKeys: String, CodingKey {
        case width = "hidden_size"
        case hiddenWidth = "intermediate_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case imageSize = "image_size"
        case patchSize = "patch_size"
        case channels = "num_channels"
        case projectionWidth = "projection_dim"
        case epsilon = "layer_norm_eps"
        case activation = "hidden_act"
    }

    public init(
        width: Int, hiddenWidth: Int, layerCount: Int, headCount: Int, imageSize: Int, patchSize: Int,
        channels: Int = 3, projectionWidth: Int = 512, epsilon: Double = 1e-5,
        activation: Activation = .quickGELU
    ) {
        self.width = width
        self.hiddenWidth = hiddenWidth
        self.layerCount = layerCount
        self.headCount = headCount
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.channels = channels
        self.projectionWidth = projectionWidth
        self.epsilon = epsilon
        self.activation = activation
    }
}

extension CLIPVisionConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        width = try values.size(.width, standard: 768)
        hiddenWidth = try values.size(.hiddenWidth, standard: 3072)
        layerCount = try values.size(.layerCount, standard: 12)
        headCount = try values.size(.headCount, standard: 12)
        imageSize = try values.size(.imageSize, standard: 224)
        patchSize = try values.size(.patchSize, standard: 32)
        channels = try values.size(.channels, standard: 3)
        projectionWidth = try values.size(.projectionWidth, standard: 512)
        epsilon = try values.positive(.epsilon, standard: 1e-5)
        activation =
            try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .quickGELU
        try values.require(
            width % headCount == 0, .headCount, "\(headCount) heads do not divide width \(width)")
        try values.require(
            patchSize <= imageSize, .patchSize, "larger than image_size \(imageSize)")
    }

    public func encode(to encoder: any Encoder) throws {
        var head = encoder.container(keyedBy: FamilyKeys.self)
        try head.encode("clip_vision_model", forKey: .modelType)
        try head.encode(["CLIPVisionModel"], forKey: .architectures)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(width, forKey: .width)
        try values.encode(hiddenWidth, forKey: .hiddenWidth)
        try values.encode(layerCount, forKey: .layerCount)
        try values.encode(headCount, forKey: .headCount)
        try values.encode(imageSize, forKey: .imageSize)
        try values.encode(patchSize, forKey: .patchSize)
        try values.encode(channels, forKey: .channels)
        try values.encode(projectionWidth, forKey: .projectionWidth)
        try values.encode(epsilon, forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
    }
}

/// SigLIP vision hyperparameters, as `config.json` has them.
public struct SigLIPVisionConfiguration: Codable, Equatable, Sendable {
    public let width: Int
    public let hiddenWidth: Int
    public let layerCount: Int
    public let headCount: Int
    public let imageSize: Int
    public let patchSize: Int
    public let channels: Int
    public let epsilon: Double
    public let activation: Activation
    public let hasPoolingHead: Bool

    enum CodingKeys: String, CodingKey {
        case width = "hidden_size"
        case hiddenWidth = "intermediate_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case imageSize = "image_size"
        case patchSize = "patch_size"
        case channels = "num_channels"
        case epsilon = "layer_norm_eps"
        case activation = "hidden_act"
        case hasPoolingHead = "vision_use_head"
    }

    public init(
        width: Int, hiddenWidth: Int, layerCount: Int, headCount: Int, imageSize: Int, patchSize: Int,
        channels: Int = 3, epsilon: Double = 1e-6, activation: Activation = .geluTanh,
        hasPoolingHead: Bool = true
    ) {
        self.width = width
        self.hiddenWidth = hiddenWidth
        self.layerCount = layerCount
        self.headCount = headCount
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.channels = channels
        self.epsilon = epsilon
        self.activation = activation
        self.hasPoolingHead = hasPoolingHead
    }
}

extension SigLIPVisionConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        width = try values.size(.width, standard: 768)
        hiddenWidth = try values.size(.hiddenWidth, standard: 3072)
        layerCount = try values.size(.layerCount, standard: 12)
        headCount = try values.size(.headCount, standard: 12)
        imageSize = try values.size(.imageSize, standard: 224)
        patchSize = try values.size(.patchSize, standard: 16)
        channels = try values.size(.channels, standard: 3)
        epsilon = try values.positive(.epsilon, standard: 1e-6)
        activation =
            try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .geluTanh
        hasPoolingHead = try values.flag(.hasPoolingHead, standard: true)
        try values.require(
            width % headCount == 0, .headCount, "\(headCount) heads do not divide width \(width)")
        try values.require(
            patchSize <= imageSize, .patchSize, "larger than image_size \(imageSize)")
    }

    public func encode(to encoder: any Encoder) throws {
        var head = encoder.container(keyedBy: FamilyKeys.self)
        try head.encode("siglip_vision_model", forKey: .modelType)
        try head.encode(["SiglipVisionModel"], forKey: .architectures)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(width, forKey: .width)
        try values.encode(hiddenWidth, forKey: .hiddenWidth)
        try values.encode(layerCount, forKey: .layerCount)
        try values.encode(headCount, forKey: .headCount)
        try values.encode(imageSize, forKey: .imageSize)
        try values.encode(patchSize, forKey: .patchSize)
        try values.encode(channels, forKey: .channels)
        try values.encode(epsilon, forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
        try values.encode(hasPoolingHead, forKey: .hasPoolingHead)
    }
}

/// DINOv2 hyperparameters, as `config.json` has them.
public struct DINOv2Configuration: Codable, Equatable, Sendable {
    public let width: Int
    public let layerCount: Int
    public let headCount: Int
    public let imageSize: Int
    public let patchSize: Int
    public let channels: Int
    public let widening: Double
    public let epsilon: Double
    public let activation: Activation
    public let hasAttentionBias: Bool
    public let isGated: Bool
    public let layerScale: Double
    public let hasMaskToken: Bool

    enum CodingKeys: String, CodingKey {
        case width = "hidden_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case imageSize = "image_size"
        case patchSize = "patch_size"
        case channels = "num_channels"
        case widening = "mlp_ratio"
        case epsilon = "layer_norm_eps"
        case activation = "hidden_act"
        case hasAttentionBias = "qkv_bias"
        case isGated = "use_swiglu_ffn"
        case layerScale = "layerscale_value"
        case hasMaskToken = "use_mask_token"
    }

    public init(
        width: Int, layerCount: Int, headCount: Int, imageSize: Int, patchSize: Int, channels: Int = 3,
        widening: Double = 4, epsilon: Double = 1e-6, activation: Activation = .gelu,
        hasAttentionBias: Bool = true, isGated: Bool = false, layerScale: Double = 1,
        hasMaskToken: Bool = true
    ) {
        self.width = width
        self.layerCount = layerCount
        self.headCount = headCount
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.channels = channels
        self.widening = widening
        self.epsilon = epsilon
        self.activation = activation
        self.hasAttentionBias = hasAttentionBias
        self.isGated = isGated
        self.layerScale = layerScale
        self.hasMaskToken = hasMaskToken
    }

    /// Width of the feed-forward layer; the gated form is narrowed to two thirds and rounded up to 8.
    public var hiddenWidth: Int {
        let wide = Int(Double(width) * widening)
        return isGated ? (wide * 2 / 3 + 7) / 8 * 8 : wide
    }
}

extension DINOv2Configuration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        width = try values.size(.width, standard: 768)
        layerCount = try values.size(.layerCount, standard: 12)
        headCount = try values.size(.headCount, standard: 12)
        imageSize = try values.size(.imageSize, standard: 224)
        patchSize = try values.size(.patchSize, standard: 14)
        channels = try values.size(.channels, standard: 3)
        widening = try values.positive(.widening, standard: 4)
        epsilon = try values.positive(.epsilon, standard: 1e-6)
        activation = try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .gelu
        hasAttentionBias = try values.flag(.hasAttentionBias, standard: true)
        isGated = try values.flag(.isGated, standard: false)
        layerScale = try values.number(.layerScale, standard: 1)
        hasMaskToken = try values.flag(.hasMaskToken, standard: true)
        try values.require(
            width % headCount == 0, .headCount, "\(headCount) heads do not divide width \(width)")
        try values.require(
            patchSize <= imageSize, .patchSize, "larger than image_size \(imageSize)")
    }

    public func encode(to encoder: any Encoder) throws {
        var head = encoder.container(keyedBy: FamilyKeys.self)
        try head.encode("dinov2", forKey: .modelType)
        try head.encode(["Dinov2Model"], forKey: .architectures)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(width, forKey: .width)
        try values.encode(layerCount, forKey: .layerCount)
        try values.encode(headCount, forKey: .headCount)
        try values.encode(imageSize, forKey: .imageSize)
        try values.encode(patchSize, forKey: .patchSize)
        try values.encode(channels, forKey: .channels)
        try values.encode(widening, forKey: .widening)
        try values.encode(epsilon, forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
        try values.encode(hasAttentionBias, forKey: .hasAttentionBias)
        try values.encode(isGated, forKey: .isGated)
        try values.encode(layerScale, forKey: .layerScale)
        try values.encode(hasMaskToken, forKey: .hasMaskToken)
    }
}

/// The keys by which a reader of `config.json` knows the class.
enum FamilyKeys: String, CodingKey {
    case modelType = "model_type"
    case architectures
    case className = "_class_name"
}
