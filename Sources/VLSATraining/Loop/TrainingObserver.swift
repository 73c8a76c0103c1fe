/// What one optimizer step did.
public struct StepReport: Sendable {
    /// Steps taken, this one included.
    public let step: Int
    /// Weighted sum of the losses' means.
    public let loss: Double
    /// Mean of each loss over its units (tokens, pictures).
    public let losses: [(name: String, value: Double)]
    /// Weight of each loss in the objective.
    public let weights: [(name: String, value: Double)]
    /// The model's own numbers.
    public let measures: [(name: String, value: Double)]
    /// The schedule's multiplier of the learning rates.
    public let rateMultiplier: Double
    /// Norm of all gradients together, before clipping.
    public let gradientNorm: Double
    public let samples: Int
    public let tokens: Int
    /// Time of the whole step, waiting for data included.
    public let seconds: Double
    /// Time spent waiting for data.
    public let waited: Double
    /// The model's floating-point operations, as ``Trainable/operations(_:)`` counts them; nil where unknown.
    public var operations: Double?
    /// Whether the loss jumped and the weights were left as they were.
    public var isSkipped = false
}

/// What a validation found.
public struct ValidationReport: Sendable {
    public let step: Int
    /// Weighted sum of the losses' means.
    public let loss: Double
    /// Mean of each loss over its units.
    public let losses: [(name: String, value: Double)]
    public let samples: Int
}

/// How a run ended.
public enum TrainingOutcome: Equatable, Sendable {
    /// All steps are done; the final model's folder.
    case finished(model: String)
    /// A signal came; everything up to here is in the checkpoint.
    case interrupted(signal: Int32, checkpoint: String)

    /// What the command ends with: 0, or 128 + signal as shells have it (130 SIGINT, 143 SIGTERM).
    public var exitCode: Int32 {
        switch self {
        case .finished: 0
        case .interrupted(let signal, _): 128 + signal
        }
    }
}

/// Looks on while a run trains; pictures and reports come in this way.
///
/// An observer must not touch the run's weights: the run would no longer be the one that a resumed run
/// repeats.
public protocol TrainingObserver<Model>: AnyObject {
    associatedtype Model: Trainable

    /// Before the first step of this sitting.
    func runStarted(_ run: TrainingRun<Model>) throws
    /// After each step.
    func stepTaken(_ report: StepReport, of run: TrainingRun<Model>) throws
    /// After each validation, before a checkpoint of the same step.
    func validated(_ report: ValidationReport, of run: TrainingRun<Model>) throws
    /// After a checkpoint was published, which may be some steps after the one it is of.
    func checkpointSaved(_ path: String, of run: TrainingRun<Model>) throws
    /// After the last thing was written.
    func runEnded(_ outcome: TrainingOutcome, of run: TrainingRun<Model>) throws
}

extension TrainingObserver {
    public func runStarted(_ run: TrainingRun<Model>) throws {}
    public func stepTaken(_ report: StepReport, of run: TrainingRun<Model>) throws {}
    public func validated(_ report: ValidationReport, of run: TrainingRun<Model>) throws {}
    public func checkpointSaved(_ path: String, of run: TrainingRun<Model>) throws {}
    public func runEnded(_ outcome: TrainingOutcome, of run: TrainingRun<Model>) throws {}
}
