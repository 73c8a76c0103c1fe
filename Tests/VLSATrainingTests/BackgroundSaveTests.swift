import Foundation
import Synchronization
import Testing
import Torch

@testable import VLSATraining

/// Calls a closure after each published checkpoint.
private final class SaveWatcher: TrainingObserver {
    let body: (String, TrainingRun<LineModel>) throws -> Void
    init(_ body: @escaping (String, TrainingRun<LineModel>) throws -> Void) { self.body = body }
    func checkpointSaved(_ path: String, of run: TrainingRun<LineModel>) throws {
        try body(path, run)
    }
}

@Suite struct BackgroundSaveTests {
    /// The save of step 5 is held until step 8 was taken; what it then writes is still step 5.
    @Test(arguments: ["float32", "bfloat16"])
    func trainingGoesOnWhileACheckpointIsWritten(dtype: String) throws {
        let folder = try TemporaryFolder()
        let overrides = ["checkpoint.keep=9", "dtype=\(dtype)"]
        _ = try lineRun(folder.path + "/held", overrides + ["checkpoint.background=false"]).train()
        let goOn = DispatchSemaphore(value: 0)
        let run = try lineRun(folder.path + "/run", overrides) { model in
            model.duringSave = {
                #expect(goOn.wait(timeout: .now() + 20) == .success, "training waited for the save")
            }
        }
        var saved: [String: Int] = [:]
        run.observers = [
            StepWatcher { report, _ in if [8, 11, 12].contains(report.step) { goOn.signal() } },
            SaveWatcher { path, run in saved[path] = run.step },
        ]
        _ = try run.train()
        for step in [5, 10, 12] {
            let found = try differences(folder.path + "/run", folder.path + "/held", step: step)
            #expect(found == [], "step \(step)")
        }
        #expect(try #require(saved[run.folder.checkpoints.path(step: 5)]) >= 8)
    }

    /// What is not written when the update comes is copied first; what is written by then is not.
    @Test(arguments: [true, false])
    func onlyWhatIsNotWrittenInTimeIsCopied(isLate: Bool) throws {
        let folder = try TemporaryFolder()
        let goOn = DispatchSemaphore(value: isLate ? 0 : 1)
        let run = try lineRun(folder.path + "/run") { $0.duringSave = { goOn.wait() } }
        _ = try run.takeStep()
        let before = run.model.bytes
        try run.save()
        let save = try #require(run.pendingSave)
        if !isLate { try save.job.wait() }
        _ = try run.takeStep()
        #expect((save.held.copiedBytes > 0) == isLate)
        goOn.signal()
        try run.settleSave()
        #expect(run.model.bytes != before)
        let saved = try LineModel(folder: save.path + "/model", dtype: .float32)
        #expect(saved.bytes == before)
    }

    @Test func oneCheckpointIsWrittenAtATime() throws {
        let folder = try TemporaryFolder()
        let writing = Atomic(0)
        let most = Atomic(0)
        let run = try lineRun(folder.path + "/run", ["checkpoint.every=1"]) { model in
            model.duringSave = {
                let now = writing.add(1, ordering: .relaxed).newValue
                if now > most.load(ordering: .relaxed) { most.store(now, ordering: .relaxed) }
                usleep(3000)
                writing.subtract(1, ordering: .relaxed)
            }
        }
        var saved: [String] = []
        run.observers = [SaveWatcher { path, _ in saved.append(path) }]
        _ = try run.train()
        #expect(most.load(ordering: .relaxed) == 1)
        #expect(saved == (1...12).map { run.folder.checkpoints.path(step: $0) })
    }

    @Test func aFailedSaveEndsTheRunAtTheNextStep() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run", change: { $0.failsToSave = true })
        run.observers = [
            StepWatcher { report, run in
                guard report.step == 6 else { return }
                while run.pendingSave?.job.isDone == false { usleep(1000) }
            }
        ]
        let error = #expect(throws: RunError.self) { try run.train() }
        #expect(
            error.map(\.description)?.contains("of step 5 was not saved (there is none yet)")
                == true)
        #expect(run.step == 7)
    }

    /// The model may still read files of the checkpoint it came from, so that one outlives the sitting.
    @Test func theCheckpointThatWasResumedFromIsNotRemovedMeanwhile() throws {
        let folder = try TemporaryFolder()
        struct Crash: Error {}
        let path = folder.path + "/run"
        var run: TrainingRun<LineModel>? = try lineRun(path)
        run?.observers = [StepWatcher { report, _ in if report.step == 6 { throw Crash() } }]
        #expect(throws: Crash.self) { try run?.train() }
        run = nil
        let rest = ["checkpoint={every: 1, keep: 1, best: false}"]
        run = try lineRun(path, rest, resume: true)
        _ = try run?.train()
        #expect(run?.folder.checkpoints.steps() == [12, 5])
    }

    @Test func whatASittingSparedGoesWithTheNext() throws {
        let folder = try TemporaryFolder()
        struct Crash: Error {}
        let path = folder.path + "/run"
        let one = ["checkpoint={every: 1, keep: 1, best: false}"]
        for (changes, last) in [([], 6), (one, 9)] {
            let run = try lineRun(path, changes, resume: last > 6)
            run.observers = [StepWatcher { report, _ in if report.step == last { throw Crash() } }]
            #expect(throws: Crash.self) { try run.train() }
        }
        #expect(RunFolder(path).checkpoints.steps().contains(5))
        let run = try lineRun(path, one, resume: true)
        run.observers = [StepWatcher { _, _ in throw Crash() }]
        #expect(throws: Crash.self) { try run.train() }
        #expect(!RunFolder(path).checkpoints.steps().contains(5))
    }

    /// Files that cannot grow past some size stand for a full disk: the run says so, and nothing is lost.
    @Test(arguments: [100, 400, 900])
    func aFullDiskEndsTheRunAndKeepsWhatWasSaved(limit: Int) async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        await #expect(processExitsWith: .exitCode(1)) {
            [path = path as String, limit = limit as Int] in
            let run = try lineRun(path, signals: true)
            run.observers = [
                StepWatcher { report, run in
                    if report.step == 9 {
                        try run.settleSave()
                        run.model.duringSave = {
                            var most = rlimit(rlim_cur: UInt(limit), rlim_max: UInt(limit))
                            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &most)
                        }
                    }
                    // The metrics have no room either: the save's error is to come first.
                    while report.step == 11, run.pendingSave?.job.isDone == false { usleep(1000) }
                }
            ]
            do {
                _ = try run.train()
            } catch let error as RunError {
                guard case .checkpointFailed(10, let reason, let last) = error,
                    reason.contains("File too large"), last.hasSuffix("step-5")
                else { exit(2) }
                exit(error.exitCode)
            }
        }
        let checkpoints = RunFolder(path).checkpoints
        #expect(checkpoints.newest().state?.step == 5)
        #expect(checkpoints.newest().problems.isEmpty)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: checkpoints.folder) == ["step-5"])
        let whole = folder.path + "/whole"
        _ = try lineRun(whole).train()
        _ = try lineRun(path, resume: true).train()
        let found = try differences(path, whole)
        #expect(found == [])
    }

    /// Whichever file of the newest checkpoint is cut short, the run goes on from the one before.
    @Test func aTruncatedFileOfACheckpointCostsOnlyThatCheckpoint() throws {
        let folder = try TemporaryFolder()
        struct Crash: Error {}
        let whole = folder.path + "/whole"
        _ = try lineRun(whole).train()
        let path = folder.path + "/run"
        var run: TrainingRun<LineModel>? = try lineRun(path)
        run?.observers = [StepWatcher { report, _ in if report.step == 11 { throw Crash() } }]
        #expect(throws: Crash.self) { try run?.train() }
        run = nil
        let names = try AtomicFiles.files(beneath: RunFolder(path).checkpoints.path(step: 10))
        #expect(names.count == 5)
        for (index, name) in names.enumerated() {
            let copy = "\(folder.path)/copy-\(index)"
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            let file = RunFolder(copy).checkpoints.path(step: 10) + "/" + name
            let size = try Data(contentsOf: URL(fileURLWithPath: file)).count
            truncate(file, size - 1)
            let resumed = try lineRun(copy, resume: true)
            #expect(resumed.step == 5, "\(name)")
            _ = try resumed.train()
            let found = try differences(copy, whole)
            #expect(found == [], "\(name)")
        }
    }
}
