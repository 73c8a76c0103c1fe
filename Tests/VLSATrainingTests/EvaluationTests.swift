import Corpus
import Foundation
import Testing
import Torch

@testable import VLSA
@testable import VLSATraining

@Suite struct EvaluationTests {
    @Test("a question that was put in is sorted by its task, the others by the record's kinds")
    func kinds() {
        func turn(_ from: Speaker, _ value: String, task: String? = nil) -> RecordTurn {
            var turn = RecordTurn(from: from, value: value)
            if let task { turn.extra = JSONObject([.init("cognition", .string(task))]) }
            return turn
        }
        var record = Record(
            id: "a", images: ["a.jpg"],
            turns: [
                turn(.human, "<image>\nFirst?"), turn(.gpt, "1"),
                turn(.human, "Which code?", task: "vq_cell"), turn(.gpt, "17"),
                turn(.human, "Second?"), turn(.gpt, "2"), turn(.human, "Third?"), turn(.gpt, "3"),
            ])
        record.extra = JSONObject([.init("kinds", .array([.string("count"), .string("color")]))])
        let questions = record.questions
        #expect(questions.map(\.kind) == ["count", "vq_cell", "color", "question"])
        #expect(questions.map(\.question) == ["First?", "Which code?", "Second?", "Third?"])
        #expect(questions.map(\.answer) == ["1", "17", "2", "3"])
    }

    @Test("numbers are compared place by place, and with the best constant answer")
    func numbers() throws {
        let score = try #require(
            NumberScore(
                [("10 20 30", "10 25 30"), ("10 40 60", "12 40"), ("10 40 50", "none")], period: 3))
        #expect(score.expected == 9)
        #expect(score.equal == 3.0 / 9)
        #expect(score.error == (0 + 5 + 0 + 2 + 0) / 5.0)
        #expect(score.constantEqual == (3 + 2 + 1) / 9.0)
        #expect(score.constantError == (0 + 20 + 30) / 9.0)
        #expect(NumberScore([("yes", "7")], period: 1) == nil)
        // 250250 counts as 200, the greatest that is expected anywhere.
        #expect(
            try #require(NumberScore([("100", "250250"), ("200", "200")], period: 1)).error == 50)
        #expect(try #require(NumberScore([("7", "")], period: 1)).error == nil)
    }

    /// What the model sees differs, what it is to rebuild does not.
    @Test func targetsDoNotFollowTheNumberOfTilesThatAreSeen() throws {
        let files = try StageFiles()
        let model = try StageParts(try files.plan()).model(.plan)
        // Away from the start, where the perceiver gathers nothing and the denoiser says nothing.
        let generator = Generator(seed: 5)
        for (_, tensor) in model.store.tensors() where tensor.rank > 1 {
            tensor.copy(from: tensor + Tensor.normal(tensor.shape, generator: generator) * 0.1)
        }
        func report(tiles: Int?) throws -> EvaluationReport {
            let options = EvaluationOptions(
                records: files.path + "/held.json", images: files.path + "/images", answerLimit: 2,
                maxTiles: tiles, reconstructionSteps: 2)
            return try Evaluation(model, options: options).run(name: "tiny")
        }
        let (whole, one) = (try report(tiles: nil), try report(tiles: 1))
        #expect(one.constantPSNR == whole.constantPSNR && one.latentPSNR == whole.latentPSNR)
        #expect(one.reconstructionLoss != whole.reconstructionLoss)
        for value in [
            whole.constantPSNR, whole.latentPSNR, whole.reconstructionPSNR, whole.swappedPSNR,
        ] {
            #expect(try #require(value) > 0)
        }
        let table = whole.table
        for line in ["reconstruction PSNR ", "from another picture's tokens ", "the mean colour "] {
            #expect(table.contains(line), "\(table)")
        }
        // The measure is that of `reconstruct`: against the pictures.
        let again = try report(tiles: nil)
        #expect(again.reconstructionPSNR == whole.reconstructionPSNR)
    }

    @Test func aLimitOfTilesIsRefusedWhereItWouldDoNothing() throws {
        let files = try StageFiles()
        let plan = try files.plan([
            "picture={tiling: anyres, tileWidth: 28, tileHeight: 28}", "perceiver.enabled=false",
            "objective.kind=none", "unpadding={enabled: true}", "train=[projector]",
        ])
        let options = EvaluationOptions(
            records: files.path + "/held.json", images: files.path + "/images", maxTiles: 2)
        let error = #expect(throws: VLSAError.self) {
            try Evaluation(StageParts(plan).model(.plan), options: options).run(name: "tiny")
        }
        #expect("\(try #require(error))".contains("anyres"))
    }

    @Test("answers agree without case, outer space and a full stop")
    func agreement() {
        #expect(Evaluation.agrees(" Red.\n", with: "red"))
        #expect(!Evaluation.agrees("red..", with: "red"))
        #expect(!Evaluation.agrees("dark red", with: "red"))
    }
}
