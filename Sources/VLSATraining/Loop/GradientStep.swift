import Torch
import TorchNN

/// What one optimizer step's batch gave.
struct BatchLosses {
    /// Mean of each loss over its units, in the order the model names them.
    var means: [(name: String, value: Double)] = []
    /// Weighted sum of the means.
    var total = 0.0
}

extension Trainable {
    /// Adds the gradient of the batch's total loss to the parameters, a micro-batch at a time.
    ///
    /// Every loss is summed and divided once by its count in the whole batch, so the cut into micro-batches
    /// does not show in the gradient. A loss that is not finite throws before its gradient is taken.
    ///
    /// - Parameter scale: what the gradient, but not the losses, is multiplied by.
    func accumulateGradients(
        _ batch: [Example], plan: BatchPlan, step: Int, noise: SampleNoise,
        scale: Double = 1, trace: TraceFile? = nil, lastCheckpoint: () -> String?
    ) throws -> BatchLosses {
        let counts = try counts(batch)
        let names = batch.map(\.recordID)
        guard counts.values.contains(where: { $0 > 0 }), counts["text"] != 0 else {
            throw RunError.nothingSupervised(step: step, records: names)
        }
        var sums = LossSums()
        let parts = plan.microBatches(of: batch.map(\.tokenCount))
        let gradients = parts.count > 1 ? GradientSum(store.trainable.map(\.tensor)) : nil
        for places in parts {
            let part = places.map { batch[$0] }
            var objective: Tensor?
            let generators = places.map { noise.generator(step: step, place: $0) }
            let terms = try traced(trace, "forward", step) {
                try losses(part, generators: generators)
            }
            for term in terms {
                let value = term.sum?.item() ?? 0
                guard value.isFinite else {
                    throw RunError.lossNotFinite(
                        loss: term.name, value: value, step: step, records: part.map(\.recordID),
                        checkpoint: lastCheckpoint())
                }
                sums.add(term, value)
                guard let count = counts[term.name], count > 0,
                    let part = self.objective(term, step: step)
                else { continue }
                let share = part / (Double(count) / scale)
                objective = objective.map { $0 + share } ?? share
            }
            if let objective, objective.requiresGradient {
                traced(trace, "backward", step) { objective.backward() }
                gradients?.add()
            }
        }
        gradients?.finish()
        for (name, count) in sums.counts where counts[name] ?? 0 != count {
            throw RunError.countsDiffer(
                loss: name, expected: counts[name] ?? 0, found: count, records: names)
        }
        return sums.means { weight(of: $0, step: step) }
    }

    /// Losses over the next `count` examples of `source`, a micro-batch at a time, without gradients.
    func measure(
        _ source: any ExampleSource<Example>, count: Int, plan: BatchPlan, step: Int,
        noise: SampleNoise
    ) throws -> BatchLosses {
        try withoutGradients {
            var sums = LossSums()
            for start in stride(from: 0, to: count, by: plan.micro) {
                let examples = try source.next(min(plan.micro, count - start))
                for places in plan.microBatches(of: examples.map(\.tokenCount)) {
                    let generators = places.map { noise.generator(step: 0, place: start + $0) }
                    for term in try losses(places.map { examples[$0] }, generators: generators) {
                        sums.add(term, term.sum?.item() ?? 0)
                    }
                }
            }
            return sums.means { weight(of: $0, step: step) }
        }
    }
}

/// `body`, as a span of `trace` where there is one.
func traced<Result>(
    _ trace: TraceFile?, _ name: String, _ step: Int, row: TraceFile.Row = .step,
    _ body: () throws -> Result
) rethrows -> Result {
    guard let trace else { return try body() }
    return try trace.span(name, step: step, row: row, body)
}

/// Sums of losses and of their units over micro-batches.
private struct LossSums {
    private var order: [String] = []
    private var sums: [String: Double] = [:]
    private(set) var counts: [String: Int] = [:]

    mutating func add(_ term: LossTerm, _ value: Double) {
        if counts[term.name] == nil { order.append(term.name) }
        sums[term.name, default: 0] += value
        counts[term.name, default: 0] += term.count
    }

    func means(weight: (String) -> Double) -> BatchLosses {
        var result = BatchLosses()
        for name in order {
            guard let count = counts[name], count > 0 else { continue }
            let mean = (sums[name] ?? 0) / Double(count)
            result.means.append((name, mean))
            result.total += weight(name) * mean
        }
        return result
    }
}
