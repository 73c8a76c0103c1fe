import Corpus
import Foundation
import Prompting
import Testing
import Torch

@testable import AnyRes
@testable import VLSA
@testable import VLSATraining

private let quiet = RunOptions(resume: true, progress: .silent, watchesSignals: false)

@Suite struct AnswerTokenTests {
    private static let tokens = [
        "data.augment.answers=tokens", "data.augment.colourLevels=8", "data.augment.probability=1",
        "train=[perceiver, projector, language]", "objective.kind=none", "steps=3",
    ]

    private func vocabulary(_ folder: String) throws -> Int {
        let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/language/config.json"))
        let json = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        return try #require(json?["vocab_size"] as? Int)
    }

    /// Trained, saved, trained on and asked: the tokens are the model's own from then on.
    @Test func aModelLearnsAndKeepsTheAnswersTokens() throws {
        let files = try StageFiles()
        let old = try Tokenizer(folder: files.path + "/language").idLimit
        _ = try trainStage(try files.plan(Self.tokens), run: files.path + "/one", options: quiet)
        let saved = files.path + "/one/model"
        #expect(try vocabulary(saved) == old + 24)
        let model = try VLSAModel(folder: saved)  // strict: every name and shape must agree
        #expect(
            model.addedTokens.isEmpty && model.language.configuration.vocabularySize == old + 24)
        #expect(model.tokenizer.id(of: "<px_r_0>") == old)
        #expect(model.tokenizer.id(of: "<px_b_7>") == old + 23)
        let text = "<px_r_5><px_g_0><px_b_7>"
        let ids = model.tokenizer.encode(text, addingSpecial: false)
        #expect(ids == [old + 5, old + 8, old + 23] && model.tokenizer.decode(ids) == text)

        let next = try files.plan(Self.tokens + ["model=\(saved)", "train=[projector]"])
        _ = try trainStage(next, run: files.path + "/two", options: quiet)
        #expect(try vocabulary(files.path + "/two/model") == old + 24)
        for name in ["/language/tokenizer.json", "/language/model.safetensors"] {
            #expect(
                FileManager.default.contentsEqual(
                    atPath: saved + name, andPath: files.path + "/two/model" + name))
        }

        let asked = try VLSAModel(folder: files.path + "/two/model", forInference: true)
        let tiler = try Tiler(asked.configuration.picture)
        let picture = try tiler.tile(PictureReader().picture(path: files.path + "/images/0.png"))
        let question = Question(
            prompt: try asked.prompt(for: [Turn(.user, "<image>\nWhich colour?")]), pictures: [0])
        let answers = try asked.answer([question], about: [picture], limit: 4)
        #expect(answers.count == 1)
    }

    /// The old tokens keep their rows to the bit, the new ones differ from each other, and what goes in and comes
    /// out for the old ones is what it was.
    @Test func growthLeavesTheOldTokensAlone() throws {
        let files = try StageFiles()
        let parts = try StageParts(files.plan(Self.tokens))
        let grown = try parts.model(.plan)
        let plain = try StageParts(files.plan(["objective.kind=none"])).model(.plan)
        let old = plain.tokenizer.idLimit
        #expect(grown.addedTokens == old..<old + 24)
        for name in ["language.model.embed_tokens.weight", "language.lm_head.weight"] {
            let (a, b) = (try #require(grown.store[name]), try #require(plain.store[name]))
            #expect(a.shape == [old + 24, 32] && b.shape == [old, 32])
            #expect(a.detached()[0..<old].floats() == b.detached().floats())
            let new = a.detached()[old...]
            let mean = b.detached().mean(axis: 0)
            #expect((new - mean).abs().max().item() < (b.detached() - mean).abs().max().item())
            #expect((new[1...] - new[0..<23]).abs().max().item() > 1e-4)
        }
        let ids = Tensor([3, 1, 4, 1, 5], shape: [1, 5])
        let (a, b) = (
            grown.language.logits(grown.language(grown.language.embed(ids))),
            plain.language.logits(plain.language(plain.language.embed(ids)))
        )
        #expect((a[.ellipsis, 0..<old] - b).abs().max().item() < 1e-5)
    }

    /// Records written with tokens bring their list; a stage that would never learn them is refused.
    @Test func offlineTokensComeFromTheirList() throws {
        let files = try StageFiles()
        let list = files.path + "/tokens.txt"
        try Data("<vq_0>\n<vq_1>\n\n".utf8).write(to: URL(fileURLWithPath: list))
        let base = ["data.tokens=\(list)", "objective.kind=none"]
        let plan = try files.plan(base + ["train=[language]"])
        #expect(try StrictYAML(text: plan.yaml(), file: "plan").decode() == plan)
        let model = try StageParts(plan).model(.plan)
        #expect(model.addedTokens.count == 2 && model.tokenizer.id(of: "<vq_1>") != nil)
        let error = #expect(throws: PlanError.self) {
            try trainStage(
                try files.plan(base + ["train=[projector, language.model.embed_tokens]"]),
                run: files.path + "/run", options: quiet)
        }
        #expect(error.map { "\($0)" }?.contains("language.lm_head.weight") == true)
        #expect(error?.exitCode == 64)
        try Data("two words\n".utf8).write(to: URL(fileURLWithPath: list))
        #expect(throws: (any Error).self) { try StageParts(plan).model(.plan) }
    }
}
