import Foundation
import Torch
import TorchNN

/// A checkpoint that is being written.
struct PendingSave {
    let step: Int
    let path: String
    /// Copies what the next update changes.
    let copying: BackgroundJob?
    /// Writes the copy.
    let job: BackgroundJob
}

/// What a checkpoint is written from.
final class CheckpointContent {
    fileprivate var weights: ParameterStore
    fileprivate var moments: [(String, Tensor)]

    fileprivate init(_ weights: ParameterStore, _ moments: [(String, Tensor)]) {
        (self.weights, self.moments) = (weights, moments)
    }

    /// Puts copies in the place of what training changes, in the memory of an earlier checkpoint's.
    fileprivate func detach(reusing earlier: CheckpointContent?) {
        let copies = Dictionary(
            (earlier?.moments ?? []).map { ($0.0, $0.1) }, uniquingKeysWith: { first, _ in first })
        weights = weights.snapshot(reusing: earlier?.weights)
        moments = moments.map { ($0, $1.snapshot(reusing: copies[$0])) }
    }
}

extension TrainingRun {
    /// Starts to publish a checkpoint of the present step, and lets old ones go.
    ///
    /// It is written in the background from a copy, one checkpoint at a time. Within main memory the copy is made at
    /// once, by all threads: beside a step both would take longer. From a GPU it is made beside the next step's forward
    /// and backward pass, which change nothing of it; before the update, ``settleCopy()`` waits for it. Copies are
    /// kept, so that only the first checkpoint asks the system for memory. How it ended is asked by ``noteSave()``
    /// and ``settleSave()``. The first process writes, what the others have of the optimizer's state included.
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
        let content = CheckpointContent(model.store, moments)
        let copying =
            plan.checkpoint.background
            ? BackgroundJob(name: "vlsa-copy", isPatient: false) { [trace, step, checkpointCopy] in
                traced(trace, "copy", step, row: .checkpoint) {
                    content.detach(reusing: checkpointCopy)
                }
            } : nil
        if copying != nil { checkpointCopy = content }
        if model.store.device.isCPU { try copying?.wait() }
        let write = {
            [model, checkpoints = folder.checkpoints, plan = plan.checkpoint, resumedFrom] in
            try checkpoints.save(state) { target in
                try model.save(content.weights, to: target + "/model")
                try SafetensorsFile.write(
                    content.moments, metadata: ["format": "pt"],
                    to: target + "/optimizer.safetensors")
            }
            checkpoints.prune(keep: plan.keep, best: plan.best, sparing: resumedFrom)
        }
        let job = BackgroundJob(name: "vlsa-checkpoint", isPatient: true) { [trace, step] in
            try copying?.wait()
            try traced(trace, "save", step, row: .checkpoint, write)
        }
        pendingSave = PendingSave(
            step: step, path: folder.checkpoints.path(step: step), copying: copying, job: job)
        if copying == nil { try settleSave() }
    }

    /// Waits until weights and optimizer may change again.
    func settleCopy() throws {
        guard let copying = pendingSave?.copying, !copying.isDone else { return }
        try traced(trace, "wait for copy", step) { try copying.wait() }
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
