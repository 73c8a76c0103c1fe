import Foundation
import Testing
import Torch

@testable import VLSATraining

/// Kills of ``TortureTests``; `make torture N=1000` asks for more.
private let kills = Int(ProcessInfo.processInfo.environment["VLSA_KILLS"] ?? "") ?? 20

@Suite struct TortureTests {
    /// Kills a process that trains, and saves at every other step, at random moments from its start to long
    /// after: while it resumes, learns, writes, publishes or prunes. No checkpoint is ever damaged or lost, and
    /// every run that gets to its end ends with the very bytes of one that was left in peace.
    @Test func killsAtRandomMomentsLoseNothing() async throws {
        let folder = try TemporaryFolder()
        let whole = folder.path + "/whole"
        let plan = ["steps=60", "checkpoint.every=2"]
        _ = try lineRun(whole, plan).train()
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(state: seed)
        var (runs, newest) = (0, -1)
        var path: String { "\(folder.path)/run-\(runs)" }
        for kill in 1...kills {
            // From a thousandth of a second to two, short times as likely as long ones.
            let delay = UInt32(1000 * exp2(Double.random(in: 0...11, using: &random)))
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [path = path as String, plan = plan as [String], delay = delay as UInt32] in
                Thread.detachNewThread {
                    usleep(delay)
                    Foundation.kill(getpid(), SIGKILL)
                }
                _ = try lineRun(path, plan, resume: true).train()
                while true { sleep(1) }
            }
            let run = RunFolder(path)
            let (state, problems) = run.checkpoints.newest()
            #expect(problems.isEmpty, "kill \(kill), seed \(seed)")
            #expect(state?.step ?? -1 >= newest, "kill \(kill), seed \(seed)")
            newest = state?.step ?? -1
            guard run.isFinished else { continue }
            let found = try differences(path, whole, step: 60)
            #expect(found == [], "kill \(kill), seed \(seed)")
            (runs, newest) = (runs + 1, -1)
        }
        _ = try lineRun(path, plan, resume: true).train()
        let found = try differences(path, whole, step: 60)
        #expect(found == [], "seed \(seed)")
    }
}
