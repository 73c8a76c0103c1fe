import AnyRes
import Corpus
import Foundation
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct VLSAModelTests {
    @Test func chatIsReadWithItsDefaults() throws {
        func chat(_ text: String) throws -> ChatConfiguration {
            try JSONDecoder().decode(ChatConfiguration.self, from: Data(text.utf8))
        }
        #expect(try chat(#"{"format": "chatml"}"#) == ChatConfiguration(format: .chatML))
        let compat = try chat(#"{"format": "mistral", "system": "", "compat": true}"#)
        #expect(compat == ChatConfiguration(format: .mistral, system: "", compat: true))
        let again = try JSONDecoder().decode(
            ChatConfiguration.self, from: JSONEncoder().encode(compat))
        #expect(again == compat)
        #expect(throws: DecodingError.self) { try chat(#"{"compat": true}"#) }
    }

    @Test func aBatchLosesWhatItsSamplesLoseAlone() throws {
        let model = try TinyStack.model()
        TinyStack.disturb(model, "perceiver")
        let samples = try TinyStack.samples(model)
        func generators() -> [Generator] { samples.indices.map { Generator(seed: UInt64($0)) } }
        let together = try model.losses(samples, generators: generators())
        var (text, visual) = (0.0, 0.0)
        var count = 0
        for (sample, generator) in zip(samples, generators()) {
            let alone = try model.losses([sample], generators: [generator])
            text += alone.text?.item() ?? 0
            visual += alone.visual?.item() ?? 0
            count += alone.textCount
        }
        #expect(together.textCount == count)
        #expect(abs((together.text?.item() ?? 0) - text) < 1e-4 * text)
        #expect(abs((together.visual?.item() ?? 0) - visual) < 1e-4 * visual)
        #expect(together.visualCount == 2)
    }

    @Test func textAloneHasNoVisualLoss() throws {
        let model = try TinyStack.model()
        let losses = try model.losses(
            [TinyStack.samples(model)[2]], generators: [Generator(seed: 1)])
        #expect(losses.visual == nil && losses.visualCount == 0 && losses.textCount > 0)
    }

    /// The `train:` lists of the package's stage files, and everything.
    static let trained: [[String]] = {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let stages = tests.appendingPathComponent("../../Stages").standardizedFileURL.path
        var lists: Set<[String]> = [VLSAModel.parts]
        for name in FileManager.default.subpaths(atPath: stages) ?? [] where name.hasSuffix(".yaml")
        {
            let text = (try? String(contentsOfFile: stages + "/" + name, encoding: .utf8)) ?? ""
            guard let list = text.firstMatch(of: /\ntrain: \[(.+)\]/)?.output.1 else { continue }
            lists.insert(
                list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.sorted())
        }
        return lists.sorted { $0.count < $1.count }
    }()

    @Test("gradients reach exactly what a stage trains", arguments: trained)
    func gradientsReachWhatIsTrained(_ parts: [String]) throws {
        #expect(Self.trained.count >= 4)  // three stages and everything
        let model = try TinyStack.model()
        // Zero-initialised outputs hide what lies before them; move everything off its start.
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        model.store.train(parts)
        let samples = try TinyStack.samples(model)
        let losses = try model.losses(
            samples, generators: samples.map { _ in Generator(seed: 1) })
        let text = try #require(losses.text)
        let visual = try #require(losses.visual)
        (text + visual).backward()
        var without: [String] = []
        for (name, tensor) in model.store.tensors() {
            let isTrained = parts.contains { name.hasPrefix($0 + ".") }
            if !isTrained { #expect(tensor.gradient == nil, "\(name)") }
            if isTrained, (tensor.gradient?.norm().item() ?? 0) == 0 { without.append(name) }
        }
        // The class token's last layer, the tower's ending, and the last block's text queries feed
        // nothing.
        let expected = [
            "post_layernorm", "add_q_proj", "k_proj.bias", "to_k.bias", "pos_embed.pos_embed",
        ]
        let idle = without.filter { name in !expected.contains { name.contains($0) } }
        #expect(idle.isEmpty, "no gradient: \(idle)")
    }

    @Test func eachLossesDerivativeOnTheTokensIsMeasured() throws {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        func norms(_ parts: [String], visualWeight: Double) throws -> [String: Double] {
            model.store.train(parts)
            let losses = try model.losses(
                TinyStack.samples(model), generators: (0..<3).map { Generator(seed: $0) })
            let total = try #require(losses.text) + #require(losses.visual) * visualWeight
            if total.requiresGradient { total.backward() }
            return Dictionary(
                uniqueKeysWithValues: model.takeTokenGradients().map { ($0.loss, $0.norm) })
        }
        let once = try norms(["projector"], visualWeight: 1)
        let double = try norms(["projector"], visualWeight: 2)
        let (text, visual) = (try #require(once["text"]), try #require(once["visual"]))
        #expect(text > 0 && visual > 0)
        #expect(abs(try #require(double["text"]) - text) < 1e-4 * text)
        #expect(abs(try #require(double["visual"]) - 2 * visual) < 1e-4 * visual)
        #expect(try norms(["language"], visualWeight: 1).isEmpty)
    }

    @Test func learnedWeightsAreSavedAndGoOnInTheNextStage() throws {
        var configuration = TinyStack.configuration
        configuration.objective.balance = .uncertainty
        configuration.objective.weight = 0.25
        let model = try TinyStack.model(configuration)
        let balance = try #require(model.balance)
        #expect(abs(balance.weight(of: "visual") - 0.25) < 1e-6)
        TinyStack.disturb(model, "balance")
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        let next = try VLSAModel(folder: folder)
        #expect(next.balance?.weight(of: "visual") == balance.weight(of: "visual"))
        var objective = configuration.objective
        objective.balance = .fixed
        let fixed = try VLSAModel(folder: folder, replacing: StageSections(objective: objective))
        #expect(fixed.balance == nil)
        #expect(try VLSAModel(folder: folder, forInference: true).balance == nil)
    }

    /// Before the first step the language model gets what it would get of the snapshot alone.
    @Test(arguments: [PerceiverSpace.vision, .language])
    func startsAsTheSnapshotOnlyModel(space: PerceiverSpace) throws {
        var configuration = TinyStack.configuration
        configuration.perceiver.space = space
        let whole = try TinyStack.model(configuration)
        configuration.perceiver.isEnabled = false
        configuration.objective.kind = .none
        let plain = try TinyStack.model(configuration)
        let samples = try TinyStack.samples(whole)
        let generators = samples.map { _ in Generator(seed: 1) }
        for sample in samples where !sample.pictures.isEmpty {
            let (a, b) = (whole.see(sample.pictures).rows, plain.see(sample.pictures).rows)
            // The tower saw other batches: its products may be added up in another order.
            #expect((a - b).abs().max().item() < 1e-6 * b.abs().max().item())
        }
        let texts = try [whole, plain].map {
            try #require($0.losses(samples, generators: generators).text).item()
        }
        #expect(abs(texts[0] - texts[1]) < 1e-5 * texts[1])
    }

    /// Snapshot and tiles each through tower and projector, as pictures of their own, then the perceiver.
    @Test func aPerceiverInLanguageSpaceWorksOnProjectedTokens() throws {
        var configuration = TinyStack.configuration
        configuration.perceiver.space = .language
        let model = try TinyStack.model(configuration)
        TinyStack.disturb(model, "perceiver")
        configuration.perceiver.isEnabled = false
        configuration.objective.kind = .none
        let plain = try TinyStack.model(configuration)
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)  // 3 x 2 tiles
        let tiler = try Tiler(configuration.picture)
        let tiles = try (0..<6).map { try tiler.tile(picture.tilePixels($0)) }
        let perceiver = try #require(model.perceiver)
        let expected = perceiver(
            plain.see([picture]).tokens, tiles: plain.see(tiles).rows.unsqueezed(0),
            places: TokenPlaces(columns: 3, rows: 2, side: 4, device: .cpu))
        let seen = model.see([picture])
        #expect((seen.tokens - expected.tokens).abs().max().item() < 1e-5)
        #expect((try #require(seen.pooled) - expected.pooled).abs().max().item() < 1e-5)
        #expect((seen.tokens - plain.see([picture]).tokens).abs().max().item() > 1e-2)
    }

    @Test func savedAndLoadedAnswersTheSame() throws {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        let loaded = try VLSAModel(folder: folder)
        #expect(loaded.configuration == model.configuration)
        #expect(loaded.store.names == model.store.names)
        for name in model.store.names {
            #expect(loaded.store[name]?.floats() == model.store[name]?.floats(), "\(name)")
        }
        let light = try VLSAModel(folder: folder, forInference: true)
        #expect(light.reconstruction == nil)
        #expect(!light.store.names.contains { $0.hasPrefix("epigone") || $0.hasPrefix("denoiser") })
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        let question = Question(
            prompt: try model.prompt(for: [Turn(.user, "<image>\nWhat is here?")]), pictures: [0])
        let answer = try model.answer([question], about: [picture], limit: 6)
        #expect(try light.answer([question], about: [picture], limit: 6) == answer)
    }

    @Test func questionsTogetherAreAnsweredAsAlone() throws {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        let pictures = [
            try TinyStack.picture(width: 60, height: 40, seed: 4),
            try TinyStack.picture(width: 20, height: 90, seed: 5),
        ]
        let questions = try [
            ("What is here?", 0), ("How many shapes are there?", 1), ("Where?", 0),
        ]
        .map {
            Question(
                prompt: try model.prompt(for: [Turn(.user, "<image>\n" + $0.0)]),
                pictures: [$0.1])
        }
        let together = try model.answer(questions, about: pictures, limit: 5)
        for (question, answer) in zip(questions, together) {
            #expect(try model.answer([question], about: pictures, limit: 5) == [answer])
        }
    }

    @Test func aStageMayTurnTheObjectiveOffAndOn() throws {
        let model = try TinyStack.model()
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        let plain = try VLSAModel(
            folder: folder,
            replacing: StageSections(
                perceiver: PerceiverConfiguration(isEnabled: false),
                objective: ObjectiveConfiguration(kind: .none)))
        #expect(plain.perceiver == nil && plain.reconstruction == nil)
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        #expect(plain.see([picture]).tokens.shape == [1, 16, 32])
    }

    @Test func whatCannotWorkIsSaidBeforeAnythingRuns() throws {
        let folders = try TinyStack.folders()
        func message(_ change: (inout VLSAConfiguration) -> Void) -> String {
            var configuration = TinyStack.configuration
            change(&configuration)
            do {
                _ = try VLSAModel(assembling: folders, configuration: configuration)
                return ""
            } catch { return "\(error)" }
        }
        #expect(message { $0.picture.tileWidth = 56 }.contains("28 x 28"))
        #expect(message { $0.objective.pictureSize = 60 }.contains("multiple of 8"))
        #expect(message { $0.objective.pictureSize = 96 }.contains("position table"))
        #expect(message { $0.perceiver.isEnabled = false }.contains("perceiver"))
        #expect(message { $0.perceiver.headCount = 5 }.contains("divide"))
        #expect(
            message { $0.picture.snapshotSource = .original }.contains("snapshotSource: padded"))
        #expect(
            message {
                $0.picture.snapshotSource = .original
                $0.perceiver.cropPosition = .off
            }.isEmpty)
    }

    @Test func aDenoiserThatDoesNotFitTheSavedEpigoneIsRefusedWithItsWidths() throws {
        let model = try TinyStack.model()
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        let store = ParameterStore(seed: 6)
        let wider = MMDiTConfiguration(
            sampleSize: 7, channels: 4, layerCount: 1, headWidth: 8, headCount: 2, contextWidth: 20,
            pooledWidth: 10, positionGrid: 8)
        _ = try MMDiT(wider, in: store.scope["denoiser"])
        try saveFolder(wider, part: "denoiser", of: store, to: folder + "/denoiser")
        let error = #expect(throws: VLSAError.self) { try VLSAModel(folder: folder) }
        let message = "\(try #require(error))"
        #expect(message.contains("[12, 8]") && message.contains("context width 20"), "\(message)")
    }

    @Test func latentsOfAnotherChannelCountAreRefusedWithBothNumbers() throws {
        var folders = try TinyStack.folders()
        let store = ParameterStore(seed: 6)
        let scope = store.scope["latents"]
        _ = try scope.buffer("basis", shape: [6, 48], initial: .normal(deviation: 0.1))
        _ = try scope.buffer("mean", shape: [48], initial: .zeros)
        _ = try scope.buffer("scale", shape: [6], initial: .ones)
        let path = try TemporaryFolder.make() + "/latents"
        try saveFolder(
            KLTLatentConfiguration(channels: 6, patchSide: 4), part: "latents", of: store, to: path)
        folders.latents = path
        let error = #expect(throws: VLSAError.self) {
            try VLSAModel(assembling: folders, configuration: TinyStack.configuration)
        }
        #expect("\(try #require(error))" == "the latents have 6 channels, the denoiser expects 4")
    }

    @Test func aPromptWithTheWrongNumberOfPicturesIsRefusedByName() throws {
        let model = try TinyStack.model()
        let good = try TinyStack.samples(model)[0]
        let bad = Sample(
            recordID: "lonely", ids: good.ids, isSupervised: good.isSupervised, pictures: [],
            pictureKeys: [], tokenCount: good.tokenCount)
        let error = #expect(throws: VLSAError.self) {
            try model.losses([bad], generators: [Generator(seed: 1)])
        }
        #expect("\(try #require(error))".contains("lonely"))
    }
}
