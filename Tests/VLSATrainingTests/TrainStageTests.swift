import Foundation
import Testing
import VLSA

@testable import VLSATraining

private struct Crash: Error {}

private final class Crasher: TrainingObserver {
    typealias Model = VLSAModel
    let step: Int
    init(at step: Int) { self.step = step }
    func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws {
        if report.step == step { throw Crash() }
    }
}

private let quiet = RunOptions(resume: true, progress: .silent, watchesSignals: false)

@Suite struct TrainStageTests {
    /// From files on disk through decoding, augmentation and tiling: a run that crashed and was resumed with
    /// another number of workers and no cache leaves the very files of one that ran through.
    @Test func aStageResumesToTheBit() throws {
        let files = try StageFiles()
        let outcome = try trainStage(try files.plan(), run: files.path + "/whole", options: quiet)
        #expect(outcome == .finished(model: files.path + "/whole/model"))
        #expect(throws: Crash.self) {
            try trainStage(
                try files.plan(), run: files.path + "/broken", options: quiet,
                observers: [Crasher(at: 5)])
        }
        _ = try trainStage(
            try files.plan(["data.workers=3", "data.cacheBytes=0"]), run: files.path + "/broken",
            options: quiet)
        let (whole, broken) = (
            try files.contents("/whole/model"), try files.contents("/broken/model")
        )
        #expect(whole.keys.sorted() == broken.keys.sorted())
        for (name, data) in whole { #expect(broken[name] == data, "\(name)") }
        let optimizer = "/checkpoints/step-6/optimizer.safetensors"
        #expect(
            FileManager.default.contentsEqual(
                atPath: files.path + "/whole" + optimizer,
                andPath: files.path + "/broken" + optimizer))

        let metrics = try String(
            contentsOfFile: files.path + "/whole/metrics.jsonl", encoding: .utf8)
        #expect(metrics.contains("\"loss/text\":") && metrics.contains("\"loss/visual\":"))
        let rejected = try String(
            contentsOfFile: files.path + "/whole/rejected.jsonl", encoding: .utf8)
        #expect(rejected.contains("\"id\":\"r4\"") && rejected.contains("unreadable_picture"))
    }

    @Test func theNextStageStartsFromTheLastOnesModel() throws {
        let files = try StageFiles()
        _ = try trainStage(try files.plan(["steps=2"]), run: files.path + "/one", options: quiet)
        _ = try trainStage(
            try files.plan(["model=\(files.path)/one/model", "train=[vision, denoiser]", "steps=2"]
            ),
            run: files.path + "/two", options: quiet)
        let (one, two) = (try files.contents("/one/model"), try files.contents("/two/model"))
        let changed = one.keys.filter { one[$0] != two[$0] }.sorted()
        #expect(changed.count == 2)
        #expect(
            changed.allSatisfy { $0.hasPrefix("vision/") || $0.hasPrefix("denoiser/") },
            "\(changed)")
        let table = try String(contentsOfFile: files.path + "/two/trainable.txt", encoding: .utf8)
        #expect(table.contains("language") && table.contains("frozen"))
    }

    @Test func microBatchesOfTheWholeModelGiveTheGradientOfOneBatch() throws {
        let files = try StageFiles()
        func weights(_ micro: Int) throws -> [Float] {
            let parts = try StageParts(
                files.plan([
                    "train=[perceiver, projector]", "batch={samples: 4, micro: \(micro)}",
                ]))
            let run = try TrainingRun<VLSAModel>(
                plan: parts.plan.loop, planText: "", folder: files.path + "/micro-\(micro)",
                options: RunOptions(progress: .silent, watchesSignals: false), model: parts.model,
                training: { try parts.loader(of: parts.data.records, for: $0, isTraining: true) })
            run.observers = [Crasher(at: 2)]
            #expect(throws: Crash.self) { try run.train() }
            return run.model.store.trainable.flatMap { $0.tensor.detached().floats() }
        }
        let whole = try weights(4)
        for micro in [1, 3] {
            let difference = zip(try weights(micro), whole).map { abs($0 - $1) }.max() ?? 1
            #expect(difference < 1e-5)
        }
    }

    @Test(arguments: [
        (["model={vision: vision}"], "the key \"model.language\" is missing"),
        (["data.records=/nowhere.json"], "data.records.0: /nowhere.json: no such file or folder"),
        (["device=cuda:7"], "device: "),
        (["data.augment.tasks={vq_cell: 1}"], "the key \"data.augment.codebook\" is missing"),
        (
            ["train=[perciever]"],
            "train: \"perciever\" names no parameter; did you mean \"perceiver\"?"
        ),
        (
            ["picture.tileWidth=29"],
            "model: picture.tileWidth x tileHeight is 29 x 28, but the tower takes 28 x 28"
        ),
        (["model=/nowhere"], "model: /nowhere: no such file or folder"),
    ])
    func wrongStagesAreFoundBeforeDataIsRead(overrides: [String], expected: String) throws {
        let files = try StageFiles()
        // Data that is read would be found broken first.
        try Data("[{".utf8).write(to: URL(fileURLWithPath: files.path + "/train.json"))
        let error = #expect(throws: (any Error).self) {
            try trainStage(try files.plan(overrides), run: files.path + "/run", options: quiet)
        }
        #expect(error.map { "\($0)" }?.hasPrefix(expected) == true, "\(error as Any)")
        #expect((error as? any ExitCoded)?.exitCode == 64)
        #expect(!FileManager.default.fileExists(atPath: files.path + "/run"))
    }
}

@Suite struct StageFileTests {
    /// Every stage file of the package reads strictly; `0-…` are foundations.
    @Test func theStageFilesOfThePackageAreValid() throws {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let stages = tests.appendingPathComponent("../../Stages").standardizedFileURL.path
        let names = try AtomicFiles.files(beneath: stages).filter { $0.hasSuffix(".yaml") }
        #expect(names.count >= 4)
        for name in names {
            let path = stages + "/" + name
            if name.split(separator: "/").last?.hasPrefix("0-") == true {
                _ = try FoundationPlan.load(path: path)
            } else {
                let plan = try TrainingPlan.load(path: path)
                #expect(try StrictYAML(text: plan.yaml(), file: name).decode() == plan, "\(name)")
            }
        }
    }
}
