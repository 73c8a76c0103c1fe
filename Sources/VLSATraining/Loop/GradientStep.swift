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
    /// Every loss is summed and divided once by its count in the whole batch of all processes, so neither the cut
    /// into micro-batches nor the number of processes shows in the gradient. A loss that is not finite throws
    /// before its gradient is taken, in all processes alike.
    ///
    /// - Parameters:
    ///   - scale: what the gradient, but not the losses, is multiplied by.
    ///   - parallel: adds the gradients up over the processes; nil for one process.
    func accumulateGradients(
        _ batch: StepBatch<Example>, step: Int, noise: SampleNoise, scale: Double = 1,
        processes: Processes = Processes(), parallel: DataParallel? = nil, trace: TraceFile? = nil,
        lastCheckpoint: () -> String?
    ) throws -> BatchLosses {
        let counts = batch.counts
        guard counts.values.contains(where: { $0 > 0 }), counts["text"] != 0 else {
            throw RunError.nothingSupervised(step: step, records: batch.records)
        }
        var sums = LossSums()
        var fault: LossFault?
        var failure: (any Error)?
        let isKept = batch.parts.count > 1 && parallel?.zero != .gradients
        let gradients = isKept ? GradientSum(store.trainable.map(\.tensor)) : nil
        for round in 0..<batch.rounds {
            // A process that has no more samples, or a loss that is not finite, still meets the others.
            if round < batch.parts.count, fault == nil, failure == nil {
                do {
                    fault = try pass(
                        batch, part: round, step: step, noise: noise, scale: scale, trace: trace,
                        sums: &sums)
                    gradients?.add()
                } catch {
                    failure = error
                }
            }
            try traced(parallel == nil ? nil : trace, "exchange", step) { try parallel?.micro() }
        }
        gradients?.finish()
        let notes = try processes.together {
            if let failure { throw failure }
            return LossNote(sums: sums, fault: fault)
        }
        if let fault = notes.compactMap(\.fault).first {
            throw RunError.lossNotFinite(
                loss: fault.loss, value: fault.value, step: step, records: fault.records,
                checkpoint: lastCheckpoint())
        }
        var total = LossSums()
        for note in notes { total.add(note.sums) }
        for (name, count) in total.counts where counts[name] ?? 0 != count {
            throw RunError.countsDiffer(
                loss: name, expected: counts[name] ?? 0, found: count, records: batch.records)
        }
        try traced(parallel == nil ? nil : trace, "exchange", step) { try parallel?.finish() }
        return total.means { weight(of: $0, step: step) }
    }

    /// Forward and backward pass of one micro-batch; a loss that is not finite, if there is one.
    private func pass(
        _ batch: StepBatch<Example>, part: Int, step: Int, noise: SampleNoise, scale: Double,
        trace: TraceFile?, sums: inout LossSums
    ) throws -> LossFault? {
        let part = batch.parts[part]
        let examples = part.map { batch.examples[$0] }
        let generators = part.map { noise.generator(step: step, place: batch.places[$0]) }
        var objective: Tensor?
        let terms = try traced(trace, "forward", step) {
            try losses(examples, generators: generators)
        }
        for term in terms {
            let value = term.sum?.item() ?? 0
            guard value.isFinite else {
                return LossFault(
                    loss: term.name, value: value, records: examples.map(\.recordID))
            }
            sums.add(term, value)
            guard let count = batch.counts[term.name], count > 0,
                let part = self.objective(term, step: step)
            else { continue }
            let share = part / (Double(count) / scale)
            objective = objective.map { $0 + share } ?? share
        }
        if let objective, objective.requiresGradient {
            traced(trace, "backward", step) { objective.backward() }
        }
        return nil
    }

    /// Losses over the next `count` examples of `source`, a micro-batch at a time, without gradients; each process
    /// takes its part of them.
    func measure(
        _ source: any ExampleSource<Example>, count: Int, plan: BatchPlan, step: Int,
        noise: SampleNoise, processes: Processes = Processes()
    ) throws -> BatchLosses {
        try withoutGradients {
            var sums = LossSums()
            var failure: (any Error)?
            // As many at once as the processes' micro-batches together.
            let stretch = plan.micro * processes.count
            for start in stride(from: 0, to: count, by: stretch) {
                let share = try source.share(of: min(stretch, count - start), with: processes)
                guard failure == nil else { continue }
                do {
                    try measure(share, start: start, plan: plan, noise: noise, sums: &sums)
                } catch {
                    failure = error
                }
            }
            let notes = try processes.together {
                if let failure { throw failure }
                return sums
            }
            var total = LossSums()
            for note in notes { total.add(note) }
            return total.means { weight(of: $0, step: step) }
        }
    }

    private func measure(
        _ share: [(place: Int, example: Example)], start: Int, plan: BatchPlan, noise: SampleNoise,
        sums: inout LossSums
    ) throws {
        for places in plan.microBatches(of: share.map(\.example.tokenCount)) {
            let generators = places.map { noise.generator(step: 0, place: start + share[$0].place) }
            for term in try losses(places.map { share[$0].example }, generators: generators) {
                sums.add(term, term.sum?.item() ?? 0)
            }
        }
    }
}

/// A loss that is not finite.
private struct LossFault: Codable {
    let loss: String
    let value: Double
    let records: [String]
}

/// What a process says about its part of a step's losses.
private struct LossNote: Codable {
    let sums: LossSums
    let fault: LossFault?
}

/// `body`, as a span of `trace` where there is one.
func traced<Result>(
    _ trace: TraceFile?, _ name: String, _ step: Int, row: TraceFile.Row = .step,
    _ body: () throws -> Result
) rethrows -> Result {
    guard let trace else { return try body() }
    return try trace.span(name, step: step, row: row, body)
}

/// Sums of losses and of their units over micro-batches and processes.
private struct LossSums: Codable {
    private var order: [String] = []
    private var sums: [String: Double] = [:]
    private(set) var counts: [String: Int] = [:]

    mutating func add(_ term: LossTerm, _ value: Double) {
        if counts[term.name] == nil { order.append(term.name) }
        sums[term.name, default: 0] += value
        counts[term.name, default: 0] += term.count
    }

    mutating func add(_ other: LossSums) {
        for name in other.order {
            if counts[name] == nil { order.append(name) }
            sums[name, default: 0] += other.sums[name] ?? 0
            counts[name, default: 0] += other.counts[name] ?? 0
        }
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
