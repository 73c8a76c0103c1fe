import Corpus
import Foundation
import Testing
import Torch
import VLSA

@testable import VLSATraining

private let quiet = RunOptions(resume: true, progress: .silent, watchesSignals: false)

private struct Crash: Error {}

private final class Crasher: TrainingObserver {
    typealias Model = VLSAModel
    func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws {
        if report.step == 5 { throw Crash() }
    }
}

/// Stages that train ROSS or ASVR, from their files to the model's folder.
@Suite struct StateObjectiveStageTests {
    static let kinds: [ObjectiveKind] = [.ross, .asvr]

    /// Broken off behind a checkpoint and resumed, a run leaves the very model of one that ran through.
    @Test(arguments: kinds) func aStageResumesToTheBit(kind: ObjectiveKind) throws {
        let files = try StageFiles()
        let plan = try files.plan(StageFiles.objective(kind, at: files.path))
        _ = try trainStage(plan, run: files.path + "/whole", options: quiet)
        #expect(throws: Crash.self) {
            try trainStage(
                plan, run: files.path + "/broken", options: quiet, observers: [Crasher()])
        }
        _ = try trainStage(plan, run: files.path + "/broken", options: quiet)
        try files.expectSameModel("/whole", "/broken")
        let optimizer = "/checkpoints/step-6/optimizer.safetensors"
        #expect(
            FileManager.default.contentsEqual(
                atPath: files.path + "/whole" + optimizer,
                andPath: files.path + "/broken" + optimizer))
        let metrics = try String(
            contentsOfFile: files.path + "/whole/metrics.jsonl", encoding: .utf8)
        #expect(metrics.contains("\"loss/text\":") && metrics.contains("\"loss/visual\":"))
        let table = try String(contentsOfFile: files.path + "/whole/trainable.txt", encoding: .utf8)
        #expect(table.contains("\n\(kind.rawValue) "))
        // Nothing is rebuilt from such a model's tokens; the other pictures are drawn.
        let drawn = try AtomicFiles.files(beneath: files.path + "/whole/pictures")
        #expect(drawn.contains("step-6-gathered.png"))
        #expect(!drawn.contains { $0.contains("reconstruction") })
    }

    /// The first step has the losses that the rehearsal announced.
    @Test(arguments: kinds) func aDryRunHasBothLosses(kind: ObjectiveKind) throws {
        let files = try StageFiles()
        let before = try AtomicFiles.files(beneath: files.path)
        let report = try rehearseStage(
            files.plan(StageFiles.objective(kind, at: files.path)), run: files.path + "/runs/new",
            options: RunOptions(progress: .silent, watchesSignals: false))
        #expect(report.losses.map(\.name) == ["text", "visual"] && report.gradientNorm > 0)
        #expect(try AtomicFiles.files(beneath: files.path) == before)
        // Both start as they must: the noise itself, and about the logarithm of 8 codes.
        let visual = report.losses[1].value
        #expect(kind == .ross ? abs(visual - 1) < 0.2 : abs(visual - log(8)) < 0.8, "\(visual)")
    }

    /// A later stage may leave the section out, change keys of it that no weight depends on, or take up another kind.
    @Test func laterStagesGoOnWithTheSavedObjective() throws {
        let files = try StageFiles()
        let first = try files.plan(StageFiles.objective(.asvr, at: files.path) + ["steps=2"])
        _ = try trainStage(first, run: files.path + "/one", options: quiet)
        func next(_ overrides: [String], from model: String = "one/model") throws -> TrainingPlan {
            try StrictYAML(
                text: """
                    name: next
                    model: \(model)
                    data: {records: train.json, images: images, maxLength: 512, maxRejected: 0.5}
                    train: [perceiver]
                    optimizer: {rate: 1e-3}
                    batch: {samples: 3}
                    log: {pictures: 0}
                    steps: 2
                    """, file: files.path + "/next.yaml", folder: files.path, overrides: overrides
            ).decode()
        }
        // The head that was learned is taken over, frozen or not.
        let second = try next(["objective.asvr.visualShift=1"])
        _ = try trainStage(second, run: files.path + "/two", options: quiet)
        let models = try ["one", "two"].map { try VLSAModel(folder: files.path + "/\($0)/model") }
        for (name, tensor) in models[0].store.tensors(under: "asvr") {
            #expect(models[1].store[name]?.bytes() == tensor.bytes(), "\(name)")
        }
        var expected = try #require(models[0].configuration.objective.asvr)
        expected.visualShift = 1
        #expect(models[1].configuration.objective.asvr == expected && expected.width == 16)
        // Planned before the first stage ran, and after.
        let before = try StageOutline(
            next(["train=[asvr]"], from: "later"), following: StageOutline(first))
        let after = try StageOutline(next(["train=[asvr]"]))
        #expect(before.work == after.work)
        #expect(before.memory().map(\.bytes) == after.memory().map(\.bytes))

        let other = ["objective.kind=ross", "objective.ross={width: 16, layers: 1, heads: 2}"]
        let refused = #expect(throws: PlanError.self) { try StageOutline(next(other)) }
        #expect("\(try #require(refused))".contains("model.latents"))
        let source = "model={folder: \(files.path)/one/model, latents: \(files.path)/latents}"
        let third = try next(other + [source, "train=[perceiver, ross]"])
        #expect(try StrictYAML(text: third.yaml(), file: "plan").decode(TrainingPlan.self) == third)
        _ = try trainStage(third, run: files.path + "/three", options: quiet)
        let changed = try VLSAModel(folder: files.path + "/three/model")
        #expect(changed.ross != nil && changed.asvr == nil)
    }

    @Test func aCodeCacheChangesNothingOfWhatIsLearned() throws {
        let files = try StageFiles()
        let plain = StageFiles.objective(.asvr, at: files.path) + ["steps=3", "log.pictures=0"]
        let cache = ["data.codeCache=\(files.path)/code-cache"]
        for (name, overrides) in [("plain", []), ("filled", cache), ("read", cache)] {
            _ = try trainStage(
                try files.plan(plain + overrides), run: files.path + "/" + name, options: quiet)
            #expect(
                try files.contents("/\(name)/model") == files.contents("/plain/model"), "\(name)")
        }
        #expect(try AtomicFiles.files(beneath: files.path + "/code-cache").count > 2)
        let error = #expect(throws: PlanError.self) {
            try trainStage(
                files.plan(plain + ["data.codeCache=/dev/null/x"]), run: files.path + "/bad",
                options: quiet)
        }
        #expect("\(try #require(error))".hasPrefix("data.codeCache: /dev/null/x: cannot be made"))
    }

    /// The objective's products by hand, for one picture of 16 tokens behind a decoder of width 32.
    @Test func theWorkOfTheObjectivesIsThatOfTheirProducts() throws {
        let files = try StageFiles()
        func work(_ kind: ObjectiveKind, _ more: [String] = []) throws -> [String: PartWork] {
            let outline = try StageOutline(
                files.plan(StageFiles.objective(kind, at: files.path) + more))
            return Dictionary(uniqueKeysWithValues: outline.work.map { ($0.part, $0) })
        }
        let ross = try #require(try work(.ross)["ross"])
        // Two copies: 16 channels to 16, two blocks of 18 squares, the ending's two squares and 16 channels.
        let tokens: Double = 2 * 2 * 16
        let blocks: Double = 2 * (6 + 3 + 1 + 4 + 4) * 256
        let steps: Double = 2 * 2 * (256 * 16 + 256)
        let states: Double = 2 * 16 * 32 * 16
        let rossProducts: Double = tokens * (256 + blocks + 3 * 256) + steps + states
        let seen: Double = 2 * 2 * 4 * 16 * 16 * 16
        #expect(ross.forward == rossProducts + seen)
        #expect(ross.backward == 2 * rossProducts + 2 * seen)
        let pixels = try #require(try work(.ross)["latents"])
        #expect(pixels.tokens == "1 x 32 x 32" && pixels.forward == 2 * 4 * 48 * 64)

        for shift in [0, 1] {
            let asvr = try #require(
                try work(.asvr, ["objective.asvr.visualShift=\(shift)"])["asvr"])
            let places = Double(16 - shift)
            let layer: Double = 4 * 256 + 2 * 512
            let products: Double = 2 * places * (16 * 32 + 256 + 2 * layer + 8 * 16)
            let attention: Double = 2 * places * 4 * 16 / 2
            #expect(asvr.forward == products + attention)
        }
        let memory = try StageOutline(files.plan(StageFiles.objective(.asvr, at: files.path)))
            .memory()
        // Mean and projection, codes and their patches, of 48 numbers each and 4 whitened.
        #expect(memory.first { $0.name == "codebook" }?.bytes == 4 * (48 + 4 * 48 + 8 * 4 + 8 * 48))
    }

    @Test(arguments: [
        (ObjectiveKind.ross, "objective.ross.betaSchedule=cosin", "did you mean \"cosine\"?"),
        (.ross, "objective.ross.widht=8", "did you mean \"width\"?"),
        (.ross, "objective.ross.width=wide", "a whole number"),
        (.ross, "objective.ross.heads=3", "3 heads do not divide the width 16"),
        (.asvr, "objective.asvr.visualshift=1", "did you mean \"visualShift\"?"),
        (.asvr, "objective.asvr.visualShift=2", "must be 0 or 1, not 2"),
        (.asvr, "objective.asvr.layers=0", "must be a whole number of 1 or more"),
        (.asvr, "model.codebok=x", "did you mean \"codebook\"?"),
        (.asvr, "data.codeCacheBytes=0", "must be above 0"),
    ])
    func wrongKeysAndValuesAreRefusedWithTheirPlace(
        kind: ObjectiveKind, override: String, expected: String
    ) throws {
        let files = try StageFiles()
        let error = #expect(throws: StrictYAMLError.self) {
            try files.plan(StageFiles.objective(kind, at: files.path) + [override])
        }
        let text = "\(try #require(error))"
        #expect(text.contains(expected), "\(text)")
        #expect(error?.exitCode == 64)
    }

    /// In a file the place is a line and a column.
    @Test func aWrongKeyInAFileHasLineAndColumn() throws {
        let error = #expect(throws: StrictYAMLError.self) {
            let _: ObjectiveConfiguration = try StrictYAML(
                text: "kind: asvr\nasvr:\n  layers: 2\n  visualShift: both\n", file: "stage.yaml"
            ).decode()
        }
        #expect("\(try #require(error))".contains("stage.yaml:4:16"), "\(error as Any)")
    }
}
