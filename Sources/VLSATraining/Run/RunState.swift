import TorchNN

/// Everything beside weights and optimizer that a run needs to go on as if it had never stopped.
public struct RunState: Codable, Equatable, Sendable {
    /// Optimizer steps taken.
    public var step: Int
    /// Samples and tokens seen.
    public var samples: Int
    public var tokens: Int
    /// Seconds of training so far, over all sittings.
    public var seconds: Double
    /// Position in the training data, as its source wrote it.
    public var position: [UInt8]
    /// Validation loss at this step, where it was measured.
    public var validationLoss: Double?
    /// The resolved plan.
    public var plan: String

    /// What the loss guard remembers; nil where nothing is watched.
    public var spikes: LossGuard.Memory?

    /// The scale of the loss; nil where it is not scaled.
    public var lossScaler: LossScaler?

    public init(
        step: Int, samples: Int, tokens: Int, seconds: Double, position: [UInt8],
        validationLoss: Double?, plan: String, spikes: LossGuard.Memory? = nil,
        lossScaler: LossScaler? = nil
    ) {
        self.step = step
        self.samples = samples
        self.tokens = tokens
        self.seconds = seconds
        self.position = position
        self.validationLoss = validationLoss
        self.plan = plan
        self.spikes = spikes
        self.lossScaler = lossScaler
    }
}
