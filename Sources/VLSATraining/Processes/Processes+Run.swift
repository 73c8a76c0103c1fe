import Foundation
import Torch
import TorchNN

// How several processes begin a run in one folder.

extension Processes {
    /// Throws, in every process, where one has another stage or where a step's samples cannot be shared out.
    func checkAlike(_ plan: LoopPlan, _ planText: String) throws {
        guard count > 1 else { return }
        guard plan.batch.samples % count == 0 else {
            throw ProcessLaunchError.unevenBatch(samples: plan.batch.samples, size: count)
        }
        let texts = try together { planText }
        for (rank, text) in texts.enumerated().dropFirst() {
            let changes = RunFolder.changes(from: texts[0], to: text)
            if !changes.isEmpty {
                throw ProcessLaunchError.plansDiffer(rank: rank, changes: changes)
            }
        }
    }

    /// Throws, in every process, where one has other weights: from another model folder of the same name.
    func checkAlike(_ store: ParameterStore) throws {
        guard count > 1 else { return }
        let norms = try together { totalNorm(store.tensors().map(\.tensor)).item() }
        // Equal weights have equal norms but for the order in which processors of different kinds sum.
        for (rank, norm) in norms.enumerated() where abs(norm - norms[0]) > 1e-5 * norms[0] {
            throw ProcessLaunchError.weightsDiffer(rank: rank)
        }
    }

    /// Takes the folder in the first process; all get the state to resume from.
    func claimed(_ folder: RunFolder, resume: Bool, planText: String) throws -> RunClaim {
        var claim: RunClaim?
        let states = try together { () throws -> [RunState] in
            guard isFirst else { return [] }
            let taken = try RunClaim(folder, resume: resume, planText: planText)
            claim = taken
            return taken.state.map { [$0] } ?? []
        }
        return claim ?? RunClaim(folder, following: states[0].first)
    }

    /// Begins the run: its files are the first process'.
    func begun(
        _ claim: RunClaim, plan: LoopPlan, planText: String, options: RunOptions, table: String,
        step: Int, steps: Int
    ) throws -> (MetricLog?, EventFile?, ProgressDisplay) {
        var files: (metrics: MetricLog, events: EventFile)?
        let progress = ProgressDisplay(
            title: plan.name, total: steps, unit: "steps",
            style: isFirst ? options.progress : .mute, first: step)
        try agree {
            guard isFirst else { return }
            let folder = claim.folder
            try claim.begin(
                planText: planText, options: options,
                versions: RunVersions(commandLine: options.commandLine, processes: count))
            files = (
                try MetricLog(path: folder.metrics, resumingAt: step),
                try EventFile(folder: folder.path, resumingAt: step)
            )
            try AtomicFiles.write(Data(table.utf8), to: folder.table)
            if options.progress != .silent { progress.message(table) }
            for problem in claim.problems { progress.message("warning: \(problem)") }
            if step > 0 { progress.message("resuming at step \(step) of \(steps)") }
        }
        return (files?.metrics, files?.events, progress)
    }
}
