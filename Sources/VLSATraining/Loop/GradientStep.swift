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
    func accumulateGradients(
        _ batch: [Example], micro: Int, step: Int, generator: Generator, lastCheckpoint: String?
    ) throws -> BatchLosses {
        let counts = try counts(batch)
        let names = batch.map(\.recordID)
        guard counts.values.contains(where: { $0 > 0 }), counts["text"] != 0 else {
            throw RunError.nothingSupervised(step: step, records: names)
        }
        return try summed(batch, micro: micro, step: step, counts: counts) { part in
            let terms = try losses(part, generator: generator)
            for term in terms {
                guard let value = term.sum?.item(), !value.isFinite else { continue }
                throw RunError.lossNotFinite(
                    loss: term.name, value: value, step: step, records: part.map(\.recordID),
                    checkpoint: lastCheckpoint)
            }
            var objective: Tensor?
            for term in terms {
                guard let sum = term.sum, let count = counts[term.name], count > 0 else { continue }
                let share = sum * (weight(of: term.name, step: step) / Double(count))
                objective = objective.map { $0 + share } ?? share
            }
            if let objective, objective.requiresGradient { objective.backward() }
            return terms
        }
    }

    /// The batch's losses without gradients.
    func measure(_ batch: [Example], micro: Int, step: Int, generator: Generator) throws
        -> BatchLosses
    {
        try withoutGradients {
            try summed(batch, micro: micro, step: step, counts: try counts(batch)) {
                try losses($0, generator: generator)
            }
        }
    }

    private func summed(
        _ batch: [Example], micro: Int, step: Int, counts: [String: Int],
        _ body: ([Example]) throws -> [LossTerm]
    ) throws -> BatchLosses {
        var order: [String] = []
        var sums: [String: (sum: Double, count: Int)] = [:]
        for start in stride(from: 0, to: batch.count, by: micro) {
            for term in try body(Array(batch[start..<min(start + micro, batch.count)])) {
                if sums[term.name] == nil { order.append(term.name) }
                sums[term.name, default: (0, 0)].sum += term.sum?.item() ?? 0
                sums[term.name, default: (0, 0)].count += term.count
            }
        }
        var result = BatchLosses()
        for name in order {
            let (sum, found) = sums[name] ?? (0, 0)
            let expected = counts[name] ?? 0
            guard expected == found else {
                throw RunError.countsDiffer(
                    loss: name, expected: expected, found: found, records: batch.map(\.recordID))
            }
            guard found > 0 else { continue }
            let mean = sum / Double(found)
            result.means.append((name, mean))
            result.total += weight(of: name, step: step) * mean
        }
        return result
    }
}
