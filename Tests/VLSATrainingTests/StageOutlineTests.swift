import Foundation
import Testing
import Torch

@testable import VLSA
@testable import VLSATraining

private let quiet = RunOptions(progress: .silent, watchesSignals: false)

@Suite struct StageOutlineTests {
    /// The paper's recipe on the published configurations, each stage from the one before, without a weight.
    @Test func theRecipeOnPublicCheckpointsIsPlannedFromConfigurationsAlone() throws {
        let stack = try PublishedStack()
        var outlines: [StageOutline] = []
        for stage in stack.stages {
            outlines.append(
                try StageOutline(try TrainingPlan.load(path: stage), following: outlines.last))
        }
        let first = outlines[0]
        func counts(_ outline: StageOutline) -> [String: Int] {
            var counts: [String: Int] = [:]
            for part in VLSAModel.parts + ["latents"] {
                counts[part] = outline.model.store.count(under: part)
            }
            return counts.filter { $0.value > 0 }
        }
        #expect(
            counts(first) == [
                "vision": 303_507_456, "language": 8_030_261_248,
                "denoiser": 2_028_328_000 + 56_623_104, "latents": 83_819_683,
                "epigone": 2_101_504 + 1_575_168, "projector": 1024 * 4096 + 4096 * 4096 + 8192,
                // Five square matrices, two of them as one, two norms, one norm more, the query.
                "perceiver": 5 * 1024 * 1024 + 3 * 2048 + 1024,
            ])
        for outline in outlines.dropFirst() { #expect(counts(outline) == counts(first)) }
        let trained = outlines.map { outline in
            Set(outline.model.store.trainable.map { String($0.name.prefix { $0 != "." }) })
        }
        #expect(trained[0] == ["perceiver", "projector", "epigone"])
        #expect(trained[1] == trained[0].union(["denoiser", "vision"]))
        #expect(
            trained[2] == Set(VLSAModel.parts).subtracting(["balance", "newline", "ross", "asvr"]))
        #expect(outlines[2].model.configuration.chat.format == .llama3)

        // 2 bytes a weight; a gradient like it; the rest of an fp32 master and two fp32 moments for what learns.
        let memory = Dictionary(
            uniqueKeysWithValues: outlines[2].memory().map { ($0.name, $0.bytes) })
        let learning = outlines[2].model.store.trainable.reduce(0) { $0 + $1.tensor.count }
        #expect(memory["weights"] == 2 * outlines[2].model.store.count())
        #expect(memory["gradients"] == 2 * learning)
        let steps = 8 * outlines[2].model.store.trainable.count
        #expect(memory["optimizer"] == 10 * learning + steps)
        let text = try outlines[2].text(available: 80 << 30)
        #expect(text.contains("DOES NOT FIT"))
        #expect(text.contains("taken to be what the stage llama3-8b-2-detail will save"))
        #expect(try first.text(available: 1 << 50).contains("\nfits: "))
    }

    /// The decoder's work by hand: 2 FLOP a weight and token, half of all pairs in attention.
    @Test func workFollowsTheFormula() throws {
        let stack = try PublishedStack()
        let plan = try TrainingPlan.load(path: stack.stages[0])
        let first = try StageOutline(plan)
        let work = Dictionary(uniqueKeysWithValues: first.work.map { ($0.part, $0) })
        let length: Double = 2048
        let heads: Double = 2 * 4096 * 4096 + 2 * 1024 * 4096
        let feedForward: Double = 3 * 14336 * 4096
        let head: Double = 128_256 * 4096
        let products: Double = 2 * 32 * (heads + feedForward) * length + 2 * head * (length - 576)
        let attention: Double = 4 * 32 * 4096 * length * length / 2
        #expect(work["language"]?.forward == products + attention)
        // Frozen, but the projector before it learns: derivatives of inputs, none of weights.
        #expect(work["language"]?.backward == products + 2 * attention)

        // 36 tiles and the snapshot through 23 of 24 layers, frozen with nothing before it.
        let towerLayer: Double = 4 * 1024 * 1024 + 2 * 4096 * 1024
        let patches: Double = 2 * 588 * 1024 * 576 * 37
        let towerProducts: Double = 37 * 23 * 2 * towerLayer * 577 + patches
        let scores: Double = 37 * 23 * 4 * 577 * 577 * 1024
        #expect(work["vision"]?.forward == towerProducts + scores)
        #expect(work["vision"]?.backward == 0 && work["latents"]?.backward == 0)
        // Every convolution of SD3's encoder at its own resolution, and the attention over 64 x 64 cells.
        #expect(work["latents"]?.forward == encoderOperations())

        let second = try StageOutline(
            try TrainingPlan.load(path: stack.stages[1]), following: first)
        let towers = try #require(second.work.first { $0.part == "vision" })
        // Weights and inputs, but for the last layer: it trains with the rest and is never used.
        #expect(towers.backward == 2 * towerProducts + 2 * scores)
        // Of a frozen tower one layer is in memory at a time, of one that learns all that run.
        #expect(towers.activationBytes == 23 * (try #require(work["vision"]).activationBytes))
    }

    /// Level by level: two residual blocks each, a halving after all but the last, then the middle.
    private func encoderOperations() -> Double {
        func convolution(_ from: Int, _ to: Int, _ kernel: Int, _ side: Int) -> Int {
            2 * from * to * kernel * kernel * side * side
        }
        var sum = convolution(3, 128, 3, 512)
        for (from, to, side) in [(128, 128, 512), (128, 256, 256), (256, 512, 128), (512, 512, 64)]
        {
            sum += convolution(from, to, 3, side) + 3 * convolution(to, to, 3, side)
            if from != to { sum += convolution(from, to, 1, side) }
            if side > 64 { sum += convolution(to, to, 3, side / 2) }
        }
        sum += 4 * convolution(512, 512, 3, 64) + 4 * convolution(512, 512, 1, 64)
        sum += convolution(512, 32, 3, 64) + 4 * 4096 * 4096 * 512
        return Double(sum)
    }

    @Test func thePlanIsWhatTheRunIs() throws {
        let files = try StageFiles()
        let plan = try files.plan(["steps=1", "dtype=bfloat16", "validate.every=0"])
        let outline = try StageOutline(plan)
        let run = files.path + "/run"
        _ = try trainStage(plan, run: run, options: quiet)
        let table = try String(contentsOfFile: run + "/trainable.txt", encoding: .utf8)
        #expect(try outline.text(available: nil).contains(table))
        let state = try SafetensorsFile(path: run + "/checkpoints/step-1/optimizer.safetensors")
        let memory = Dictionary(uniqueKeysWithValues: outline.memory().map { ($0.name, $0.bytes) })
        #expect(memory["optimizer"] == state.dataBytes)
        let resolved = try String(contentsOfFile: run + "/plan.yaml", encoding: .utf8)
        #expect(try outline.text(available: nil).contains(resolved))
    }

    @Test(arguments: [(0, 1), (1, 4), (2, 4)])
    func processesDivideTheOptimizersState(zero: Int, owners: Int) throws {
        let files = try StageFiles()
        let outline = try StageOutline(
            files.plan(["processes.zero=\(zero)", "batch={samples: 8, micro: 8}"]))
        func bytes(_ processes: Int) -> [String: Int] {
            Dictionary(
                uniqueKeysWithValues: outline.memory(processes: processes).map {
                    ($0.name, $0.bytes)
                })
        }
        let (alone, each) = (bytes(1), bytes(4))
        #expect(each["optimizer"] == (alone["optimizer"]! + owners - 1) / owners)
        #expect(each["weights"] == alone["weights"] && each["gradients"] == alone["gradients"])
        #expect(each["activations"]! * 4 == alone["activations"]!)
    }

    @Test func theNextStageIsPlannedBeforeAndAfterTheFirstRan() throws {
        let files = try StageFiles()
        let first = try files.plan(["steps=1"])
        let second = try files.plan(["model=\(files.path)/one/model", "train=[vision]", "steps=1"])
        let error = #expect(throws: PlanError.self) { try StageOutline(second) }
        #expect(error.map { "\($0)" }?.contains("name that stage's file before this one") == true)
        let before = try StageOutline(second, following: StageOutline(first))
        _ = try trainStage(first, run: files.path + "/one", options: quiet)
        let after = try StageOutline(second)
        #expect(before.work == after.work)
        #expect(before.memory().map(\.bytes) == after.memory().map(\.bytes))
        #expect(before.notes.count == 1 && after.notes.isEmpty)
    }

    @Test(arguments: [
        (["model.vision=/nowhere"], "model.vision: /nowhere: no such file or folder"),
        (["data.images=/nowhere"], "data.images: /nowhere: no such file or folder"),
        (["data.augment.tasks={vq_cell: 1}"], "the key \"data.augment.codebook\" is missing"),
        (["data.augment.templates=images"], "data.augment: "),
        (
            ["data.maxLength=16"],
            "data.maxLength: is 16, but the tokens of one picture alone are 16"
        ),
        (["picture.tileWidth=29"], "model: picture.tileWidth x tileHeight is 29 x 28"),
        (["perceiver.heads=5"], "model: perceiver.heads is 5, which does not divide the width 32"),
        (["objective.pictureSize=57"], "model: objective.pictureSize is 57; it must be a multiple"),
        (["objective.pictureSize=72"], "model: objective.pictureSize 72 gives 9 patches a side"),
        (["features.vision_feature_layer=-4"], "model: features.vision_feature_layer is -4"),
        (["train=[latents]"], "train: latents are the frozen target"),
        (["objective.weight=0"], "train: epigone learns from the visual objective alone"),
        (["objective.kind=none"], "train: \"epigone\" names no parameter"),
        (["model={vision: vision, language: vision}", "objective.kind=none"], "model: "),
    ])
    func whatWouldKeepAStageFromTrainingIsFound(overrides: [String], expected: String) throws {
        let files = try StageFiles()
        // Data that is read would be found broken first.
        try Data("[{".utf8).write(to: URL(fileURLWithPath: files.path + "/train.json"))
        // A relative path of an override starts from the current folder, one of the file from the file's.
        let overrides = overrides.map {
            $0.replacingOccurrences(of: "=images", with: "=\(files.path)/images")
                .replacingOccurrences(of: ": vision", with: ": \(files.path)/vision")
        }
        let plan = try files.plan(overrides)
        for attempt in [
            { _ = try StageOutline(plan) },
            { _ = try trainStage(plan, run: files.path + "/run", options: quiet) },
        ] {
            let error = #expect(throws: (any Error).self) { try attempt() }
            let text = error.map { "\($0)" } ?? ""
            #expect((error as? any ExitCoded)?.exitCode == 64, "\(text)")
            #expect(text.hasPrefix(expected), "\(text)")
        }
        #expect(!FileManager.default.fileExists(atPath: files.path + "/run"))
    }

    @Test func numbersOfMismatchedPartsAreInTheMessage() throws {
        let files = try StageFiles()
        let path = files.path + "/denoiser/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
            .replacing(/"(in|out)_channels" : 4/) { "\"\($0.output.1)_channels\" : 8" }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let plan = try files.plan()
        // The weights are still the old ones: the headers say so.
        let misshapen = #expect(throws: PlanError.self) { try StageOutline(plan) }
        #expect(
            misshapen.map { "\($0)" }?.contains("[16, 4, 2, 2], the model needs [16, 8, 2, 2]")
                == true)
        try FileManager.default.removeItem(
            atPath: files.path + "/denoiser/diffusion_pytorch_model.safetensors")
        let error = #expect(throws: PlanError.self) { try StageOutline(plan) }
        #expect(
            error.map { "\($0)" }
                == "model: the latents have 4 channels, the denoiser expects 8")
    }

    @Test func aDeviceElsewhereIsPlannedFor() throws {
        let files = try StageFiles()
        let outline = try StageOutline(try files.plan(["device=cuda:63"]))
        #expect(try outline.text(available: nil).contains("cuda:63 is not on this machine"))
    }
}
