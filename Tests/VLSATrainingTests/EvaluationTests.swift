import Corpus
import Testing

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
        #expect(try #require(NumberScore([("7", "")], period: 1)).error == nil)
    }

    @Test("answers agree without case, outer space and a full stop")
    func agreement() {
        #expect(Evaluation.agrees(" Red.\n", with: "red"))
        #expect(!Evaluation.agrees("red..", with: "red"))
        #expect(!Evaluation.agrees("dark red", with: "red"))
    }
}
