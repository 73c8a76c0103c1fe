/// SigLIP vision hyperparameters, as `config.json` has them.
public struct SigLIPVisionConfiguration: Codable, Equatable, Sendable {
    /// Token width.
    public let width: Int
    /// Width inside a feed-forward layer.
    public let hiddenWidth: Int
    /// Number of layers.
    public let layerCount: Int
    /// Attention heads.
    public let headCount: Int
    /// Side of the picture, pixels.
    public let imageSize: Int
    /// Side of a patch, pixels.
    public let patchSize: Int
    /// Colour channels.
    public let channels: Int
    /// Added to variances in norms.
    public let epsilon: Double
    /// Between the two linear layers of a feed-forward layer.
    public let activation: Activation
    /// Whether an attention head pools the tokens.
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
        width: Int, hiddenWidth: Int, layerCount: Int, headCount: Int, imageSize: Int,
        patchSize: Int,
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
        try values.require(self, heads: .headCount, patch: .patchSize)
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
        try values.encode(DecimalNumber(epsilon), forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
        try values.encode(hasPoolingHead, forKey: .hasPoolingHead)
    }
}
