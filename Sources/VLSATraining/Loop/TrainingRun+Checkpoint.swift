import Foundation
import Torch
import TorchNN

/// A checkpoint that is being written.
struct PendingSave {
    let step: Int
    let path: String
    /// The weights and the optimizer's state of the step.
    let held: HeldValues
    /// Writes them.
    let job: BackgroundJob
}

/// What a checkpoint is written from.
private struct CheckpointContent {
    let weights: ParameterStore
    let moments: [(String, Tensor)]
}

extension TrainingRun {
    /// Starts to publish a checkpoint of the present step, and lets old ones go.
    ///
    /// It is written in the background, one checkpoint at a time, from where the values are: the next step's forward
    /// and backward pass change nothing of them. Before its update ``settleCopy()`` copies what is not written by then.
    /// A step on a GPU is soon over, so there the copy begins at once, beside it. How it ended is asked by
    /// ``noteSave()`` and ``settleSave()``. The first process writes, what the others have of the optimizer's state
    /// included.
    func save() throws {
        let moments = try parallel?.state(of: optimizer) ?? optimizer.state
        try processes.agree { if processes.isFirst { try save(moments) } }
    }

    private func save(_ moments: [(String, Tensor)]) throws {
        try settleSave()
        let state = RunState(
            step: step, samples: samples, tokens: tokens, seconds: seconds,
            position: try training.position(), validationLoss: validationLoss, plan: planText,
            spikes: plan.spikes.action == .off ? nil : spikes.memory, lossScaler: lossScaler)
        let held = HeldValues()
        let content = CheckpointContent(
            weights: model.store.saved(holding: held),
            moments: moments.map { ($0, held.hold($1)) })
        let write = {
            [model, checkpoints = folder.checkpoints, plan = plan.checkpoint, resumedFrom] in
            try checkpoints.save(state) { target in
                try held.writing {
                    try model.save(content.weights, to: target + "/model")
                    try SafetensorsFile.write(
                        content.moments, metadata: ["format": "pt"],
                        to: target + "/optimizer.safetensors")
                }
                return held.written
            }
            checkpoints.prune(keep: plan.keep, best: plan.best, sparing: resumedFrom)
        }
        let job = BackgroundJob(name: "vlsa-checkpoint", isPatient: true) { [trace, step] in
            try traced(trace, "save", step, row: .checkpoint, write)
        }
        pendingSave = PendingSave(
            step: step, path: folder.checkpoints.path(step: step), held: held, job: job)
        if !plan.checkpoint.background {
            try settleSave()
        } else if !model.store.device.isCPU {
            _ = BackgroundJob(name: "vlsa-copy", isPatient: false) { held.settle() }
        }
    }

    /// Lets weights and optimizer change again.
    func settleCopy() throws {
        guard let pendingSave, !pendingSave.held.isSettled else { return }
        traced(trace, "copy", step) { pendingSave.held.settle() }
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
