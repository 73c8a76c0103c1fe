import Foundation
import Testing

@testable import AnyRes
@testable import Corpus

struct DataCheckTests {
    private func check(
        _ set: DataSetFixture, _ path: String? = nil, builder: SampleBuilder? = nil
    ) throws -> DataCheck {
        DataCheck(
            try RecordCollection(path: path ?? set.records), folder: try PictureFolder(set.images),
            builder: builder)
    }

    @Test func goodDataHasNoFindings() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 40)
            let report = try check(set, builder: set.builder()).run(ledger: folder + "/l.jsonl")
            #expect(report.worst == nil && report.counts.isEmpty && report.unusable == 0)
            #expect(report.records == 40 && report.pictures == 40 && report.turns == 160)
            #expect(try contents(folder + "/l.jsonl").isEmpty)
            // Lengths are those of the samples themselves.
            let samples = try set.loader { $0.isShuffled = false }.next(40)
            #expect(report.lengths == samples.map(\.tokenCount))
            #expect(report.supervised == samples.reduce(0) { $0 + $1.supervisedCount })
            let sorted = report.lengths.sorted()
            #expect(report.length(atShare: 0) == sorted[0])
            #expect(report.length(atShare: 0.5) == sorted[19])
            #expect(report.length(atShare: 1) == sorted[39])
        }
    }

    /// Everything that can be wrong with a record is found, named and graded, whatever the threads.
    @Test func everyFaultIsFoundAndGraded() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 16) { index, record in
                switch index {
                case 1: record.images = ["none.png"]
                case 2: record.images = ["../images/0.png"]
                case 3: record.images = ["broken.png"]
                case 4: record.turns[2].value = "<image>"
                case 5: record.turns[3].value = " \n"
                case 6: record.turns = []
                case 7: record.id = "r0"
                case 8:
                    record.images = ["0.png"]
                    record.turns[1].value = "Blocks 0."
                case 9: record.turns.append(RecordTurn(from: .human, value: "And?"))
                case 10: record.turns[1].value = String(repeating: "many ", count: 300)
                case 11: record.turns[3].value = "<vq_3><px_r_9>"
                case 12: record.turns[1].from = .human
                case 13: record.turns[1].value = "<image>"
                case 14: record.turns.insert(RecordTurn(from: .gpt, value: "Hello."), at: 0)
                default: break
                }
            }
            try writePNG(
                blockPicture(9, width: 300, height: 300, block: 2), to: set.images + "/broken.png")
            let handle = try #require(FileHandle(forWritingAtPath: set.images + "/broken.png"))
            try handle.truncate(atOffset: 3000)
            try handle.close()
            let expected: [(Int, FindingSeverity, String)] = [
                (1, .error, "missing_picture"), (2, .error, "unsafe_path"),
                (3, .error, "unreadable_picture"), (4, .error, "image_count"),
                (5, .error, "schema"), (6, .error, "schema"), (7, .warning, "duplicate"),
                (8, .warning, "repeated"), (9, .warning, "dropped_turns"), (10, .warning, "cut"),
                (11, .warning, "unknown_token"), (12, .error, "prompt"),
                (13, .error, "image_count"), (14, .warning, "dropped_turns"),
            ]
            for workers in [0, 3] {
                var check = try check(set, builder: set.builder(maxLength: 300))
                check.workers = workers
                let report = try check.run(ledger: folder + "/l.jsonl")
                let lines = try contents(folder + "/l.jsonl").split(separator: "\n").map {
                    try JSONDecoder().decode(DataFinding.self, from: Data($0.utf8))
                }
                #expect(lines.map(\.index) == expected.map(\.0))
                for (line, wanted) in zip(lines, expected) {
                    #expect(
                        line.severity == wanted.1 && line.kind == wanted.2, "\(line) \(wanted)")
                    #expect(line.file == set.records && !line.reason.isEmpty)
                }
                #expect(report.unusable == 8 && report.worst == .error)
                #expect(report.counts[.warning]?.values.reduce(0, +) == 6)
                let sorted = [FindingSeverity.error, .warning].flatMap { severity in
                    lines.filter { $0.severity == severity }
                }
                #expect(report.first == sorted)
            }
            // Headers alone do not show that a picture is cut off.
            var quick = try check(set)
            quick.decodesPictures = false
            #expect(try quick.run().counts[.error]?["unreadable_picture"] == nil)
        }
    }

    /// Many findings of one kind do not hide the one of another.
    @Test func everyKindIsShown() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 40) { index, record in
                record.id = "same"
                if index == 39 { record.images = ["none.png"] }
            }
            let report = try check(set).run()
            #expect(report.counts[.warning] == ["duplicate": 39])
            #expect(report.first.map(\.index) == [39, 1, 2, 3])
            #expect(report.first[0].kind == "missing_picture")
        }
    }

    @Test func brokenBytesAreFindings() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            let turns = #"[{"from":"human","value":"q"},{"from":"gpt","value":"r"}]"#
            var data = Data("{\"id\":\"a\",\"conversations\":\(turns)}\n".utf8)
            data += Data("{\"id\":\"b\",\"conversations\":[{\"from\":\"human\",\"value\":\"".utf8)
            data += Data([0xFF, 0xFE]) + Data("\"}]}\n{\"id\":\"c\"}\n[1,2]\n{\"id\"\n".utf8)
            data += Data("{\"id\":\"d\",\"conversations\":{}}\n".utf8)
            data += Data(
                "{\"id\":\"e\",\"x\":\(String(repeating: "[", count: 500)),\"conversations\":\(turns)}\n"
                    .utf8)
            let many = (0..<10_000).map { _ in turns.dropFirst().dropLast() }.joined(separator: ",")
            data += Data("{\"id\":\"f\",\"conversations\":[\(many)]}\n".utf8)
            try data.write(to: URL(fileURLWithPath: folder + "/bad.jsonl"))
            let report = try check(set, folder + "/bad.jsonl", builder: set.builder()).run()
            #expect(report.records == 8 && report.unusable == 7)
            #expect(report.counts[.error] == ["malformed": 3, "schema": 3, "limits": 1])
            #expect(report.textOnly == 1)
        }
    }
}
