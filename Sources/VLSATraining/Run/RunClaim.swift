import Foundation

/// A run folder taken for this process, or for the first of several, and what there is to resume from.
struct RunClaim {
    let folder: RunFolder
    /// Nil in a process that is not the first.
    let lock: RunLock?
    /// State of the checkpoint to resume from; nil for a new run.
    let state: RunState?
    /// Checkpoints that were passed over.
    let problems: [RunError]
    private let wasMade: Bool

    /// Takes the folder; nothing in it is changed.
    init(_ folder: RunFolder, resume: Bool, planText: String) throws {
        self.folder = folder
        let files = FileManager.default
        wasMade = !files.fileExists(atPath: folder.path)
        if !wasMade, !resume, folder.holdsRun { throw RunError.alreadyThere(folder: folder.path) }
        do {
            try files.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        } catch {
            throw RunError.cannotWrite(path: folder.path, reason: reason(of: error))
        }
        lock = try RunLock(path: folder.lock)
        if !resume, folder.holdsRun { throw RunError.alreadyThere(folder: folder.path) }
        guard resume, folder.holdsRun else {
            (state, problems) = (nil, [])
            return
        }
        if let old = files.contents(atPath: folder.plan) {
            let changes = RunFolder.changes(
                from: String(decoding: old, as: UTF8.self), to: planText)
            guard changes.isEmpty else {
                throw RunError.planChanged(folder: folder.path, changes: changes)
            }
        }
        (state, problems) = folder.checkpoints.newest()
        if let state {
            let changes = RunFolder.changes(from: state.plan, to: planText)
            guard changes.isEmpty else {
                throw RunError.foreignCheckpoint(
                    checkpoint: folder.checkpoints.path(step: state.step), reasons: changes)
            }
        }
        if state == nil, !problems.isEmpty {
            throw RunError.nothingToResume(
                folder: folder.path, problems: problems.map(\.description))
        }
    }

    /// The folder as another process has taken it.
    init(_ folder: RunFolder, following state: RunState?) {
        self.folder = folder
        self.state = state
        (lock, problems, wasMade) = (nil, [], false)
    }

    /// Path of a checkpoint.
    func path(_ state: RunState) -> String { folder.checkpoints.path(step: state.step) }

    /// Leaves no trace of a run that could not begin.
    func giveUp() {
        guard wasMade else { return }
        unlink(folder.lock)
        rmdir(folder.path)
    }

    /// Sweeps what a crash left behind and records the plan and the versions.
    func begin(planText: String, options: RunOptions, versions: RunVersions) throws {
        AtomicFiles.sweep(folder.path)
        AtomicFiles.sweep(folder.checkpoints.folder)
        let notes = options.overrides.map {
            "# --set \($0.replacingOccurrences(of: "\n", with: " "))\n"
        }
        try AtomicFiles.write(Data((notes.joined() + planText).utf8), to: folder.plan)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try AtomicFiles.write(try encoder.encode(versions), to: folder.versions)
    }
}
