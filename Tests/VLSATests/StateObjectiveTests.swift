import AnyRes
import Corpus
import Foundation
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Both objectives that learn from the decoder's states, in a whole model.
@Suite struct StateObjectiveTests {
    static let kinds: [ObjectiveKind] = [.ross, .asvr]

    /// A model away from its start, all of it trained.
    private func model(
        _ kind: ObjectiveKind, _ change: (inout VLSAConfiguration) -> Void = { _ in }
    ) throws -> VLSAModel {
        var configuration = kind == .ross ? TinyStack.ross : TinyStack.asvr
        change(&configuration)
        let model = try TinyStack.asvrModel(configuration)
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        model.store.train(VLSAModel.parts)
        return model
    }

    private func generators(_ samples: [Sample]) -> [Generator] {
        samples.indices.map { Generator(seed: UInt64($0)) }
    }

    /// One with two pictures beside those with one and none.
    private func samples(_ model: VLSAModel) throws -> [Sample] {
        let two = try TinyStack.sample(
            model, "d",
            [Turn(.user, "<image>\n<image>\nWhere is the star?"), Turn(.assistant, "left")],
            [
                TinyStack.picture(width: 30, height: 40, seed: 5),
                TinyStack.picture(width: 80, height: 30, seed: 6),
            ])
        return try TinyStack.samples(model) + [two]
    }

    @Test(arguments: kinds, [false, true])
    func aBatchLosesWhatItsSamplesLoseAlone(kind: ObjectiveKind, packs: Bool) throws {
        let model = try model(kind)
        let samples = try samples(model)
        model.packsSequences = packs
        let together = try model.losses(samples, generators: generators(samples))
        var (text, visual, count) = (0.0, 0.0, 0)
        for (sample, generator) in zip(samples, generators(samples)) {
            let alone = try model.losses([sample], generators: [generator])
            text += alone.text?.item() ?? 0
            visual += alone.visual?.item() ?? 0
            count += alone.visualCount
        }
        #expect(abs(try #require(together.text).item() - text) < 1e-5 * text)
        #expect(abs(try #require(together.visual).item() - visual) < 1e-5 * visual)
        #expect(together.visualCount == 4 && count == 4)
        let alone = try model.losses([samples[2]], generators: [Generator(seed: 1)])
        #expect(alone.visual == nil && alone.visualCount == 0)
    }

    /// The visual loss of one sample, its states found in the decoder's output by hand: those of the first 16 tokens
    /// of each picture.
    private func visualLoss(_ model: VLSAModel, _ sample: Sample, seed: UInt64) throws -> Double {
        let seen = model.see(sample.pictures)
        let batch = try PromptBatch(
            prompts: [(sample.ids, sample.isSupervised, seen.counts)], names: [sample.recordID])
        let hidden = model.language(
            batch.embeddings(in: model.language, visual: seen.rows, device: .cpu),
            layout: batch.layout)
        var states: [Tensor] = []
        var place = 0
        for id in sample.ids {
            guard id == PromptIDs.imageToken else {
                place += 1
                continue
            }
            place += seen.counts[states.count]
            let start = place - seen.counts[states.count]
            states.append(hidden[0].narrowed(axis: 0, start: start, length: 16))
        }
        let own = Tensor.stacked(states, axis: 0)
        guard let ross = model.ross else {
            let asvr = try #require(model.asvr)
            return asvr.loss(
                of: try asvr.targets(of: sample.pictures, device: .cpu), states: own
            ).item()
        }
        // A record's pictures draw from its generator one after the other.
        let generator = Generator(seed: seed)
        return ross.loss(
            of: ross.targets(of: sample.pictures, device: .cpu), states: own,
            generators: sample.pictures.map { _ in generator }
        ).item()
    }

    @Test(arguments: kinds) func theStatesAreThoseOfThePicturesPlaces(kind: ObjectiveKind) throws {
        let model = try model(kind)
        let sample = try samples(model)[3]
        let losses = try model.losses([sample], generators: [Generator(seed: 4)])
        let (found, expected) = (
            try #require(losses.visual).item(), try visualLoss(model, sample, seed: 4)
        )
        #expect(abs(found - expected) < 1e-5 * expected)
    }

    /// Every weight of the objective and of what lies before it learns; the decoder's logits' table does not.
    @Test(arguments: kinds) func theLossReachesEverythingBeforeTheStates(kind: ObjectiveKind) throws
    {
        let model = try model(kind)
        let samples = try TinyStack.samples(model)
        try #require(try model.losses(samples, generators: generators(samples)).visual).backward()
        let idle = model.store.tensors().filter { ($0.tensor.gradient?.norm().item() ?? 0) == 0 }
            .map(\.name)
        // Nothing comes before the only slot of one depth, so what it asks for makes no difference.
        let parts = Set(idle.map { String($0.prefix { $0 != "." }) })
        #expect(parts.isSubset(of: ["language", "latents", "ross", "vision"]), "\(idle)")
        #expect(idle.contains("language.lm_head.weight"))
        #expect(idle.filter { $0.hasPrefix("ross.") }.allSatisfy { $0 == "ross.pos_embed" })
        for name in ["\(kind.rawValue)", "perceiver", "projector"] {
            #expect(model.store.tensors(under: name).contains { $0.tensor.gradient != nil })
        }
    }

    /// What a later token says never moves an earlier state's loss: the answer is behind the picture.
    @Test(arguments: kinds) func theAnswerDoesNotMoveTheVisualLoss(kind: ObjectiveKind) throws {
        let model = try model(kind)
        func loss(_ answer: String) throws -> Float {
            let sample = try TinyStack.sample(
                model, "a", [Turn(.user, "<image>\nWhat is here?"), Turn(.assistant, answer)],
                [TinyStack.picture(width: 50, height: 20, seed: 1)])
            let losses = try model.losses([sample], generators: [Generator(seed: 3)])
            return try #require(losses.visual).floats()[0]
        }
        let (a, b) = (try loss("a red circle"), try loss("a blue star"))
        #expect(abs(a - b) < 1e-5 * a)
    }

    /// Saved and loaded the model loses the same to the bit; an answer needs none of it.
    @Test(arguments: kinds) func theModelIsSavedWithItsObjective(kind: ObjectiveKind) throws {
        let model = try model(kind)
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        let again = try VLSAModel(folder: folder)
        #expect(again.configuration == model.configuration)
        #expect(again.store.names == model.store.names)
        let samples = try samples(model)
        let losses = try [model, again].map {
            try $0.losses(samples, generators: generators(samples))
        }
        #expect(losses[0].visual?.floats() == losses[1].visual?.floats())
        #expect(losses[0].text?.floats() == losses[1].text?.floats())

        let bare = try VLSAModel(folder: folder, forInference: true)
        #expect(bare.ross == nil && bare.asvr == nil && bare.store.count(under: kind.rawValue) == 0)
        let picture = samples[0].pictures[0]
        let question = Question(
            prompt: try model.prompt(for: [Turn(.user, "<image>\nWhat is here?")]), pictures: [0])
        let answers = try [model, bare].map {
            try $0.answer([question], about: [picture], limit: 6)
        }
        #expect(answers[0] == answers[1])
        let inspection = try FolderInspection(folder)
        #expect(inspection.faults == [] && inspection.passedOver == [])
        #expect(inspection.parameters.contains { $0.name.hasPrefix(kind.rawValue + ".") })
    }

    /// Another objective starts new, and the one before leaves nothing behind.
    @Test func theObjectiveMayChangeFromStageToStage() throws {
        let first = try model(.ross)
        let folder = try TemporaryFolder.make() + "/model"
        try first.save(to: folder)
        let sections = StageSections(objective: TinyStack.asvr.objective)
        #expect(throws: VLSAError.self) { try VLSAModel(folder: folder, replacing: sections) }
        let next = try VLSAModel(
            folder: folder, replacing: sections, codebook: TinyStack.codebook())
        #expect(next.ross == nil && next.asvr != nil && next.latents == nil)
        #expect(next.store.count(under: "ross") == 0)
        let second = try TemporaryFolder.make() + "/model"
        try next.save(to: second)
        let files = FileManager.default
        #expect(files.fileExists(atPath: second + "/codebook/config.json"))
        #expect(!files.fileExists(atPath: second + "/latents"))
        let named = try SafetensorsFile(path: second + "/model.safetensors").names
        #expect(
            named.contains { $0.hasPrefix("asvr.") } && !named.contains { $0.hasPrefix("ross.") })
        #expect(try VLSAModel(folder: second).asvr != nil)
    }

    /// The tokens of unpadded tiles, which follow the snapshot's, are not asked for anything.
    @Test(arguments: kinds) func unpaddedTilesAreLeftOut(kind: ObjectiveKind) throws {
        let model = try model(kind) {
            $0.picture = TilingConfiguration(
                tiling: .anyres, tileWidth: TinyStack.tile, tileHeight: TinyStack.tile, maxTiles: 6)
            $0.perceiver.isEnabled = false
            $0.unpadding = UnpaddingConfiguration(isEnabled: true)
        }
        let picture = try Tiler(model.configuration.picture).tile(
            Pixels(width: 50, height: 20, colour: [200, 30, 90]))
        let sample = try TinyStack.sample(
            model, "a", [Turn(.user, "<image>\nWhat is here?"), Turn(.assistant, "left")], [picture]
        )
        #expect(model.visualTokenCounter(picture.geometry) > 16)
        let losses = try model.losses([sample], generators: [Generator(seed: 3)])
        let (found, expected) = (
            try #require(losses.visual).item(), try visualLoss(model, sample, seed: 3)
        )
        #expect(abs(found - expected) < 1e-5 * expected && losses.visualCount == 1)
    }

    @Test(arguments: [
        (ObjectiveKind.ross, #"{"ross": {"width": 30, "heads": 2}}"#, "width"),
        (.ross, #"{"ross": {"width": 32, "heads": 3}}"#, "heads"),
        (.ross, #"{"ross": {"noiseSamples": 0}}"#, "noiseSamples"),
        (.ross, #"{"ross": {"cellsPerToken": 0}}"#, "cellsPerToken"),
        (.ross, #"{"ross": {"layers": 0}}"#, "layers"),
        (.asvr, #"{"asvr": {"visualShift": 2}}"#, "visualShift"),
        (.asvr, #"{"asvr": {"visualShift": -1}}"#, "visualShift"),
        (.asvr, #"{"asvr": {"width": 2047}}"#, "heads"),
        (.asvr, #"{"asvr": {"layers": -1}}"#, "layers"),
    ])
    func impossibleSettingsAreRefusedByKey(kind: ObjectiveKind, json: String, key: String) throws {
        let error = #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(ObjectiveConfiguration.self, from: Data(json.utf8))
        }
        guard case .dataCorrupted(let context) = try #require(error) else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(context.codingPath.map(\.stringValue) == [kind.rawValue, key])
    }

    @Test func defaultsAreThePublishedOnes() throws {
        let read = try JSONDecoder().decode(
            ObjectiveConfiguration.self, from: Data(#"{"ross": {}, "asvr": {}}"#.utf8))
        #expect(
            read.ross
                == ROSSConfiguration(
                    width: 1024, layerCount: 3, headCount: 16, cellsPerToken: 2,
                    betaSchedule: .cosine, noiseSamples: 4))
        #expect(
            read.asvr
                == ASVRConfiguration(width: 2048, layerCount: 3, headCount: 16, visualShift: 0))
        #expect(read.weight == 1 && read.kind == .none)
        let written = try JSONEncoder().encode(read)
        #expect(try JSONDecoder().decode(ObjectiveConfiguration.self, from: written) == read)
    }

    @Test func missingFoldersAndLatentsWithoutDistributionAreNamed() throws {
        func message(_ configuration: VLSAConfiguration) throws -> String {
            var folders = try TinyStack.folders()
            if configuration.objective.kind == .ross, configuration.objective.latent == .mean {
                folders.latents = nil
            }
            let error = #expect(throws: VLSAError.self) {
                try VLSAModel(assembling: folders, configuration: configuration)
            }
            return "\(try #require(error))"
        }
        #expect(try message(TinyStack.ross).contains("model.latents"))
        #expect(try message(TinyStack.asvr).contains("model.codebook"))
        var sampled = TinyStack.ross
        sampled.objective.latent = .sample
        #expect(try message(sampled).contains("objective.latent"))
    }
}
