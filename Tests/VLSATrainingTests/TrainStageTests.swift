import AnyRes
import Corpus
import Foundation
import Prompting
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

private final class FirstStep: TrainingObserver {
    typealias Model = VLSAModel
    let body: (StepReport) -> Void
    init(_ body: @escaping (StepReport) -> Void) { self.body = body }
    func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws { body(report) }
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
            try files.plan(["data.workers=3", "data.cacheBytes=0", "log.pictures=0"]),
            run: files.path + "/broken", options: quiet)
        try files.expectSameModel("/whole", "/broken")
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
        #expect(rejected.split(separator: "\n").count == 1)
        // The list of the sitting that crashed is kept, and what came up again is not listed twice.
        // The reason's last words are libvips's own, and its list of errors is shared by all threads.
        let later = try String(
            contentsOfFile: files.path + "/broken/rejected.jsonl", encoding: .utf8)
        func known(_ entries: String) -> String {
            entries.components(separatedBy: "is broken")[0]
                .replacingOccurrences(of: "/broken/", with: "/whole/")
        }
        #expect(known(later) == known(rejected))
        #expect(later.split(separator: "\n").count == 1)
    }

    /// Pictures of three validation records at two validations, in the folder, the events and the report; they
    /// leave no trace in the weights (`aStageResumesToTheBit` is resumed without them).
    @Test func validationsShowReconstructions() throws {
        let files = try StageFiles()
        _ = try trainStage(try files.plan(), run: files.path + "/run", options: quiet)
        let run = RunFolder(files.path + "/run")
        let names = try FileManager.default.contentsOfDirectory(atPath: run.pictures).sorted()
        #expect(
            names
                == [3, 6].flatMap { step in
                    ["components", "gathered", "looked"].map { "step-\(step)-\($0).png" }
                        + (0..<3).map { "step-\(step)-reconstruction-\($0).png" }
                })
        let picture = try PictureReader().read(path: run.pictures + "/" + names[3])
        #expect(picture.width > 400 && picture.height > 300)
        let events = try FileManager.default.contentsOfDirectory(atPath: run.path)
            .first { $0.hasPrefix("events.out") }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: run.path + "/" + (events ?? "")))
        #expect(bytes.range(of: Data("reconstruction/2".utf8)) != nil)
        let page = try String(contentsOfFile: run.report, encoding: .utf8)
        #expect(page.components(separatedBy: "data:image/png;base64,").count == 13)
        #expect(page.contains("The run is finished") && page.contains("unreadable_picture"))
        let metrics = try String(contentsOfFile: run.metrics, encoding: .utf8)
        #expect(metrics.contains("\"modelFLOPPerSecond\":"))
    }

    @Test func aDryRunLeavesNothingBehind() throws {
        let files = try StageFiles()
        let before = try AtomicFiles.files(beneath: files.path)
        let report = try rehearseStage(
            try files.plan(), run: files.path + "/runs/new",
            options: RunOptions(progress: .silent, watchesSignals: false))
        #expect(report.steps == 6 && report.samples == 3 && report.tokens > 0)
        #expect(report.losses.map(\.name) == ["text", "visual"])
        #expect(report.gradientNorm > 0 && report.checkpointBytes > 10_000)
        #expect(report.validationLoss != nil)
        #expect(try AtomicFiles.files(beneath: files.path) == before)
        #expect(!FileManager.default.fileExists(atPath: files.path + "/runs"))
        // The first step of the real run has the loss that was announced.
        var first: StepReport?
        let watcher = FirstStep { first = $0 }
        #expect(throws: Crash.self) {
            try trainStage(
                try files.plan(), run: files.path + "/real", options: quiet,
                observers: [watcher, Crasher(at: 1)])
        }
        #expect(first?.loss == report.loss && first?.gradientNorm == report.gradientNorm)
        // A folder that holds a run is refused, and one whose batch fails leaves nothing either.
        let error = #expect(throws: RunError.self) {
            try rehearseStage(try files.plan(), run: files.path + "/real")
        }
        #expect(error?.exitCode == 64)
        try Data("[]".utf8).write(to: URL(fileURLWithPath: files.path + "/train.json"))
        #expect(throws: (any Error).self) {
            try rehearseStage(try files.plan(), run: files.path + "/runs/new")
        }
        #expect(!FileManager.default.fileExists(atPath: files.path + "/runs"))
        let rest = try FileManager.default.contentsOfDirectory(atPath: files.path)
        #expect(!rest.contains { $0.hasPrefix(AtomicFiles.temporaryPrefix) }, "\(rest)")
    }

    /// A text alone through a decoder of 2 layers, d = 32, f = 64, 2 of 4 heads for keys: the products by hand.
    /// Trained weights take three passes, frozen ones above something that learns two, others the forward one.
    @Test(arguments: [(["language"], 3.0, 3.0), (["vision"], 2, 3), (["denoiser"], 1, 1)])
    func operationsAreThoseOfTheProducts(train: [String], passes: Double, mixing: Double) throws {
        let files = try StageFiles()
        let parts = try StageParts(try files.plan())
        let model = try parts.model(.plan)
        model.store.train(train)
        let sample = Sample(
            recordID: "text", ids: [Int](repeating: 5, count: 10),
            isSupervised: (0..<10).map { $0 >= 6 }, tokenCount: 10)
        let layer = 32 * (32 + 16 + 16 + 32) + 3 * 32 * 64
        let head = model.language.configuration.vocabularySize * 32
        let products = Double(2 * 10 * 2 * layer + 2 * 4 * head)
        let attention = Double(2 * 2 * 10 * 10 * 32)
        let found = try #require(model.operations([sample]))
        #expect(found == passes * products + mixing * attention)
    }

    @Test func learnedWeightsAreTrainedAndLogged() throws {
        let files = try StageFiles()
        _ = try trainStage(
            try files.plan([
                "steps=4", "objective.balance=uncertainty", "log.pictures=0",
                "train=[perceiver, projector, epigone, balance]",
            ]), run: files.path + "/learned", options: quiet)
        let metrics = try String(
            contentsOfFile: files.path + "/learned/metrics.jsonl", encoding: .utf8)
        for name in ["tokenGradient/text", "tokenGradient/visual", "weight/text", "weight/visual"] {
            #expect(metrics.contains("\"\(name)\":"), "\(name)")
        }
        let page = try String(contentsOfFile: files.path + "/learned/report.html", encoding: .utf8)
        #expect(page.contains("gradient norms on the visual tokens"))
        #expect(page.contains("weights of the losses"))
        let model = try VLSAModel(folder: files.path + "/learned/model")
        let weight = try #require(model.balance?.weight(of: "visual"))
        #expect(abs(weight - 0.5) > 1e-4, "still where it began")
    }

    @Test func scheduledWeightsAreLogged() throws {
        let files = try StageFiles()
        _ = try trainStage(
            try files.plan([
                "steps=4", "log.every=1", "log.pictures=0", "objective.balance=schedule",
                "objective.schedule=[{step: 0, weight: 1}, {step: 2, weight: 0}]",
            ]), run: files.path + "/scheduled", options: quiet)
        let metrics = try String(
            contentsOfFile: files.path + "/scheduled/metrics.jsonl", encoding: .utf8)
        struct Line: Decodable {
            let kind: String
            let weight: Double?
            enum CodingKeys: String, CodingKey {
                case kind
                case weight = "weight/visual"
            }
        }
        let weights = try metrics.split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }.filter { $0.kind == "train" }.map(\.weight)
        #expect(weights == [1, 0.5, 0, 0])
    }

    @Test func aLatentCacheChangesNothingOfWhatIsLearned() throws {
        let files = try StageFiles()
        var models: [[String: Data]] = []
        for (name, overrides) in [
            ("plain", []), ("filled", ["data.latentCache=\(files.path)/latent-cache"]),
            ("read", ["data.latentCache=\(files.path)/latent-cache"]),
        ] {
            _ = try trainStage(
                try files.plan(["steps=3", "log.pictures=0"] + overrides),
                run: files.path + "/" + name, options: quiet)
            models.append(try files.contents("/\(name)/model"))
        }
        #expect(models[0] == models[1] && models[0] == models[2])
        let entries = try AtomicFiles.files(beneath: files.path + "/latent-cache")
        #expect(entries.count > 2)
    }

    /// The rows of the paper's ablation and both baselines.
    @Test(arguments: [
        (
            "any resolution",
            [
                "picture={tiling: anyres, tileWidth: 28, tileHeight: 28}",
                "perceiver.enabled=false", "unpadding={enabled: true}", "objective.kind=none",
                "train=[projector, newline, language]", "data.augment.probability=0",
            ]
        ),
        (
            "snapshot",
            [
                "perceiver.enabled=false", "objective.kind=none", "train=[projector, language]",
                "data.augment.probability=0",
            ]
        ),
        (
            "(a)",
            [
                "objective.kind=none", "train=[perceiver, projector]",
                "data.augment.probability=0",
            ]
        ),
        ("(a)(b)", ["data.augment.probability=0"]),
        (
            "(c)",
            [
                "picture={tiling: anyres, tileWidth: 28, tileHeight: 28}",
                "perceiver.enabled=false", "unpadding={enabled: true}", "objective.kind=none",
                "train=[projector, newline, language]", "data.augment.probability=1",
            ]
        ),
        ("(a)(b)(c)", ["data.augment.probability=1"]),
    ])
    func everyRowOfTheAblationTrainsAndAnswers(row: String, overrides: [String]) throws {
        let files = try StageFiles()
        _ = try trainStage(
            try files.plan(overrides + ["steps=2", "log.pictures=1"]), run: files.path + "/run",
            options: quiet)
        let model = try VLSAModel(folder: files.path + "/run/model", forInference: true)
        let picture = try Tiler(model.configuration.picture).tile(
            try PictureReader().picture(path: files.path + "/images/1.png"))
        let question = Question(
            prompt: try model.prompt(for: [Turn(.user, "<image>\nWhat is here?")]), pictures: [0])
        #expect(try model.answer([question], about: [picture], limit: 3).count == 1)
        let drawn = try AtomicFiles.files(beneath: files.path + "/run/pictures")
        #expect(drawn.contains("step-2-reconstruction-0.png") == row.contains("(b)"))
        #expect(drawn.contains("step-2-gathered.png") == row.contains("(a)"))
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

    /// What a section leaves out stays as the first stage had it, also within `time`, and the run's plan says so.
    @Test func aSectionThatStatesSomeKeysKeepsTheOthers() throws {
        let files = try StageFiles()
        let first = try files.plan([
            "steps=1", "objective.target=velocity", "objective.time={density: uniform, shift: 2}",
            "perceiver.cropPosition=gaussian", "log.pictures=0",
        ])
        _ = try trainStage(first, run: files.path + "/one", options: quiet)
        func second(_ sections: [String], model: String = "one/model") throws -> TrainingPlan {
            try StrictYAML(
                text: """
                    name: next
                    model: \(model)
                    data: {records: train.json, images: images, maxLength: 512, maxRejected: 0.5}
                    train: [perceiver]
                    optimizer: {rate: 1e-3}
                    batch: {samples: 2}
                    log: {pictures: 0}
                    steps: 1
                    """, file: files.path + "/next.yaml", folder: files.path, overrides: sections
            ).decode()
        }
        let some = ["objective.weight=0.25", "objective.time.shift=4", "perceiver.enabled=true"]
        let plan = try second(some)
        _ = try trainStage(plan, run: files.path + "/two", options: quiet)
        var expected = try VLSAModel(folder: files.path + "/one/model").configuration
        expected.objective.weight = 0.25
        expected.objective.time.shift = 4
        #expect(try VLSAModel(folder: files.path + "/two/model").configuration == expected)
        #expect(expected.objective.time.density == .uniform && expected.perceiver.headCount == 4)
        let text = try String(contentsOfFile: files.path + "/two/plan.yaml", encoding: .utf8)
        let said: TrainingPlan = try StrictYAML(text: text, file: "plan.yaml").decode()
        #expect(said.sections.objective == expected.objective)
        #expect(said.sections.perceiver == expected.perceiver && said.sections.picture == nil)
        #expect(
            try trainStage(plan, run: files.path + "/two", options: quiet)
                == .finished(model: files.path + "/two/model"))
        // Planned before the first stage ran, and after.
        let before = try StageOutline(second(some, model: "later"), following: StageOutline(first))
        #expect(before.model.configuration == expected)
        #expect(try StageOutline(plan).model.configuration == expected)
        // Strict all the same.
        let error = #expect(throws: StrictYAMLError.self) { try second(["objective.wieght=1"]) }
        #expect("\(try #require(error))".contains("weight"))
        #expect(throws: StrictYAMLError.self) { try second(["objective.time.shfit=1"]) }
    }

    /// Row (a), then the same model with (b): the denoiser comes from outside of its folder.
    @Test func reconstructionMayBeAddedToAModelWithoutIt() throws {
        let files = try StageFiles()
        let plain = try files.plan([
            "steps=1", "objective.kind=none", "train=[perceiver, projector]", "log.pictures=0",
        ])
        _ = try trainStage(plain, run: files.path + "/a", options: quiet)
        let (folder, parts) = (
            files.path + "/a/model",
            "denoiser: \(files.path)/denoiser, latents: \(files.path)/latents"
        )
        let refused = #expect(throws: PlanError.self) {
            try StageOutline(files.plan(["model=\(folder)"]))
        }
        #expect("\(try #require(refused))".contains("beside model.folder"))
        let plan = try files.plan([
            "model={folder: \(folder), \(parts)}", "steps=1", "log.pictures=0",
        ])
        #expect(
            try StrictYAML(text: plan.yaml(), file: "plan").decode(TrainingPlan.self).model
                == plan.model)
        _ = try StageOutline(
            files.plan(["model={folder: \(files.path)/later, \(parts)}"]),
            following: StageOutline(plain))
        _ = try trainStage(plan, run: files.path + "/ab", options: quiet)
        let model = try VLSAModel(folder: files.path + "/ab/model")
        #expect(model.reconstruction != nil)
        let missing = try files.plan([
            "model={folder: \(folder), denoiser: /nowhere, latents: /nowhere}"
        ])
        #expect(throws: PlanError.missingFile(key: "model.denoiser", path: "/nowhere")) {
            try missing.checkPaths()
        }
        #expect(throws: StrictYAMLError.self) {
            try files.plan(["model={folder: \(folder), vision: \(files.path)/vision}"])
        }
    }

    @Test(arguments: [
        ("perceiver.act=gelu", "\"gelu\" is none of silu, softmax, none"),
        ("perceiver.scale=cuont", "did you mean \"count\"?"),
        ("perceiver.space=text", "\"text\" is none of vision, language"),
        ("objective.kind=rebuild", "\"rebuild\" is none of none, reconstruction, ross, asvr"),
        ("objective.time.density=normal", "\"normal\" is none of uniform, logitNormal, mode"),
        ("objective.balance=learned", "\"learned\" is none of fixed, schedule, uncertainty"),
        ("picture.snapshotSource=whole", "\"whole\" is none of padded, original"),
        ("picture.padding=left", "\"left\" is none of corner, centre"),
    ])
    func wordsThatMayStandAreListed(override: String, expected: String) throws {
        let files = try StageFiles()
        let error = #expect(throws: StrictYAMLError.self) { try files.plan([override]) }
        let text = "\(try #require(error))"
        #expect(text.contains(expected), "\(text)")
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
                options: RunOptions(progress: .silent, watchesSignals: false),
                model: { try parts.model($0) },
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
        (["objective.balance=uncertainty"], "train: objective.balance is uncertainty"),
        (["data.latentCache=/dev/null/x"], "data.latentCache: /dev/null/x: cannot be made"),
        (
            ["objective.kind=asvr", "train=[asvr]"],
            "model: objective.kind is asvr, which needs the folder"
        ),
        (["objective.kind=ross"], "train: ross is new and would stay as it starts; add ross"),
        (
            ["objective.kind=ross", "train=[ross]", "objective.weight=0"],
            "train: ross learns from the visual objective alone, and objective.weight is 0"
        ),
        (
            ["objective.kind=ross", "train=[ross]", "objective.latent=sample"],
            "model: objective.latent is sample, but the latents are no"
        ),
        (["objective.latent=sample"], "model: objective.latent is sample, but the latents are no"),
        (
            ["objective.balance=schedule", "objective.schedule=[{step: 0, weight: 0}]"],
            "train: epigone learns from the visual objective alone, and every weight of objective.schedule is 0"
        ),
        (
            ["picture.snapshotSource=original", "perceiver.cropPosition=gaussian"],
            "model: perceiver.cropPosition is gaussian"
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

@Suite struct OtherModelTests {
    /// The weights of one model under the configuration of another.
    @Test func weightsThatDoNotFitTheirConfigurationAreRefused() throws {
        let files = try StageFiles()
        try Data("[{".utf8).write(to: URL(fileURLWithPath: files.path + "/train.json"))
        let path = files.path + "/language/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let wrong = text.replacing("\"hidden_size\" : 32", with: "\"hidden_size\" : 64")
            .replacing("\"hidden_size\":32", with: "\"hidden_size\":64")
        try #require(wrong != text)
        try Data(wrong.utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: PlanError.self) {
            try trainStage(try files.plan(), run: files.path + "/run", options: quiet)
        }
        #expect(error?.exitCode == 64)
        #expect(error?.description.hasPrefix("model: ") == true, "\(error as Any)")
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
