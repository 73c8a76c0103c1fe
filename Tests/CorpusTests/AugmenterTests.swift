import Codecs
import Foundation
import Prompting
import Testing

@testable import AnyRes
@testable import Corpus

struct AugmenterTests {
    private func augmenter(
        _ change: (inout CognitionConfiguration) -> Void = { _ in },
        codebook: (any Codebook)? = BrightnessCodebook()
    ) throws -> Augmenter {
        var configuration = CognitionConfiguration(seed: 5, maxQuestions: 3)
        change(&configuration)
        return try Augmenter(
            configuration, templates: .cognition(ownTemplates), codebook: codebook,
            tiler: Tiler(TilingConfiguration(tileWidth: 64, tileHeight: 64)))
    }

    private func augmented(_ augmenter: Augmenter, _ record: Record, epoch: Int = 0) throws
        -> Record
    {
        try augmenter.augmented(record, epoch: epoch) { MemoryPicture(blockPicture($0)) }
    }

    /// Inserted turns are whole rounds at round boundaries; the rest is as it was, pictures first.
    @Test func turnsAreInsertedWhole() throws {
        let augmenter = try augmenter()
        for index in 0..<100 {
            let record = pictureRecord("r\(index)")
            let result = try augmented(augmenter, record)
            #expect(result.images == record.images && result.id == record.id)
            #expect(result.turns.count % 2 == 0 && result.turns.count > record.turns.count)
            for (place, turn) in result.turns.enumerated() {
                #expect(turn.from == (place % 2 == 0 ? .human : .gpt))
                #expect(!turn.value.isEmpty)
            }
            #expect(result.imageTokenCount == 1)
            #expect(result.turns[0].value.hasPrefix("<image>\n"))
            try result.check(RecordLimits())
            // Taking the inserted rounds out gives the record back.
            var kept = result
            kept.turns = []
            var isInserted = false
            for turn in result.turns {
                if turn.from == .human { isInserted = turn.extra["cognition"] != nil }
                if !isInserted { kept.turns.append(turn) }
            }
            if !kept.turns[0].value.hasPrefix("<image>") {
                kept.turns[0].value = "<image>\n" + kept.turns[0].value
            }
            #expect(kept == record)
        }
    }

    @Test(arguments: [(CognitionPlacement.before, [0, 2]), (.anywhere, [0, 2, 4])])
    func everyTaskAndBoundaryOccurs(placement: CognitionPlacement, expected: [Int]) throws {
        let augmenter = try augmenter {
            $0.maxQuestions = 1
            $0.placement = placement
        }
        var tasks: Set<String> = []
        var places: Set<Int> = []
        for index in 0..<300 {
            let result = try augmented(augmenter, pictureRecord("r\(index)"))
            let place = try #require(result.turns.firstIndex { $0.extra["cognition"] != nil })
            places.insert(place)
            if let name = result.turns[place].extra["cognition"]?.text { tasks.insert(name) }
        }
        #expect(tasks == Set(CognitionTask.allCases.map(\.rawValue)))
        #expect(places.sorted() == expected)
    }

    @Test func choicesFollowSeedIdAndEpochAlone() throws {
        let augmenter = try augmenter()
        let records = (0..<20).map { pictureRecord("r\($0)") }
        let first = try records.map { try augmented(augmenter, $0) }
        #expect(try records.reversed().map { try augmented(augmenter, $0) }.reversed() == first)
        #expect(try records.map { try augmented(augmenter, $0, epoch: 1) } != first)
        let other = try self.augmenter { $0.seed = 6 }
        #expect(try records.map { try augmented(other, $0) } != first)
        #expect(other.fingerprint != augmenter.fingerprint)
        #expect(Set(first.map { $0.turns.map(\.value).joined() }).count > 15)
    }

    @Test func textOnlyRecordsAreLeftAlone() throws {
        var record = pictureRecord("t")
        record.images = []
        record.turns[0].value = "What?"
        let result = try augmenter().augmented(record) { _ in
            Issue.record("a picture was asked for")
            return MemoryPicture(blockPicture(0))
        }
        #expect(result == record)
    }

    @Test func probabilityIsTheShareOfRecords() throws {
        let augmenter = try augmenter { $0.probability = 0.3 }
        var decodedCount = 0
        let changed = try (0..<500).count { index in
            let record = pictureRecord("p\(index)")
            return try augmenter.augmented(record) { _ in
                decodedCount += 1
                return MemoryPicture(blockPicture(0))
            } != record
        }
        #expect((110...190).contains(changed))
        #expect(decodedCount == changed)  // no picture is decoded for nothing
    }

    @Test(arguments: [
        "What is this?\n<image>", "<image>", "Compare <image> with that.",
        "<image> <image>\nWhich?",
        "First <image>, then <image>.",
    ])
    func picturesStayBeforeTheirQuestions(opening: String) throws {
        let count = Turn.imageCount(in: opening)
        var record = pictureRecord("x")
        record.images = (0..<count).map { "\($0).png" }
        record.turns[0].value = opening
        let augmenter = try augmenter()
        for index in 0..<60 {
            record.id = "x\(index)"
            let result = try augmented(augmenter, record)
            #expect(result.imageTokenCount == count)
            let firstPicture = try #require(
                result.turns.firstIndex { $0.value.contains("<image>") })
            let firstInserted = result.turns.firstIndex { $0.extra["cognition"] != nil } ?? Int.max
            #expect(firstPicture <= firstInserted)
            #expect(result.turns.contains { $0.value.contains("<image>") && !$0.value.isEmpty })
        }
    }

    @Test func laterPicturesAreAskedAboutOnlyOnceShown() throws {
        var record = pictureRecord("m")
        record.images = ["0.png", "1.png"]
        record.turns[2].value = "And this <image> here?"
        let augmenter = try augmenter {
            $0.maxQuestions = 2
            $0.placement = .anywhere
        }
        var asked: Set<Int> = []
        for index in 0..<200 {
            record.id = "m\(index)"
            let result = try augmented(augmenter, record)
            var shown = 0
            for turn in result.turns where turn.from == .human {
                if turn.extra["cognition"] != nil {
                    let number = try #require(
                        turn.value.firstMatch(of: /picture (?:number )?(\d)\./)?.1)
                    let picture = try #require(Int(number))
                    asked.insert(picture)
                    #expect(picture <= shown + Turn.imageCount(in: turn.value))
                }
                shown += Turn.imageCount(in: turn.value)
            }
            #expect(shown == 2)
        }
        #expect(asked == [1, 2])
    }

    @Test func gapsRespectRounds() {
        func gaps(_ turns: [(Speaker, String)]) -> [Int] {
            let record = Record(
                id: "g", images: ["a"], turns: turns.map { RecordTurn(from: $0.0, value: $0.1) })
            return TurnGap.gaps(in: record).filter { $0.shows(0) }.map(\.turn)
        }
        #expect(gaps([(.human, "<image>q"), (.gpt, "r")]) == [0, 2])
        #expect(gaps([(.system, "s"), (.human, "<image>q"), (.gpt, "r")]) == [1, 3])
        #expect(gaps([(.gpt, "hi"), (.human, "<image>"), (.gpt, "r")]) == [3])
        #expect(
            gaps([(.human, "a <image> b"), (.gpt, "r"), (.human, "q"), (.gpt, "r")]) == [2, 4])
        #expect(gaps([(.human, "<image>q"), (.human, "q"), (.gpt, "r")]) == [0, 3])
        #expect(gaps([(.human, "<image>q"), (.gpt, "r"), (.human, "q")]) == [0, 2])
    }

    @Test func recordBudgetHolds() throws {
        let augmenter = try augmenter {
            $0.maxQuestions = 20
            $0.numbersPerAnswer = 12
            $0.numbersPerRecord = 30
        }
        for index in 0..<40 {
            let result = try augmented(augmenter, pictureRecord("b\(index)"))
            let numbers = zip(result.turns, result.turns.dropFirst())
                .filter { $0.0.extra["cognition"] != nil }
                .map { $0.1.value.matches(of: /\d+/).count }
            #expect(numbers.allSatisfy { $0 <= 12 } && numbers.reduce(0, +) <= 30)
        }
    }

    @Test func tokensAndLanguagesAreUsed() throws {
        let augmenter = try augmenter {
            $0.answers = .tokens
            $0.languages = ["zh": 1]
            $0.colourLevels = 32
            $0.tasks = [.vqWindow: 1, .pxPoint: 1]
        }
        let tokens = Set(augmenter.addedTokens)
        #expect(tokens.count == 16 + 96)
        for index in 0..<30 {
            let result = try augmented(augmenter, pictureRecord("z\(index)"))
            for (question, answer) in zip(result.turns, result.turns.dropFirst())
            where question.extra["cognition"] != nil {
                #expect(
                    question.value.unicodeScalars.contains { (0x4E00...0x9FFF).contains($0.value) })
                #expect(
                    answer.value.matches(of: /<[a-z_0-9]+>/).allSatisfy {
                        tokens.contains(String($0.0))
                    })
                #expect(answer.value.replacing(/<[a-z_0-9]+>|\n/, with: "").isEmpty)
            }
        }
    }

    @Test func settingsThatCannotWorkAreNamed() throws {
        func problem(
            _ change: (inout CognitionConfiguration) -> Void, codebook: (any Codebook)? = nil
        ) -> String {
            do {
                _ = try augmenter(change, codebook: codebook)
                return ""
            } catch {
                return "\(error)"
            }
        }
        #expect(problem { _ in } == "")
        #expect(problem { $0.tasks = [.vqCell: 1] }.contains("codebook"))
        #expect(problem { $0.languages = ["fr": 1] }.contains("fr"))
        #expect(problem { $0.probability = 2 }.contains("probability"))
        #expect(problem { $0.tasks = [.pxPoint: -1] }.contains("tasks"))
        #expect(problem { $0.numbersPerAnswer = 1 }.contains("numbersPerAnswer"))
        #expect(throws: CorpusError.self) {
            try Augmenter(
                CognitionConfiguration(coordinates: .padded), templates: .cognition(ownTemplates))
        }
        let decoded = try JSONDecoder().decode(
            CognitionConfiguration.self, from: Data(#"{"seed": 3, "tasks": {"vq_cell": 2}}"#.utf8))
        #expect(decoded == CognitionConfiguration(seed: 3, tasks: [.vqCell: 2]))
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(CognitionConfiguration.self, from: Data(#"{"grid": 0}"#.utf8))
        }
    }

    @Test func whatThePictureThrowsIsPassedOn() throws {
        struct Missing: Error {}
        #expect(throws: Missing.self) {
            try augmenter().augmented(pictureRecord("e")) { _ in throw Missing() }
        }
    }
}
