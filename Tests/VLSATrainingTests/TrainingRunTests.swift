import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSATraining

struct NoSections: Codable, Equatable, Sendable {}

/// A plan of the stand-in, with overrides.
func linePlan(_ overrides: [String] = []) throws -> StagePlan<NoSections> {
    try StrictYAML(
        text: """
            name: line
            seed: 11
            threads: 1
            train: [body, head]
            optimizer: {rate: 3e-2, rates: {head: 1e-2}, decay: 0.01}
            schedule: {kind: cosine, warmup: 2}
            batch: {samples: 5, micro: 2}
            steps: 12
            validate: {every: 4, batches: 3}
            checkpoint: {every: 5, keep: 2}
            log: {every: 3}
            """, file: "line.yaml", overrides: overrides
    ).decode()
}

/// A run of the stand-in.
func lineRun(
    _ folder: String, _ overrides: [String] = [], resume: Bool = false, signals: Bool = false,
    examples: [LineExample] = LineExample.some(17), isShuffled: Bool = true,
    processes: Processes = Processes(), change: (LineModel) -> Void = { _ in }
) throws -> TrainingRun<LineModel> {
    let plan = try linePlan(overrides)
    return try TrainingRun(
        plan: plan, folder: folder,
        options: RunOptions(resume: resume, progress: .silent, watchesSignals: signals),
        processes: processes,
        model: { origin in
            let dtype = plan.dtype.type
            let model =
                switch origin {
                case .plan: try LineModel(dtype: dtype)
                case .checkpoint(let folder): try LineModel(folder: folder, dtype: dtype)
                }
            change(model)
            return model
        },
        training: { _ in ArraySource(examples, seed: plan.seed, isShuffled: isShuffled) },
        validation: { _ in ArraySource(LineExample.some(7, seed: 9), isShuffled: false) })
}

/// Calls a closure after each step.
final class StepWatcher: TrainingObserver {
    let body: (StepReport, TrainingRun<LineModel>) throws -> Void
    init(_ body: @escaping (StepReport, TrainingRun<LineModel>) throws -> Void) { self.body = body }
    func stepTaken(_ report: StepReport, of run: TrainingRun<LineModel>) throws {
        try body(report, run)
    }
}

private struct Crash: Error {}

/// What a finished run left, time aside.
func remains(_ folder: String, step: Int = 12) throws -> [String: [UInt8]] {
    let run = RunFolder(folder)
    var files: [String: [UInt8]] = [:]
    for (name, path) in [
        ("model", run.model + "/model.safetensors"),
        ("weights", run.checkpoints.path(step: step) + "/model/model.safetensors"),
        ("optimizer", run.checkpoints.path(step: step) + "/optimizer.safetensors"),
    ] {
        files[name] = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }
    var state = try run.checkpoints.load(step: step)
    state.seconds = 0
    files["state"] = Array(try JSONEncoder().encode(state.position))
    files["loss"] = Array("\(state.validationLoss as Any) \(state.samples) \(state.tokens)".utf8)
    return files
}

/// Which of the things two finished runs left differ; empty when they are equal to the bit.
func differences(_ a: String, _ b: String, step: Int = 12) throws -> [String] {
    let (a, b) = (try remains(a, step: step), try remains(b, step: step))
    return a.keys.filter { a[$0] != b[$0] }.sorted()
}

@Suite struct TrainingRunTests {
    @Test func aRunLearnsAndLeavesItsFolder() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var losses: [Double] = []
        let run = try lineRun(path, ["steps=60", "schedule.kind=linear"])
        run.observers = [
            StepWatcher { report, run in
                losses.append(report.loss)
                if report.step == 2 {
                    try run.addPicture([137, 80], tag: "reconstruction/0", width: 1, height: 1)
                }
            }
        ]
        #expect(try run.train() == .finished(model: path + "/model"))
        let (first, last) = (losses.prefix(10).reduce(0, +), losses.suffix(10).reduce(0, +))
        #expect(last < 0.2 * first)
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        #expect(
            names.filter { !$0.hasPrefix("events.") } == [
                "checkpoints", "metrics.jsonl", "model", "pictures", "plan.yaml",
                "report.html", "run.lock", "trainable.txt", "versions.json",
            ])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: path + "/pictures")
                == ["step-2-reconstruction-0.png"])
        let table = try String(contentsOfFile: path + "/trainable.txt", encoding: .utf8)
        #expect(
            table
                == """
                part     tensors  parameters    rate  decay
                body           2          15    0.03    0.0
                body           2          32    0.03   0.01
                head           1           1    0.01    0.0
                head           1           8    0.01   0.01
                trained        6          56
                frozen         2          32  frozen

                """.replacingOccurrences(of: "          15", with: "           9")
                .replacingOccurrences(of: "          56", with: "          50"))
        #expect(run.folder.checkpoints.steps().count <= 3)
        let lines = try String(contentsOfFile: path + "/metrics.jsonl", encoding: .utf8)
        #expect(lines.contains("{\"kind\":\"train\",\"step\":3,\"loss\":"))
        #expect(lines.contains("{\"kind\":\"validation\",\"step\":60,\"loss\":"))
        #expect(lines.contains("\"loss/text\":") && lines.contains("\"loss/visual\":"))
        let plan: StagePlan<NoSections> = try .load(path: path + "/plan.yaml")
        #expect(plan == (try linePlan(["steps=60", "schedule.kind=linear"])))
    }

    /// Stopped after any step, resumed, stopped again: to the bit the run that never stopped.
    @Test(arguments: ["float32", "bfloat16", "float16"])
    func aResumedRunEqualsAnUnbrokenOne(dtype: String) throws {
        let folder = try TemporaryFolder()
        // The scale overflows at first, then doubles every three steps.
        let dtype = [
            "dtype=\(dtype)", "optimizer.lossScale=16777216", "optimizer.lossScaleInterval=3",
        ]
        _ = try lineRun(folder.path + "/whole", dtype).train()
        for crashes in [[1], [5], [7, 11], [3, 6, 12]] {
            let path = folder.path + "/broken-\(crashes)"
            for crash in crashes {
                let run = try lineRun(path, dtype, resume: true)
                run.observers = [
                    StepWatcher { if $1.step == crash, $0.step == crash { throw Crash() } }
                ]
                #expect(throws: Crash.self) { try run.train() }
            }
            let last = try lineRun(path, dtype, resume: true)
            #expect(last.step == (crashes.max() ?? 0) / 5 * 5 - (crashes.max() == 5 ? 5 : 0))
            _ = try last.train()
            let found = try differences(path, folder.path + "/whole")
            #expect(found == [], "\(crashes)")
        }
    }

    @Test func aFinishedRunIsNotTrainedAgain() throws {
        let folder = try TemporaryFolder()
        _ = try lineRun(folder.path + "/run").train()
        let before = try remains(folder.path + "/run")
        let again = try lineRun(folder.path + "/run", resume: true)
        again.observers = [StepWatcher { _, _ in Issue.record("a step was taken") }]
        #expect(try again.train() == .finished(model: folder.path + "/run/model"))
        #expect(try remains(folder.path + "/run") == before)
        #expect(again.folder.isFinished(with: try linePlan().yaml()))
        #expect(!again.folder.isFinished(with: try linePlan(["seed=12"]).yaml()))
    }

    @Test func microBatchesGiveTheGradientOfOneBatch() throws {
        let folder = try TemporaryFolder()
        func weights(_ micro: Int) throws -> [String: [Float]] {
            let run = try lineRun(
                folder.path + "/\(micro)", ["batch={samples: 8, micro: \(micro)}", "steps=3"])
            _ = try run.train()
            return Dictionary(
                uniqueKeysWithValues: run.model.store.tensors().map {
                    ($0.name, $0.tensor.floats())
                })
        }
        let whole = try weights(8)
        for micro in [1, 3, 4] {
            for (name, values) in try weights(micro) {
                for (a, b) in zip(values, whole[name] ?? []) {
                    #expect(abs(a - b) < 1e-6, "\(name) \(micro)")
                }
            }
        }
    }

    @Test func frozenTensorsAreBitwiseUnchanged() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run", ["train=[body.text]", "optimizer.rates={}"])
        let before = run.model.bytes
        _ = try run.train()
        for (name, bytes) in run.model.bytes {
            #expect((bytes == before[name]) == !name.hasPrefix("body.text"), "\(name)")
        }
    }

    @Test func aLossThatIsNotFiniteStopsBeforeTheUpdate() throws {
        let folder = try TemporaryFolder()
        var examples = LineExample.some(17)
        examples[6].targets[0] = .nan
        let run = try lineRun(folder.path + "/run", ["checkpoint.every=1"], examples: examples)
        var before = run.model.bytes
        run.observers = [StepWatcher { _, run in before = run.model.bytes }]
        let error = #expect(throws: RunError.self) { try run.train() }
        let text = error.map(\.description) ?? ""
        #expect(
            text.contains("the text loss is nan at step \(run.step), before the weights"), "\(text)"
        )
        #expect(text.contains("line-6"), "\(text)")
        #expect(
            text.contains(
                run.step == 0
                    ? "no checkpoint was saved yet" : "checkpoints/step-\(run.step)"), "\(text)")
        #expect(run.model.bytes == before)
        #expect(error?.exitCode == 1)
    }

    @Test func aGradientThatIsNotFiniteStopsBeforeTheUpdate() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run", change: { $0.hasCusp = true })
        let before = run.model.bytes
        let error = #expect(throws: RunError.self) { try run.train() }
        #expect(error.map(\.description)?.contains("the gradient's norm is nan at step 0") == true)
        #expect(run.model.bytes == before)
    }

    @Test func aBatchWithNothingSupervisedIsRefusedByName() throws {
        let folder = try TemporaryFolder()
        let empty = (0..<4).map {
            LineExample(recordID: "empty-\($0)", inputs: [], targets: [], picture: 0.5)
        }
        let error = #expect(throws: RunError.self) {
            try lineRun(folder.path + "/run", examples: empty).train()
        }
        #expect(error.map(\.description)?.contains("empty-3") == true)
        let miscount = #expect(throws: RunError.self) {
            try lineRun(folder.path + "/two", change: { $0.miscounts = true }).train()
        }
        #expect(miscount.map(\.description)?.contains("units where") == true)
    }

    @Test func wrongStartsAreRefusedAndChangeNothing() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        func refusal(_ overrides: [String] = [], resume: Bool = false) -> String {
            let error = #expect(throws: RunError.self) {
                try lineRun(path, overrides, resume: resume)
            }
            #expect(error?.exitCode == 64)
            return error.map(\.description) ?? ""
        }
        #expect(
            refusal(["train=[bdy]", "optimizer.rates={}"])
                == "train: \"bdy\" names no parameter; did you mean \"body\"?")
        #expect(
            refusal(["train=[zebra]", "optimizer.rates={}"])
                == "train: \"zebra\" names no parameter; the parts are body, frozen, head")
        #expect(!FileManager.default.fileExists(atPath: path))

        var run: TrainingRun<LineModel>? = try lineRun(path)
        #expect(refusal(resume: true).contains("in use by a live run (process \(getpid())"))
        _ = try run?.train()
        run = nil
        let before = try AtomicFiles.files(beneath: path)
        #expect(refusal().contains("holds a run already; resume it with --resume"))
        #expect(
            refusal(["optimizer.rate=1", "log.every=1"], resume: true).hasSuffix(
                "cannot be resumed with this one:\n  optimizer.rate was 0.03, is 1"))
        #expect(try AtomicFiles.files(beneath: path) == before)
    }

    /// A whole checkpoint of a run with another plan, put among this run's.
    @Test func aCheckpointOfAnotherRunIsRefused() throws {
        let folder = try TemporaryFolder()
        let (path, other) = (folder.path + "/run", folder.path + "/other")
        for (path, overrides) in [(path, []), (other, ["seed=12"])] {
            let run = try lineRun(path, overrides)
            run.observers = [StepWatcher { report, _ in if report.step == 11 { throw Crash() } }]
            #expect(throws: Crash.self) { try run.train() }
        }
        let foreign = RunFolder(path).checkpoints.path(step: 10)
        try FileManager.default.removeItem(atPath: foreign)
        try FileManager.default.copyItem(
            atPath: RunFolder(other).checkpoints.path(step: 10), toPath: foreign)
        let before = try AtomicFiles.files(beneath: path)
        let error = #expect(throws: RunError.self) { try lineRun(path, resume: true) }
        #expect(
            error?.description
                == "\(foreign) is a checkpoint of another run or model:\n  seed was 12, is 11")
        #expect(error?.exitCode == 64)
        #expect(try AtomicFiles.files(beneath: path) == before)
    }

    /// The optimizer's state of another model, under a plan that says nothing of it.
    @Test func aCheckpointOfAnotherModelIsRefusedBeforeDataIsRead() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run"
        var run: TrainingRun<LineModel>? = try lineRun(path)
        run?.observers = [StepWatcher { report, _ in if report.step == 6 { throw Crash() } }]
        #expect(throws: Crash.self) { try run?.train() }
        let state = try RunFolder(path).checkpoints.load(step: 5)
        run = nil
        try FileManager.default.removeItem(atPath: RunFolder(path).checkpoints.path(step: 5))
        try RunFolder(path).checkpoints.save(state) { target in
            try LineModel().save(to: target + "/model")
            try SafetensorsFile.write(
                [("body.hidden.weight.exp_avg", .zeros([2, 2]))], metadata: [:],
                to: target + "/optimizer.safetensors")
            return [:]
        }
        let error = #expect(throws: RunError.self) {
            try lineRun(path, resume: true, examples: [])
        }
        #expect(
            error?.description.contains("step-5 is a checkpoint of another run or model:") == true)
        #expect(error?.description.contains("body.hidden") == true, "\(error as Any)")
        #expect(error?.exitCode == 64)
    }

    @Test func aDamagedCheckpointIsNamedAndTheOlderOneTaken() throws {
        let folder = try TemporaryFolder()
        _ = try lineRun(folder.path + "/whole").train()
        let path = folder.path + "/run"
        var run: TrainingRun<LineModel>? = try lineRun(path)
        run?.observers = [StepWatcher { report, _ in if report.step == 11 { throw Crash() } }]
        #expect(throws: Crash.self) { try run?.train() }
        run = nil
        let damaged = RunFolder(path).checkpoints.path(step: 10) + "/optimizer.safetensors"
        let data = try Data(contentsOf: URL(fileURLWithPath: damaged))
        try data.prefix(data.count / 2).write(to: URL(fileURLWithPath: damaged))
        let resumed = try lineRun(path, resume: true)
        #expect(resumed.step == 5)
        _ = try resumed.train()
        let found = try differences(path, folder.path + "/whole")
        #expect(found == [])

        for step in resumed.folder.checkpoints.steps() {
            unlink(resumed.folder.checkpoints.path(step: step) + "/manifest.json")
        }
        // No checkpoint is whole: said so, instead of starting anew over it.
        let other = folder.path + "/copy"
        try FileManager.default.copyItem(atPath: path, toPath: other)
        let error = #expect(throws: RunError.self) { try lineRun(other, resume: true) }
        #expect(
            error.map(\.description)?.contains("step-10 is damaged: manifest.json is missing")
                == true)
    }

    @Test func aSaveThatFailsKeepsWhatWasSaved() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run")
        run.observers = [
            StepWatcher { report, run in
                guard report.step == 6 else { return }
                try run.settleSave()
                run.model.failsToSave = true
            }
        ]
        let error = #expect(throws: RunError.self) { try run.train() }
        #expect(
            error.map(\.description)?.hasPrefix(
                "the checkpoint of step 10 was not saved (the last complete one is \(folder.path)")
                == true)
        #expect(run.folder.checkpoints.steps() == [5])
    }

    @Test func aSignalSavesAndEndsTheRun() async throws {
        await #expect(processExitsWith: .exitCode(143)) {
            let folder = try TemporaryFolder()
            _ = try lineRun(folder.path + "/whole").train()
            let run = try lineRun(folder.path + "/run", signals: true)
            run.observers = [
                StepWatcher { report, _ in
                    guard report.step == 7 else { return }
                    kill(getpid(), SIGTERM)
                    while Interruption.signal == nil { usleep(1000) }
                }
            ]
            let outcome = try run.train()
            #expect(run.folder.checkpoints.steps() == [7, 5])
            #expect(try remainsAfterResume(folder.path))
            exit(outcome.exitCode)
        }
    }

    @Test func validationIsTheSameWhereverItIsTaken() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run", ["optimizer.rate=0", "optimizer.rates={}"])
        _ = try run.train()
        let lines = try String(contentsOfFile: run.folder.metrics, encoding: .utf8).split(
            separator: "\n"
        )
        .filter { $0.contains("validation") }.map { $0.split(separator: "\"loss\"")[1] }
        #expect(lines.count == 3)
        #expect(Set(lines).count == 1)
    }
}

/// Resumes `run` beside `whole` and compares.
private func remainsAfterResume(_ folder: String) throws -> Bool {
    // The interrupted run still holds its lock in this process, so a copy is resumed.
    let path = folder + "/copy"
    try FileManager.default.copyItem(atPath: folder + "/run", toPath: path)
    _ = try lineRun(path, resume: true).train()
    return try differences(path, folder + "/whole").isEmpty
}
