import Torch
import TorchNN

/// One thing to learn from, as far as the loop needs to know it.
public protocol TrainingExample {
    /// Name of the record, for messages.
    var recordID: String { get }
    /// Tokens of text, for the speed that is shown.
    var tokenCount: Int { get }
}

/// One loss of some examples, as a sum over `count` units (tokens, pictures, …).
public struct LossTerm {
    /// Its name in metrics, such as `text`.
    public let name: String
    /// The sum, a float32 scalar with its graph; nil when there was nothing to sum.
    public let sum: Tensor?
    public let count: Int

    public init(name: String, sum: Tensor?, count: Int) {
        self.name = name
        self.sum = sum
        self.count = count
    }
}

/// A model as ``TrainingRun`` trains it.
public protocol Trainable<Example>: AnyObject {
    associatedtype Example: TrainingExample

    /// All parameters by name; the run chooses which of them learn.
    var store: ParameterStore { get }

    /// Units that ``losses(_:generators:)`` will sum each loss over.
    ///
    /// They are asked for before the forward pass, so that every micro-batch can be divided by the whole
    /// step's count and k micro-batches give the gradient of one batch. They must not depend on chance.
    func counts(_ examples: [Example]) throws -> [String: Int]

    /// The losses of some examples, as sums.
    ///
    /// - Parameter generators: one for each example, for the noise it is trained with, so that its noise
    ///   depends neither on its neighbours nor on the process that trains it.
    func losses(_ examples: [Example], generators: [Generator]) throws -> [LossTerm]

    /// Weight of a loss in the total at a step; 1 unless the model says otherwise.
    func weight(of loss: String, step: Int) -> Double

    /// Floating-point operations of the model's matrix products for some examples, forward and backward, as
    /// far as what is trained needs them; nil where they are not known.
    func operations(_ examples: [Example]) -> Double?

    /// What a loss adds to the sum that is differentiated, before it is divided by the step's count of its
    /// units: the weighted sum unless the model says otherwise. Nil when there was nothing to sum.
    func objective(_ term: LossTerm, step: Int) -> Tensor?

    /// Norms of its own that the backward passes of a step left, for the metrics; asked for once a step. Over several
    /// processes they are put together as norms of parts are.
    ///
    /// - Parameter scale: what the passes' gradients were multiplied by.
    func takeMeasures(scale: Double) -> [(name: String, value: Double)]

    /// Writes the whole model as a folder from which it can be loaded again.
    ///
    /// It is called on another thread while the model goes on learning, so it may read nothing that changes
    /// but `weights`.
    ///
    /// - Parameter weights: the model's ``store``, or one that holds its values of a moment; nothing else is written.
    func save(_ weights: ParameterStore, to folder: String) throws
}

extension Trainable {
    /// Writes the model as it is now.
    public func save(to folder: String) throws { try save(store, to: folder) }

    public func operations(_ examples: [Example]) -> Double? { nil }

    public func weight(of loss: String, step: Int) -> Double { 1 }

    public func objective(_ term: LossTerm, step: Int) -> Tensor? {
        term.sum.map { $0 * weight(of: term.name, step: step) }
    }

    public func takeMeasures(scale: Double) -> [(name: String, value: Double)] { [] }
}
