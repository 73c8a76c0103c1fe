import Torch

/// The samples of one optimizer step: those of this process, and what those of all processes are together.
struct StepBatch<Example: TrainingExample> {
    /// This process' samples.
    let examples: [Example]
    /// Their places among the samples of all processes.
    let places: [Int]
    /// How they are cut into micro-batches: indices into ``examples``.
    let parts: [[Int]]

    /// The most micro-batches that a process has.
    let rounds: Int
    /// Units of each loss.
    let counts: [String: Int]
    /// Names of all samples, in the order of their places.
    let records: [String]
    let tokens: Int
    let operations: Double?
    /// The longest time that a process waited for its data.
    let waited: Double
}

/// What a process says about its part of a step.
private struct ShareNote: Codable {
    var counts: [String: Int]
    var places: [Int]
    var records: [String]
    var tokens: Int
    var operations: Double?
    var waited: Double
    var rounds: Int
}

extension Trainable {
    /// Puts what all processes have for a step together.
    func batch(
        _ share: [(place: Int, example: Example)], plan: BatchPlan,
        processes: Processes = Processes(),
        waited: Double = 0
    ) throws -> StepBatch<Example> {
        let examples = share.map(\.example)
        let parts = plan.microBatches(of: examples.map(\.tokenCount))
        let notes = try processes.together {
            ShareNote(
                counts: try self.counts(examples), places: share.map(\.place),
                records: examples.map(\.recordID),
                tokens: examples.reduce(0) { $0 + $1.tokenCount }, operations: operations(examples),
                waited: waited, rounds: parts.count)
        }
        var units: [String: Int] = [:]
        for note in notes { units.merge(note.counts, uniquingKeysWith: +) }
        let known = notes.compactMap(\.operations)
        let named = notes.flatMap { zip($0.places, $0.records) }.sorted { $0.0 < $1.0 }
        return StepBatch(
            examples: examples, places: share.map(\.place), parts: parts,
            rounds: notes.map(\.rounds).max() ?? 0, counts: units, records: named.map(\.1),
            tokens: notes.reduce(0) { $0 + $1.tokens },
            operations: known.count == notes.count ? known.reduce(0, +) : nil,
            waited: notes.map(\.waited).max() ?? 0)
    }
}
