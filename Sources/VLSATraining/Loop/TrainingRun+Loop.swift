import Foundation
import Torch
import TorchNN

extension TrainingRun {
    /// Trains to the end, or until a signal comes.
    ///
    /// A run that had finished before returns at once.
    ///
    /// Of several processes each calls it, and all end together.
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
        let outcome = try trainToTheEnd()
        try trace?.close()
        return outcome
    }

    private func trainToTheEnd() throws -> TrainingOutcome {
        do {
            return try takeSteps()
        } catch {
            // A checkpoint on its way is still good; if it fails as well, the first error stays the one.
            do { try settleSave() } catch let second { progress.message("\(second)") }
            throw error
        }
    }

    private func takeSteps() throws -> TrainingOutcome {
        if processes.isFirst {
            // A sitting spares the checkpoint that it began with; the one before may have left its own.
            folder.checkpoints.prune(
                keep: plan.checkpoint.keep, best: plan.checkpoint.best, sparing: resumedFrom)
        }
        try processes.agree { for observer in observers { try observer.runStarted(self) } }
        var window = MetricWindow()
        while step < steps {
            let report = try takeStep()
            window.add(report)
            // A signal to one process, or a checkpoint that could not be written, is everybody's.
            let signals = try processes.together {
                try noteSave()
                for observer in observers { try observer.stepTaken(report, of: self) }
                return options.watchesSignals ? Interruption.signal ?? 0 : 0
            }
            let signal = signals.first { $0 != 0 }
            let isLast = step == steps
            let isDue = plan.checkpoint.every > 0 && step % plan.checkpoint.every == 0
            let willSave = isDue || isLast || signal != nil
            progress.update(step, notes: window.notes, forced: isLast)
            if step % plan.log.every == 0 || willSave {
                try processes.agree { try log(window) }
                window = MetricWindow()
            }
            validationLoss = nil
            if let validation, plan.validate.every > 0, step % plan.validate.every == 0 || isLast {
                try validate(validation)
            }
            guard willSave else { continue }
            try save()
            if let signal, !isLast {
                try processes.agree { try settleSave() }
                let path = folder.checkpoints.path(step: step)
                progress.message("stopped by signal \(signal) at step \(step); saved \(path)")
                return try ended(.interrupted(signal: signal, checkpoint: path))
            }
        }
        try processes.agree {
            try settleSave()
            if processes.isFirst { try publishModel() }
        }
        return try ended(.finished(model: folder.model))
    }

    private func ended(_ outcome: TrainingOutcome) throws -> TrainingOutcome {
        try processes.agree {
            if processes.isFirst {
                try AtomicFiles.write(Data(try RunPage(folder).html().utf8), to: folder.report)
            }
            for observer in observers { try observer.runEnded(outcome, of: self) }
        }
        return outcome
    }

    /// One optimizer step.
    func takeStep() throws -> StepReport {
        let start = ContinuousClock.now
        let (batch, losses, norm) = try takeGradients()
        let measures = try processes.norms(model.takeMeasures(scale: lossScaler?.scale ?? 1))
        let weights = losses.means.map { ($0.name, model.weight(of: $0.name, step: step)) }
        let spike = spikes.check(losses.total)
        if let spike {
            guard spike.isSkipped else {
                throw RunError.lossSpike(
                    loss: spike.loss, median: spike.median, plan: plan.spikes, step: step,
                    records: batch.records, checkpoint: settledCheckpoint())
            }
            try processes.agree { try note(spike, records: batch.records) }
        }
        try settleCopy()
        let multiplier = schedule.multiplier(step)
        if spike == nil {
            traced(trace, "optimizer", step) {
                optimizer.step(
                    rateMultiplier: multiplier, gradientFactor: 1 / (lossScaler?.scale ?? 1))
            }
            try traced(parallel == nil ? nil : trace, "exchange", step) { try parallel?.spread() }
            lossScaler?.succeeded()
        }
        optimizer.clearGradients()
        step += 1
        samples += batch.records.count
        tokens += batch.tokens
        let took = start.duration(to: .now) / .seconds(1)
        seconds += took
        try trace?.flush()
        return StepReport(
            step: step, loss: losses.total, losses: losses.means, weights: weights,
            measures: measures, rateMultiplier: multiplier,
            gradientNorm: norm, samples: batch.records.count, tokens: batch.tokens, seconds: took,
            waited: batch.waited, operations: batch.operations, isSkipped: spike != nil)
    }

    /// Everything of a step but the update: the next batch, its losses, and the clipped gradients.
    func takeGradients() throws -> (
        batch: StepBatch<Model.Example>, losses: BatchLosses, norm: Double
    ) {
        let start = ContinuousClock.now
        let share = try traced(trace, "data", step) {
            try training.share(of: plan.batch.samples, with: processes)
        }
        let batch = try model.batch(
            share, plan: plan.batch, processes: processes,
            waited: start.duration(to: .now) / .seconds(1))
        let limit = plan.optimizer.clip > 0 ? plan.optimizer.clip : .infinity
        func attempt() throws -> (BatchLosses, norm: Double) {
            let scale = lossScaler?.scale ?? 1
            let losses = try model.accumulateGradients(
                batch, step: step, noise: noise, scale: scale, processes: processes,
                parallel: parallel, trace: trace, lastCheckpoint: settledCheckpoint)
            let norm = try traced(trace, "clip", step) {
                try parallel?.clip(maxNorm: limit * scale)
                    ?? clipGradients(of: optimizer.tensors, maxNorm: limit * scale)
            }
            return (losses, norm / scale)
        }
        var (losses, norm) = try attempt()
        // An fp16 gradient that overflows is taken again with a smaller scale: same samples, same noise.
        while !norm.isFinite, lossScaler?.overflowed() == true {
            optimizer.clearGradients()
            _ = model.takeMeasures(scale: 1)
            (losses, norm) = try attempt()
        }
        guard norm.isFinite else {
            throw RunError.gradientNotFinite(
                norm: norm, step: step, records: batch.records, checkpoint: settledCheckpoint())
        }
        return (batch, losses, norm)
    }

    /// Says that a step is left out, and why.
    private func note(_ spike: LossGuard.Spike, records: [String]) throws {
        progress.message(
            String(
                format:
                    "warning: step %d is skipped: its loss is %.4f, the median of the last %d is %.4f",
                step + 1, spike.loss, plan.spikes.window, spike.median)
                + "\n  records: \(RunError.listed(records))")
        let values = [("loss", spike.loss), ("median", spike.median)]
        try metrics?.add("skipped", step: step + 1, values)
        try events?.add(values.map { ("skipped/\($0.0)", $0.1) }, step: step + 1)
    }

    private func log(_ window: MetricWindow) throws {
        var values = window.values
        values.append(("rate", plan.optimizer.rate * (window.last?.rateMultiplier ?? 0)))
        if let lossScaler { values.append(("lossScale", lossScaler.scale)) }
        values.append(("residentMiB", Double(TorchRuntime.residentBytes >> 20)))
        values.append(("samples", Double(samples)))
        values.append(("seconds", seconds))
        try metrics?.add("train", step: step, values)
        try events?.add(values.map { ("train/\($0.name)", $0.value) }, step: step)
        if window.waiting > 0.25, window.seconds > 5, !saidWaiting {
            saidWaiting = true
            progress.message(
                String(
                    format: "warning: %.0f%% of the time goes into waiting for data; "
                        + "raise data.workers or data.cacheBytes", window.waiting * 100))
        }
    }

    /// Loss over the first examples of the validation data, the same ones and the same noise every time.
    func validate(_ source: any ExampleSource<Model.Example>) throws {
        try source.seek(validationStart)
        let count = min(source.count, plan.validate.batches * plan.batch.micro)
        guard count > 0 else { return }
        let losses = try traced(trace, "validation", step) {
            try model.measure(
                source, count: count, plan: plan.batch, step: step,
                noise: SampleNoise(seed: plan.seed ^ 0x5eed, device: model.store.device),
                processes: processes)
        }
        let report = ValidationReport(
            step: step, loss: losses.total, losses: losses.means, samples: count)
        validationLoss = report.loss
        let values = [("loss", report.loss)] + report.losses.map { ("loss/\($0.name)", $0.value) }
        try processes.agree {
            try metrics?.add("validation", step: step, values)
            try events?.add(values.map { ("validation/\($0.0)", $0.1) }, step: step)
            progress.message(
                "step \(step): validation " + MetricWindow.text(report.loss, report.losses))
            for observer in observers { try observer.validated(report, of: self) }
        }
    }
}
