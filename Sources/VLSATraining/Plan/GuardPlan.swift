/// What is done about a loss that jumps (`guard:`).
///
/// A spike is a loss further above the median of the last steps than `factor` says. One that is not finite
/// always stops the run.
public struct GuardPlan: Codable, Equatable, Sendable {
    /// The answer to a spike.
    public enum Action: String, Codable, CaseIterable, Sendable {
        /// Nothing is watched.
        case off
        /// The batch is left out: weights and optimizer stay as they are, the step counts.
        case skip
        /// The run ends before the weights change.
        case stop
    }

    public var action: Action
    /// Steps whose losses make the median; nothing is a spike before there are as many.
    public var window: Int
    /// A loss above `factor` times the median is a spike.
    public var factor: Double
    /// Most steps skipped in a row; the next spike stops the run.
    public var patience: Int

    public init(
        action: Action = .off, window: Int = 50, factor: Double = 3, patience: Int = 5
    ) {
        self.action = action
        self.window = window
        self.factor = factor
        self.patience = patience
    }

    enum CodingKeys: String, CodingKey { case action, window, factor, patience }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        action = try values.decodeIfPresent(Action.self, forKey: .action) ?? .off
        window = try values.decodeIfPresent(Int.self, forKey: .window) ?? 50
        factor = try values.decodeIfPresent(Double.self, forKey: .factor) ?? 3
        patience = try values.decodeIfPresent(Int.self, forKey: .patience) ?? 5
        try refuse(
            !(2...100_000).contains(window), "must lie between 2 and 100000", CodingKeys.window)
        try refuse(!(factor > 1), "must be more than 1", CodingKeys.factor)
        try refuse(patience < 0, "must be 0 or more", CodingKeys.patience)
    }
}
