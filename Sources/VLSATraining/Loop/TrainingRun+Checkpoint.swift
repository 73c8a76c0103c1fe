import Foundation
import Torch
import TorchNN

extension TrainingRun {
    /// Publishes a checkpoint of the present step and lets old ones go.
    func save() throws {
        let state = RunState(
            step: step, samples: samples, tokens: tokens, seconds: seconds,
            position: try training.position(), validationLoss: validationLoss, plan: planText)
        do {
            try folder.checkpoints.save(state) { target in
                try model.save(to: target + "/model")
                try SafetensorsFile.write(
                    optimizer.state, metadata: ["format": "pt"],
                    to: target + "/optimizer.safetensors")
            }
        } catch {
            let last =
                lastCheckpoint.map { "the last complete one is \($0)" } ?? "there is none yet"
            throw RunError.checkpointFailed(step: step, reason: "\(error)", last: last)
        }
        let path = folder.checkpoints.path(step: step)
        lastCheckpoint = path
        folder.checkpoints.prune(keep: plan.checkpoint.keep, best: plan.checkpoint.best)
        for observer in observers { try observer.checkpointSaved(path, of: self) }
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
