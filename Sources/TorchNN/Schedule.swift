import Glibc

/// The learning rate over a run, as a multiplier of each group's own rate.
public struct Schedule: Codable, Equatable, Sendable {
    /// What follows the warm-up.
    public enum Kind: String, Codable, CaseIterable, Sendable {
        /// Stays at 1.
        case constant
        /// Falls in a straight line.
        case linear
        /// Falls as half a cosine wave.
        case cosine
    }

    /// What follows the warm-up.
    public let kind: Kind
    /// Steps over which the multiplier rises from 0 to 1.
    public let warmup: Int
    /// Steps of the whole run, the warm-up included.
    public let total: Int
    /// The multiplier at the end, 0...1.
    public let floor: Double

    /// - Parameters:
    ///   - warmup: steps, 0 for none.
    ///   - total: steps of the whole run, the warm-up included.
    ///   - floor: where `linear` and `cosine` end.
    public init(_ kind: Kind, warmup: Int = 0, total: Int, floor: Double = 0) {
        self.kind = kind
        self.warmup = warmup
        self.total = total
        self.floor = floor
    }

    /// The multiplier for the step that comes after `step` steps; step 0 of a warm-up has 0.
    public func multiplier(_ step: Int) -> Double {
        if step < warmup { return Double(step) / Double(max(1, warmup)) }
        let progress = min(1, Double(step - warmup) / Double(max(1, total - warmup)))
        let height =
            switch kind {
            case .constant: 1.0
            case .linear: 1 - progress
            case .cosine: 0.5 * (1 + cos(.pi * progress))
            }
        return kind == .constant ? 1 : floor + (1 - floor) * max(0, height)
    }
}
