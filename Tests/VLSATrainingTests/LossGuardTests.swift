import Foundation
import Testing
import Torch

@testable import VLSATraining

/// Examples of which one has a target far off the line.
private let jumping: [LineExample] = {
    var examples = LineExample.some(17)
    examples[6].targets[0] = 50
    return examples
}()

@Suite struct LossGuardTests {
    @Test func aSpikeIsAboveTheMedianOfTheLastSteps() {
        var watch = LossGuard(GuardPlan(action: .skip, window: 3, factor: 2, patience: 2))
        #expect(watch.check(1) == nil && watch.check(100) == nil && watch.check(3) == nil)
        #expect(watch.check(5.9) == nil)  // of 1, 100, 3
        #expect(watch.check(11.7) == nil)  // of 100, 3, 5.9
        let spike = watch.check(12)  // of 3, 5.9, 11.7
        #expect(spike?.median == 5.9 && spike?.isSkipped == true)
        #expect(watch.check(1e9)?.isSkipped == true)
        #expect(watch.check(13)?.isSkipped == false)  // the patience is used up
        #expect(watch.memory.losses == [3, 5.9, 11.7])
        #expect(watch.check(4) == nil && watch.memory.skipped == 0)

        var negative = LossGuard(GuardPlan(action: .stop, window: 2, factor: 2))
        #expect(negative.check(-4) == nil && negative.check(-4) == nil)
        #expect(negative.check(-1) == nil)
        #expect(negative.check(1)?.isSkipped == false)
        var off = LossGuard(GuardPlan(window: 2))
        for loss in [1, 1, 1, 1e9] { #expect(off.check(loss) == nil) }
    }

    @Test func aSkippedStepLeavesTheWeightsAlone() throws {
        let folder = try TemporaryFolder()
        let plan = ["guard={action: skip, window: 3, factor: 8}", "steps=20"]
        let run = try lineRun(folder.path + "/run", plan, examples: jumping)
        var before = run.model.bytes
        var skipped: [Int] = []
        run.observers = [
            StepWatcher { report, run in
                if report.isSkipped { skipped.append(report.step) }
                // The first step of the warm-up has a rate of 0.
                let isIdle = report.isSkipped || report.rateMultiplier == 0
                #expect((run.model.bytes == before) == isIdle, "step \(report.step)")
                before = run.model.bytes
            }
        ]
        _ = try run.train()
        #expect(!skipped.isEmpty && skipped.count < 10)
        let lines = try String(contentsOfFile: run.folder.metrics, encoding: .utf8)
        for step in skipped {
            #expect(lines.contains("{\"kind\":\"skipped\",\"step\":\(step),\"loss\":"))
        }
        #expect(
            try String(contentsOfFile: run.folder.report, encoding: .utf8).contains("skipped steps")
        )
    }

    @Test func aSpikeStopsTheRunBeforeTheUpdate() throws {
        for (settings, reason) in [
            ("action: stop", "more than guard.factor 8.0 allows"),
            ("action: skip, patience: 0", "after 0 skipped steps in a row"),
        ] {
            let folder = try TemporaryFolder()
            let run = try lineRun(
                folder.path + "/run", ["guard={window: 3, factor: 8, \(settings)}", "steps=20"],
                examples: jumping)
            var before = run.model.bytes
            run.observers = [StepWatcher { _, run in before = run.model.bytes }]
            let error = #expect(throws: RunError.self) { try run.train() }
            let text = error?.description ?? ""
            #expect(text.contains("at step \(run.step), ") && text.contains(reason), "\(text)")
            #expect(text.contains("line-6"), "\(text)")
            #expect(error?.exitCode == 1)
            #expect(run.model.bytes == before)
        }
    }

    /// What the guard remembers is part of a checkpoint: a resumed run skips what an unbroken one skips.
    @Test func aGuardedRunResumesToTheBit() throws {
        struct Crash: Error {}
        let folder = try TemporaryFolder()
        let plan = ["guard={action: skip, window: 4, factor: 8}", "checkpoint.every=2"]
        _ = try lineRun(folder.path + "/whole", plan, examples: jumping).train()
        let path = folder.path + "/run"
        for crash in [3, 5, 7, 9, 11] {
            let run = try lineRun(path, plan, resume: true, examples: jumping)
            run.observers = [StepWatcher { report, _ in if report.step == crash { throw Crash() } }]
            #expect(throws: Crash.self) { try run.train() }
        }
        _ = try lineRun(path, plan, resume: true, examples: jumping).train()
        let found = try differences(path, folder.path + "/whole")
        #expect(found == [])
        let state = try RunFolder(path).checkpoints.load(step: 12)
        #expect(
            state.spikes
                == (try RunFolder(folder.path + "/whole").checkpoints.load(step: 12)).spikes)
        #expect(state.spikes?.losses.count == 4)
    }
}
