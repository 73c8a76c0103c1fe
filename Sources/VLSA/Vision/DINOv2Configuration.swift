/// DINOv2 hyperparameters, as `config.json` has them.
public struct DINOv2Configuration: Codable, Equatable, Sendable {
    /// Token width.
    public let width: Int
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
    /// Feed-forward width over token width.
    public let widening: Double
    /// Added to variances in norms.
    public let epsilon: Double
    /// Between the two linear layers of a feed-forward layer.
    public let activation: Activation
    /// Biases of query, key and value.
    public let hasAttentionBias: Bool
    /// SwiGLU in place of two plain layers (the giant model).
    public let isGated: Bool
    /// First value of each branch's scale.
    public let layerScale: Double
    /// Whether there is a token for hidden patches.
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
        width: Int, layerCount: Int, headCount: Int, imageSize: Int, patchSize: Int,
        channels: Int = 3,
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

    /// Width of the feed-forward layer; the gated form is narrowed to two thirds and rounded up to
    /// 8.
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
        try values.require(self, heads: .headCount, patch: .patchSize)
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
        try values.encode(widening, forKey: .widening)  // whole where it can be: an int there
        try values.encode(DecimalNumber(epsilon), forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
        try values.encode(hasAttentionBias, forKey: .hasAttentionBias)
        try values.encode(isGated, forKey: .isGated)
        try values.encode(DecimalNumber(layerScale), forKey: .layerScale)
        try values.encode(hasMaskToken, forKey: .hasMaskToken)
    }
}
