/// The convolutional halves that AutoencoderKL and VQModel share, as diffusers' `config.json` has
/// them.
public struct ConvolutionConfiguration: Codable, Equatable, Sendable {
    /// The picture's channels that enter.
    public let inputChannels: Int
    /// The picture's channels that leave.
    public let outputChannels: Int
    /// Channels of each level, from the picture inwards.
    public let widths: [Int]
    /// Residual blocks of an encoder level; a decoder level has one more.
    public let blocksPerLevel: Int
    /// Groups of every norm.
    public let groups: Int
    /// Which encoder levels attend, from the picture inwards.
    public let encoderAttends: [Bool]
    /// Which decoder levels attend, from the latents outwards.
    public let decoderAttends: [Bool]
    /// Whether the middle attends.
    public let middleAttends: Bool

    enum CodingKeys: String, CodingKey {
        case inputChannels = "in_channels"
        case outputChannels = "out_channels"
        case widths = "block_out_channels"
        case blocksPerLevel = "layers_per_block"
        case groups = "norm_num_groups"
        case down = "down_block_types"
        case up = "up_block_types"
        case middleAttends = "mid_block_add_attention"
        case activation = "act_fn"
    }

    public init(
        widths: [Int], blocksPerLevel: Int = 2, groups: Int = 32, inputChannels: Int = 3,
        outputChannels: Int = 3, encoderAttends: [Bool]? = nil, decoderAttends: [Bool]? = nil,
        middleAttends: Bool = true
    ) {
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.widths = widths
        self.blocksPerLevel = blocksPerLevel
        self.groups = groups
        self.encoderAttends = encoderAttends ?? widths.map { _ in false }
        self.decoderAttends = decoderAttends ?? widths.map { _ in false }
        self.middleAttends = middleAttends
    }

    /// Pixels along the side of a latent's cell.
    public var downscale: Int { 1 << (widths.count - 1) }
}

extension ConvolutionConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        inputChannels = try values.size(.inputChannels, standard: 3)
        outputChannels = try values.size(.outputChannels, standard: 3)
        let widths = try values.decodeIfPresent([Int].self, forKey: .widths) ?? [64]
        blocksPerLevel = try values.size(.blocksPerLevel, standard: 1)
        let groups = try values.size(.groups, standard: 32)
        try values.require(
            !widths.isEmpty && widths.count <= 16
                && widths.allSatisfy { $0 > 0 && $0 % groups == 0 },
            .widths, "every level needs a multiple of \(groups) channels, not \(widths)")
        self.widths = widths
        self.groups = groups
        encoderAttends = try values.attention(
            .down, levels: widths.count, plain: "DownEncoderBlock2D",
            attending: "AttnDownEncoderBlock2D")
        decoderAttends = try values.attention(
            .up, levels: widths.count, plain: "UpDecoderBlock2D", attending: "AttnUpDecoderBlock2D")
        middleAttends = try values.flag(.middleAttends, standard: true)
        let activation = try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .silu
        try values.require(activation == .silu, .activation, "only silu is known here")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(inputChannels, forKey: .inputChannels)
        try values.encode(outputChannels, forKey: .outputChannels)
        try values.encode(widths, forKey: .widths)
        try values.encode(blocksPerLevel, forKey: .blocksPerLevel)
        try values.encode(groups, forKey: .groups)
        try values.encode(
            encoderAttends.map { $0 ? "AttnDownEncoderBlock2D" : "DownEncoderBlock2D" },
            forKey: .down)
        try values.encode(
            decoderAttends.map { $0 ? "AttnUpDecoderBlock2D" : "UpDecoderBlock2D" }, forKey: .up)
        try values.encode(middleAttends, forKey: .middleAttends)
        try values.encode(Activation.silu, forKey: .activation)
    }
}

extension KeyedDecodingContainer<ConvolutionConfiguration.CodingKeys> {
    /// Which levels of a list of block types attend.
    fileprivate func attention(
        _ key: Key, levels: Int, plain: String, attending: String
    ) throws -> [Bool] {
        let types =
            try decodeIfPresent([String].self, forKey: key)
            ?? [String](repeating: plain, count: levels)
        try require(
            types.count == levels, key, "\(types.count) block types for \(levels) levels")
        return try types.map { type in
            try require(
                type == plain || type == attending, key,
                "\"\(type)\" is not known; known are \(plain) and \(attending)")
            return type == attending
        }
    }
}
