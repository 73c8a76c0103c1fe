import Foundation
import Testing
import Torch

@testable import VLSATraining

/// Where a child process of a test dies.
enum Death: String, Codable, CaseIterable, Sendable {
    /// After the update of a step.
    case afterStep
    /// In the middle of writing a checkpoint.
    case insideSave
    /// Between the checkpoint and the final model.
    case beforePublishing
    /// The disk takes no more: a small limit on the size of files stands for it.
    case fullDisk
}

/// Dies, by its own hand, where it is told to.
private final class Reaper: TrainingObserver {
    typealias Model = LineModel
    let death: Death
    let step: Int

    init(_ death: Death, _ step: Int) { (self.death, self.step) = (death, step) }

    func stepTaken(_ report: StepReport, of run: TrainingRun<LineModel>) throws {
        guard report.step == step else { return }
        switch death {
        case .afterStep: kill(getpid(), SIGKILL)
        case .insideSave: run.model.diesInSave = true
        case .beforePublishing: break
        case .fullDisk:
            var limit = rlimit(rlim_cur: 700, rlim_max: 700)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            signal(SIGXFSZ, SIG_IGN)
        }
    }

    func checkpointSaved(_ path: String, of run: TrainingRun<LineModel>) throws {
        if death == .beforePublishing, path.hasSuffix("step-\(run.steps)") {
            kill(getpid(), SIGKILL)
        }
    }
}

@Suite struct KilledRunTests {
    /// Killed, or out of disk, at any point: the newest checkpoint is whole, and the resumed run ends with the
    /// very bytes of one that was left in peace.
    @Test func aKilledRunLosesNothingItHadSaved() async throws {
        let folder = try TemporaryFolder()
        let whole = folder.path + "/whole"
        _ = try lineRun(whole).train()
        let path = folder.path + "/run"
        let deaths: [(Death, Int)] = [
            (.afterStep, 3), (.insideSave, 5), (.afterStep, 7), (.fullDisk, 8), (.insideSave, 10),
            (.beforePublishing, 0),
        ]
        for (death, step) in deaths {
            let ending: ExitTest.Condition = death == .fullDisk ? .exitCode(1) : .signal(SIGKILL)
            await #expect(processExitsWith: ending) {
                [path = path as String, death = death as Death, step = step as Int] in
                do {
                    let run = try lineRun(path, resume: true)
                    run.observers = [Reaper(death, step)]
                    _ = try run.train()
                } catch let error as RunError {
                    exit(error.exitCode)
                }
            }
            let (_, problems) = RunFolder(path).checkpoints.newest()
            #expect(problems.isEmpty)
            #expect(!RunFolder(path).isFinished)
        }
        let last = try lineRun(path, resume: true)
        #expect(last.step == 12)
        _ = try last.train()
        let found = try differences(path, whole)
        #expect(found == [])
        let names = try FileManager.default.contentsOfDirectory(atPath: path + "/checkpoints")
        #expect(names.sorted() == ["step-10", "step-12"], "\(names)")
    }
}
