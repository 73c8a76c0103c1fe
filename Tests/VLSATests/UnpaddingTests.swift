import AnyRes
import Foundation
import Prompting
import Testing
import Torch

@testable import VLSA

/// LLaVA-NeXT's tokens in our own model.
@Suite struct UnpaddingTests {
    static func configuration(
        _ unpadding: UnpaddingConfiguration = UnpaddingConfiguration(rounding: .huggingface),
        pinpoints: Pinpoints = .standard
    ) -> VLSAConfiguration {
        var result = TinyStack.configuration
        result.picture = TilingConfiguration(
            tiling: .anyres, tileWidth: 28, tileHeight: 28, pinpoints: pinpoints,
            tieOrder: .huggingface)
        result.perceiver.isEnabled = false
        result.objective.kind = .none
        result.unpadding = unpadding
        return result
    }

    static func model(_ configuration: VLSAConfiguration = configuration()) throws -> VLSAModel {
        let model = try TinyStack.model(configuration)
        for part in ["projector", "newline", "vision"] { TinyStack.disturb(model, part) }
        return model
    }

    static func picture(_ model: VLSAModel, _ width: Int, _ height: Int) throws -> TiledPicture {
        let bytes = (Tensor.uniform([width * height * 3], generator: Generator(seed: 3)) * 255)
            .to(.uint8).bytes()
        return try Tiler(model.configuration.picture).tile(
            Pixels(width: width, height: height, bytes: bytes))
    }

    /// Against the packing that the public LLaVA-NeXT checkpoints' golden tests cover.
    @Test(arguments: [(60, 40), (40, 60), (20, 20), (90, 25), (33, 58), (200, 40), (31, 31)])
    func tokensAreThoseOfThePublicPacking(width: Int, height: Int) throws {
        let model = try Self.model()
        let picture = try Self.picture(model, width, height)
        let seen = model.see([picture])
        let packing = AnyResPacking(
            pinpoints: Pinpoints.standardSizes(28).map { GridSize(height: $0[0], width: $0[1]) },
            tileSize: 28, side: 4)
        let newline = try #require(model.newline)
        let features = model.projector(model.features(of: [picture]))
        let expected = packing.pack(features, height: height, width: width, newline: newline)
        #expect(seen.rows.shape == expected.shape)
        #expect(seen.rows.floats() == expected.floats())
        #expect(seen.counts == [packing.tokenCount(height: height, width: width)])
        #expect(seen.counts[0] == model.visualTokenCounter(picture.geometry))
    }

    @Test func countsAgreeForAnySize() throws {
        let capped = UnpaddingConfiguration(maxTiles: 2)
        for configuration in [
            Self.configuration(),
            Self.configuration(capped, pinpoints: .range(first: [1, 1], last: [3, 3])),
        ] {
            let model = try Self.model(configuration)
            for seed in 0..<40 {
                let (width, height) = (1 + seed * 7919 % 150, 1 + seed * 104_729 % 150)
                let picture = try Self.picture(model, width, height)
                let seen = withoutGradients { model.see([picture]) }
                #expect(
                    seen.counts == [model.visualTokenCounter(picture.geometry)],
                    "\(width) x \(height)")
                #expect(seen.rows.allFinite(), "\(width) x \(height)")
            }
        }
    }

    @Test func raggedPicturesLoseTogetherWhatTheyLoseAlone() throws {
        let model = try Self.model()
        model.store.train(["projector", "newline", "language"])
        let samples = try [(60, 40), (20, 20), (25, 90)].enumerated().map { index, size in
            try TinyStack.sample(
                model, "\(index)",
                [Turn(.user, "<image>\nWhat is here?"), Turn(.assistant, "a red circle")],
                [try Self.picture(model, size.0, size.1)])
        }
        #expect(Set(samples.map(\.tokenCount)).count == 3)
        let generators = samples.map { _ in Generator(seed: 1) }
        let together = try #require(try model.losses(samples, generators: generators).text)
        let alone = try samples.reduce(0.0) {
            $0 + (try model.losses([$1], generators: [generators[0]]).text?.item() ?? 0)
        }
        #expect(abs(together.item() - alone) < 1e-4 * alone)
        together.backward()
        #expect((model.newline?.gradient?.norm().item() ?? 0) > 0)
    }

    @Test func raggedQuestionsAreAnsweredAsAlone() throws {
        let model = try Self.model()
        let pictures = try [(60, 40), (20, 20)].map { try Self.picture(model, $0.0, $0.1) }
        let questions = try [("What is here?", 0), ("Where?", 1), ("How many?", 0)].map {
            Question(
                prompt: try model.prompt(for: [Turn(.user, "<image>\n" + $0.0)]), pictures: [$0.1])
        }
        let together = try model.answer(questions, about: pictures, limit: 5)
        for (question, answer) in zip(questions, together) {
            #expect(try model.answer([question], about: pictures, limit: 5) == [answer])
        }
        #expect(
            try model.gaze(asking: "What is here?", about: pictures[0]).words[0].attention.count
                == 16)
        #expect(try model.components(of: pictures[0]).side == 4)
    }

    @Test func theNewlineIsSavedAndStartsAnewWhereAStageAddsIt() throws {
        let model = try Self.model()
        let folder = try TemporaryFolder.make() + "/model"
        try model.save(to: folder)
        #expect(try VLSAModel(folder: folder).newline?.floats() == model.newline?.floats())
        let without = try VLSAModel(
            folder: folder,
            replacing: StageSections(unpadding: UnpaddingConfiguration(isEnabled: false)))
        #expect(without.newline == nil)
        try without.save(to: folder + "-plain")
        let again = try VLSAModel(
            folder: folder + "-plain", replacing: StageSections(unpadding: UnpaddingConfiguration())
        )
        #expect(again.newline != nil)
    }

    @Test func combinationsThatCannotWorkAreRefused() throws {
        func message(_ change: (inout VLSAConfiguration) -> Void) -> String {
            var configuration = Self.configuration()
            change(&configuration)
            do {
                _ = try TinyStack.model(configuration)
                return ""
            } catch { return "\(error)" }
        }
        #expect(message { $0.picture.tiling = .vlsa }.contains("anyres"))
        #expect(message { $0.perceiver.isEnabled = true }.contains("perceiver.enabled"))
        let many = message {
            $0.picture.pinpoints = .range(first: [1, 1], last: [4, 4])
            $0.picture.maxTiles = 9
        }
        #expect(many.contains("16 tiles") && many.contains("maxTiles, 9"))
    }
}

extension Pinpoints {
    /// The standard grids in pixels, in order.
    fileprivate static func standardSizes(_ side: Int) -> [[Int]] {
        [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]].map { [$0[0] * side, $0[1] * side] }
    }
}
