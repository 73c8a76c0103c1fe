import TorchNN

/// Low-rank adapters on chosen linear layers, which are trained while the layers' own weights stay (`lora:`).
public struct LoRAPlan: Equatable, Sendable {
    /// Width of the bottleneck.
    public var rank: Int
    /// The adapters' output is multiplied by `alpha / rank`; the rank itself unless stated.
    public var alpha: Double
    /// Share of an adapter's inputs zeroed in training.
    public var dropout: Double
    /// Linear layers by name, `*` for anything; the last segments of a name are enough.
    public var targets: [String]

    /// The adapters as the model takes them.
    public var configuration: LoRAConfiguration {
        LoRAConfiguration(rank: rank, alpha: alpha, dropout: dropout, targets: targets)
    }
}

extension LoRAPlan: Codable {
    enum CodingKeys: String, CodingKey { case rank, alpha, dropout, targets }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        rank = try values.decode(Int.self, forKey: .rank)
        alpha = try values.decodeIfPresent(Double.self, forKey: .alpha) ?? Double(rank)
        dropout = try values.decodeIfPresent(Double.self, forKey: .dropout) ?? 0
        targets = try values.decode([String].self, forKey: .targets)
        try refuse(rank < 1, "must be 1 or more", CodingKeys.rank)
        try refuse(alpha <= 0, "must be more than 0", CodingKeys.alpha)
        try refuse(!(0..<1).contains(dropout), "must be 0 to below 1", CodingKeys.dropout)
        try refuse(
            targets.isEmpty || targets.contains(""), "must name layers, such as q_proj",
            CodingKeys.targets)
    }
}
