import TorchNN

/// Training with several processes (`processes:`); without effect on one alone.
public struct ProcessesPlan: Codable, Equatable, Sendable {
    /// ZeRO's stage (arXiv:1910.02054): 0 divides nothing, 1 the optimizer's state, 2 the sums of gradients too.
    public var zero: Int
    /// Seconds that a process waits for the others, at the start and at any later point.
    public var timeout: Double

    public init(zero: Int = 0, timeout: Double = 600) {
        self.zero = zero
        self.timeout = timeout
    }

    /// ``zero`` as the optimizer takes it.
    var stage: ZeroStage { ZeroStage(rawValue: zero) ?? .none }

    enum CodingKeys: String, CodingKey { case zero, timeout }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        zero = try values.decodeIfPresent(Int.self, forKey: .zero) ?? 0
        timeout = try values.decodeIfPresent(Double.self, forKey: .timeout) ?? 600
        try refuse(
            !(0...2).contains(zero),
            "must be 0 (nothing is divided), 1 (the optimizer's state) or 2 (the gradients' sums too)",
            CodingKeys.zero)
        try refuse(
            !(1...86_400).contains(timeout), "must lie between 1 and 86400", CodingKeys.timeout)
    }
}
