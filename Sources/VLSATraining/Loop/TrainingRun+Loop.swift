import Foundation
import Torch
import TorchNN

extension TrainingRun {
    /// Trains to the end, or until a signal comes.
    ///
    /// A run that had finished before returns at once.
    ///
    /// - Throws: ``RunError`` when a loss or gradient is not finite (before the weights change), when nothing
    ///   is supervised, or when the disk does not take what is to be saved.
    public func train() throws -> TrainingOutcome {
        if step >= steps, folder.isFinished { return .finished(model: folder.model) }
        if options.watchesSignals { Interruption.watch() }
        defer {
            if options.watchesSignals { Interruption.unwatch() }
            progress.finish()
        }
        do {
            return try takeSteps()
        } catch {
            // A checkpoint on its way is still good; if it fails as well, the first error stays the one.
            do { try settleSave() } catch let second { progress.message("\(second)") }
            throw error
        }
    }

    private func takeSteps() throws -> TrainingOutcome {
        for observer in observers { try observer.runStarted(self) }
        var window = MetricWindow()
        while step < steps {
            let report = try takeStep()
            try noteSave()
            window.add(report)
            for observer in observers { try observer.stepTaken(report, of: self) }
            let isLast = step == steps
            let signal = options.watchesSignals ? Interruption.signal : nil
            let isDue = plan.checkpoint.every > 0 && step % plan.checkpoint.every == 0
            let willSave = isDue || isLast || signal != nil
            progress.update(step, notes: window.notes, forced: isLast)
            if step % plan.log.every == 0 || willSave {
                try log(window)
                window = MetricWindow()
            }
            validationLoss = nil
            if let validation, plan.validate.every > 0, step % plan.validate.every == 0 || isLast {
                try validate(validation)
            }
            guard willSave else { continue }
            try save()
            if let signal, !isLast {
                try settleSave()
                let path = folder.checkpoints.path(step: step)
                progress.message("stopped by signal \(signal) at step \(step); saved \(path)")
                return try ended(.interrupted(signal: signal, checkpoint: path))
            }
        }
        try settleSave()
        try publishModel()
        return try ended(.finished(model: folder.model))
    }

    private func ended(_ outcome: TrainingOutcome) throws -> TrainingOutcome {
        for observer in observers { try observer.runEnded(outcome, of: self) }
        return outcome
    }

    /// One optimizer step.
    private func takeStep() throws -> StepReport {
        let start = ContinuousClock.now
        let batch = try training.next(plan.batch.samples)
        let waited = start.duration(to: .now)
        let losses = try model.accumulateGradients(
            batch, micro: plan.batch.micro, step: step, noise: noise,
            lastCheckpoint: settledCheckpoint)
        let limit = plan.optimizer.clip > 0 ? plan.optimizer.clip : .infinity
        let norm = clipGradients(of: optimizer.tensors, maxNorm: limit)
        guard norm.isFinite else {
            throw RunError.gradientNotFinite(
                norm: norm, step: step, records: batch.map(\.recordID),
                checkpoint: settledCheckpoint())
        }
        let multiplier = schedule.multiplier(step)
        optimizer.step(rateMultiplier: multiplier)
        optimizer.clearGradients()
        step += 1
        samples += batch.count
        let text = batch.reduce(0) { $0 + $1.tokenCount }
        tokens += text
        let took = start.duration(to: .now) / .seconds(1)
        seconds += took
        return StepReport(
            step: step, loss: losses.total, losses: losses.means, rateMultiplier: multiplier,
            gradientNorm: norm, samples: batch.count, tokens: text, seconds: took,
            waited: waited / .seconds(1))
    }

    private func log(_ window: MetricWindow) throws {
        var values = window.values
        values.append(("rate", plan.optimizer.rate * (window.last?.rateMultiplier ?? 0)))
        values.append(("residentMiB", Double(TorchRuntime.residentBytes >> 20)))
        values.append(("samples", Double(samples)))
        values.append(("seconds", seconds))
        try metrics.add("train", step: step, values)
        try events.add(values.map { ("train/\($0.name)", $0.value) }, step: step)
        if window.waiting > 0.25, window.seconds > 5, !saidWaiting {
            saidWaiting = true
            progress.message(
                String(
                    format: "warning: %.0f%% of the time goes into waiting for data; "
                        + "raise data.workers or data.cacheBytes", window.waiting * 100))
        }
    }

    /// Loss over the first examples of the validation data, the same ones and the same noise every time.
    private func validate(_ source: any ExampleSource<Model.Example>) throws {
        try source.seek(validationStart)
        let count = min(source.count, plan.validate.batches * plan.batch.micro)
        guard count > 0 else { return }
        let losses = try model.measure(
            source, count: count, micro: plan.batch.micro, step: step,
            noise: SampleNoise(seed: plan.seed ^ 0x5eed, device: model.store.device))
        let report = ValidationReport(
            step: step, loss: losses.total, losses: losses.means, samples: count)
        validationLoss = report.loss
        let values = [("loss", report.loss)] + report.losses.map { ("loss/\($0.name)", $0.value) }
        try metrics.add("validation", step: step, values)
        try events.add(values.map { ("validation/\($0.0)", $0.1) }, step: step)
        progress.message(
            "step \(step): validation " + MetricWindow.text(report.loss, report.losses))
        for observer in observers { try observer.validated(report, of: self) }
    }
}

/// Means over the steps since the last line of metrics.
struct MetricWindow {
    private var reports: [StepReport] = []

    mutating func add(_ report: StepReport) { reports.append(report) }

    var last: StepReport? { reports.last }

    private func mean(_ value: (StepReport) -> Double) -> Double {
        reports.isEmpty ? 0 : reports.reduce(0) { $0 + value($1) } / Double(reports.count)
    }

    /// Time of all steps together.
    var seconds: Double { reports.reduce(0) { $0 + $1.seconds } }

    private func perSecond(_ value: (StepReport) -> Int) -> Double {
        seconds > 0 ? Double(reports.reduce(0) { $0 + value($1) }) / seconds : 0
    }

    /// Share of the time spent waiting for data, 0...1.
    var waiting: Double {
        seconds > 0 ? reports.reduce(0) { $0 + $1.waited } / seconds : 0
    }

    private var losses: [(name: String, value: Double)] {
        var order: [String] = []
        var sums: [String: (sum: Double, count: Int)] = [:]
        for (name, value) in reports.flatMap(\.losses) {
            if sums[name] == nil { order.append(name) }
            sums[name, default: (0, 0)].sum += value
            sums[name, default: (0, 0)].count += 1
        }
        return order.map { name in
            (name, sums[name].map { $0.sum / Double($0.count) } ?? 0)
        }
    }

    var values: [(name: String, value: Double)] {
        [("loss", mean(\.loss))] + losses.map { ("loss/\($0.name)", $0.value) } + [
            ("gradientNorm", mean(\.gradientNorm)), ("samplesPerSecond", perSecond(\.samples)),
            ("tokensPerSecond", perSecond(\.tokens)), ("dataWait", waiting),
        ]
    }

    var notes: String {
        [
            MetricWindow.text(mean(\.loss), losses),
            String(
                format: "%.1f samples/s · %.0f tokens/s · data %.0f%%", perSecond(\.samples),
                perSecond(\.tokens), waiting * 100),
            "\(TorchRuntime.residentBytes >> 20) MiB",
        ].joined(separator: " · ")
    }

    static func text(_ total: Double, _ losses: [(name: String, value: Double)]) -> String {
        let parts = losses.map { String(format: "%@ %.4f", $0.name, $0.value) }
        return String(format: "loss %.4f", total)
            + (parts.count > 1 ? " (\(parts.joined(separator: ", ")))" : "")
    }
}
