import Foundation
import Torch
import TorchNN

/// A checkpoint that is being written.
struct PendingSave {
    let step: Int
    let path: String
    let job: BackgroundJob
}

extension TrainingRun {
    /// Starts to publish a checkpoint of the present step, and lets old ones go.
    ///
    /// What changes from step to step is copied at once; the writing goes on in the background, one checkpoint
    /// at a time. How it ended is asked by ``noteSave()`` and ``settleSave()``.
    func save() throws {
        try settleSave()
        let state = RunState(
            step: step, samples: samples, tokens: tokens, seconds: seconds,
            position: try training.position(), validationLoss: validationLoss, plan: planText,
            spikes: plan.spikes.action == .off ? nil : spikes.memory)
        let isBackground = plan.checkpoint.background
        let (weights, moments) = traced(trace, "snapshot", step) {
            isBackground
                ? (model.store.snapshot(), optimizer.state.map { ($0, $1.snapshot()) })
                : (model.store, optimizer.state)
        }
        let write = { [model, checkpoints = folder.checkpoints, plan = plan.checkpoint, resumedFrom] in
            try checkpoints.save(state) { target in
                try model.save(weights, to: target + "/model")
                try SafetensorsFile.write(
                    moments, metadata: ["format": "pt"], to: target + "/optimizer.safetensors")
            }
            checkpoints.prune(keep: plan.keep, best: plan.best, sparing: resumedFrom)
        }
        pendingSave = PendingSave(
            step: step, path: folder.checkpoints.path(step: step),
            job: BackgroundJob(name: "vlsa-checkpoint") { [trace, step] in
                guard let trace else { return try write() }
                try trace.span("save", step: step, row: .checkpoint, write)
            })
        if !isBackground { try settleSave() }
    }

    /// Takes note of a checkpoint whose writing has ended since.
    ///
    /// - Throws: ``RunError/checkpointFailed(step:reason:last:)`` when it could not be written.
    func noteSave() throws {
        if let pendingSave, pendingSave.job.isDone { try settleSave() }
    }

    /// Waits for the checkpoint that is being written, if there is one; throws as ``noteSave()``.
    func settleSave() throws {
        guard let save = pendingSave else { return }
        pendingSave = nil
        do {
            if save.job.isDone {
                try save.job.wait()
            } else {
                try traced(trace, "wait for save", step) { try save.job.wait() }
            }
        } catch {
            let last =
                lastCheckpoint.map { "the last complete one is \($0)" } ?? "there is none yet"
            throw RunError.checkpointFailed(step: save.step, reason: "\(error)", last: last)
        }
        lastCheckpoint = save.path
        for observer in observers { try observer.checkpointSaved(save.path, of: self) }
    }

    /// The newest complete checkpoint, once the one that is being written has come to its end.
    func settledCheckpoint() -> String? {
        do { try pendingSave?.job.wait() } catch { return lastCheckpoint }
        return pendingSave?.path ?? lastCheckpoint
    }

    /// Makes the last checkpoint's model the run's result.
    func publishModel() throws {
        guard let lastCheckpoint else { return }
        if folder.isFinished {
            let old = "\(folder.path)/\(AtomicFiles.temporaryPrefix)old-model"
            guard rename(folder.model, old) == 0 else {
                throw RunError.cannotWrite(path: old, reason: String(cString: strerror(errno)))
            }
            try? FileManager.default.removeItem(atPath: old)
        }
        try AtomicFiles.makeFolder(folder.model) { target in
            try AtomicFiles.duplicate(lastCheckpoint + "/model", into: target)
        }
    }
}
