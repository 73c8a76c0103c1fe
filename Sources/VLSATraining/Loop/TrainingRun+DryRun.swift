import Foundation
import Torch
import TorchNN

/// What a dry run found.
public struct DryRunReport: Sendable {
    /// Steps the run would take.
    public let steps: Int
    /// Weighted sum of the losses' means, and each mean, of the first batch.
    public let loss: Double
    public let losses: [(name: String, value: Double)]
    /// Norm of all gradients together, before clipping.
    public let gradientNorm: Double
    public let samples: Int
    public let tokens: Int
    /// Time of the batch, and what part of it was spent waiting for data.
    public let seconds: Double
    public let waited: Double
    /// The validation loss, where the plan has one.
    public let validationLoss: Double?
    /// Size of a checkpoint, and the time it took to write.
    public let checkpointBytes: Int
    public let checkpointSeconds: Double
    /// Most memory the process held.
    public let peakBytes: Int
}

extension DryRunReport: CustomStringConvertible {
    public var description: String {
        func mebibytes(_ bytes: Int) -> String {
            String(format: "%.1f MiB", Double(bytes) / 1_048_576)
        }
        var lines = [
            "steps: \(steps)", MetricWindow.text(loss, losses),
            String(format: "gradient norm %.4f", gradientNorm),
            String(
                format: "batch: %d samples, %d tokens, %.2f s, %.2f s of it waiting for data",
                samples,
                tokens, seconds, waited),
        ]
        if let validationLoss {
            lines.append(String(format: "validation loss %.4f", validationLoss))
        }
        lines.append(
            "checkpoint: \(mebibytes(checkpointBytes)) in "
                + String(format: "%.2f s", checkpointSeconds))
        lines.append("memory: \(mebibytes(peakBytes)) at most")
        return lines.joined(separator: "\n")
    }
}

extension TrainingRun {
    /// Does everything of a first step but the update: data, losses, gradients, validation, a checkpoint.
    ///
    /// What it writes is left to the caller to remove; see ``rehearseStage(_:run:options:)``.
    public func rehearse() throws -> DryRunReport {
        let start = ContinuousClock.now
        let gradients = try takeGradients()
        let seconds = start.duration(to: .now) / .seconds(1)
        optimizer.clearGradients()
        if let validation, plan.validate.every > 0 { try validate(validation) }
        let saving = ContinuousClock.now
        try save()
        let bytes = try processes.together {
            try settleSave()
            return processes.isFirst ? try size(of: folder.checkpoints.path(step: step)) : 0
        }[0]
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return DryRunReport(
            steps: steps, loss: gradients.losses.total, losses: gradients.losses.means,
            gradientNorm: gradients.norm, samples: gradients.batch.records.count,
            tokens: gradients.batch.tokens, seconds: seconds,
            waited: gradients.batch.waited, validationLoss: validationLoss, checkpointBytes: bytes,
            checkpointSeconds: saving.duration(to: .now) / .seconds(1),
            peakBytes: usage.ru_maxrss * 1024)
    }

    /// Bytes of the files beneath a folder.
    private func size(of folder: String) throws -> Int {
        var bytes = 0
        for name in try AtomicFiles.files(beneath: folder) {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/" + name)
            bytes += attributes[.size] as? Int ?? 0
        }
        return bytes
    }
}
