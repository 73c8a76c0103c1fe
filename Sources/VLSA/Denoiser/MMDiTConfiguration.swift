/// Hyperparameters of the SD3 transformer: diffusers' `config.json` of an `SD3Transformer2DModel`.
public struct MMDiTConfiguration: Codable, Equatable, Sendable {
    /// Latent side the position table was made for.
    public let sampleSize: Int
    /// Side of a patch in latents.
    public let patchSize: Int
    /// Latent channels that enter.
    public let channels: Int
    /// Latent channels that leave.
    public let outputChannels: Int
    /// Number of blocks.
    public let layerCount: Int
    /// Width of one head.
    public let headWidth: Int
    /// Attention heads.
    public let headCount: Int
    /// Width of the prompt's vectors.
    public let contextWidth: Int
    /// Width of the prompt's one pooled vector.
    public let pooledWidth: Int
    /// Side of the position table in patches; the largest grid that can be denoised.
    public let positionGrid: Int
    /// RMS norm of queries and keys (SD3.5).
    public let normalizesQueries: Bool
    /// Blocks with a second attention over the picture alone (SD3.5 medium).
    public let dualAttentionLayers: [Int]

    enum CodingKeys: String, CodingKey {
        case className = "_class_name"
        case sampleSize = "sample_size"
        case patchSize = "patch_size"
        case channels = "in_channels"
        case outputChannels = "out_channels"
        case layerCount = "num_layers"
        case headWidth = "attention_head_dim"
        case headCount = "num_attention_heads"
        case contextWidth = "joint_attention_dim"
        case projectionWidth = "caption_projection_dim"
        case pooledWidth = "pooled_projection_dim"
        case positionGrid = "pos_embed_max_size"
        case normalization = "qk_norm"
        case dualAttentionLayers = "dual_attention_layers"
    }

    public init(
        sampleSize: Int, patchSize: Int = 2, channels: Int = 16, layerCount: Int, headWidth: Int,
        headCount: Int, contextWidth: Int, pooledWidth: Int, positionGrid: Int,
        normalizesQueries: Bool = false, dualAttentionLayers: [Int] = []
    ) {
        self.sampleSize = sampleSize
        self.patchSize = patchSize
        self.channels = channels
        outputChannels = channels
        self.layerCount = layerCount
        self.headWidth = headWidth
        self.headCount = headCount
        self.contextWidth = contextWidth
        self.pooledWidth = pooledWidth
        self.positionGrid = positionGrid
        self.normalizesQueries = normalizesQueries
        self.dualAttentionLayers = dualAttentionLayers
    }

    /// Token width.
    public var width: Int { headWidth * headCount }
}

extension MMDiTConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        sampleSize = try values.size(.sampleSize, standard: 128)
        patchSize = try values.size(.patchSize, standard: 2)
        channels = try values.size(.channels, standard: 16)
        outputChannels = try values.size(.outputChannels, standard: channels)
        layerCount = try values.size(.layerCount, standard: 18)
        headWidth = try values.size(.headWidth, standard: 64)
        headCount = try values.size(.headCount, standard: 18)
        contextWidth = try values.size(.contextWidth, standard: 4096)
        pooledWidth = try values.size(.pooledWidth, standard: 2048)
        positionGrid = try values.size(.positionGrid, standard: 96)
        let width = headWidth * headCount
        let projection = try values.size(.projectionWidth, standard: width)
        try values.require(
            projection == width, .projectionWidth,
            "must be heads times head width, \(width), not \(projection)")
        try values.require(
            width % 4 == 0, .headWidth, "width \(width) is no multiple of 4, which positions need")
        let norm = try values.decodeIfPresent(String.self, forKey: .normalization)
        try values.require(
            norm == nil || norm == "rms_norm", .normalization,
            "\"\(norm ?? "")\" is not known; known are null and rms_norm")
        normalizesQueries = norm != nil
        dualAttentionLayers =
            try values.decodeIfPresent([Int].self, forKey: .dualAttentionLayers) ?? []
        let layers = layerCount
        try values.require(
            dualAttentionLayers.allSatisfy { (0..<layers).contains($0) }, .dualAttentionLayers,
            "names a block beyond the last, \(layers - 1)")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode("SD3Transformer2DModel", forKey: .className)
        try values.encode(sampleSize, forKey: .sampleSize)
        try values.encode(patchSize, forKey: .patchSize)
        try values.encode(channels, forKey: .channels)
        try values.encode(outputChannels, forKey: .outputChannels)
        try values.encode(layerCount, forKey: .layerCount)
        try values.encode(headWidth, forKey: .headWidth)
        try values.encode(headCount, forKey: .headCount)
        try values.encode(contextWidth, forKey: .contextWidth)
        try values.encode(width, forKey: .projectionWidth)
        try values.encode(pooledWidth, forKey: .pooledWidth)
        try values.encode(positionGrid, forKey: .positionGrid)
        try values.encode(dualAttentionLayers, forKey: .dualAttentionLayers)
        if normalizesQueries {
            try values.encode("rms_norm", forKey: .normalization)
        } else {
            try values.encodeNil(forKey: .normalization)
        }
    }
}
