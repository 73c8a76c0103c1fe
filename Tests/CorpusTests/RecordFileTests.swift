import Foundation
import Testing

@testable import Corpus

struct RecordFileTests {
    static let plain =
        #"{"id": "a", "image": "x.png", "conversations": [{"from": "human", "value": "<image>\nq"}, {"from": "gpt", "value": "r"}], "data_source": {"n": 1.0}}"#
    static let roles =
        #"{"id": 7, "image": ["x.png"], "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "<image>"}, {"role": "assistant", "content": "r", "loss": false}]}"#
    static let text =
        #"{"conversations": [{"from": "user", "value": "q {\"]\\\""}, {"from": "assistant", "value": "r"}]}"#

    private func open(_ text: String, name: String = "r.json", keepsIndexFrom: Int = .max) throws
        -> [Result<Record, Rejection>]
    {
        try withTemporaryFolder { folder in
            let path = "\(folder)/\(name)"
            try write(text, to: path)
            let file = try RecordFile(path: path, keepsIndexFrom: keepsIndexFrom)
            return (0..<file.count).map { index in
                Result { () throws(Rejection) in try file.record(at: index) }
            }
        }
    }

    @Test(arguments: [
        "[%,%,%]", "\u{FEFF} [ % ,\n\t%\r\n, % ] \n", "%\n%\n%", "\n\n%\r\n  \n % \n%\n\n",
    ])
    func arraysAndLinesAreRead(layout: String) throws {
        var parts = [Self.plain, Self.roles, Self.text].makeIterator()
        let text = layout.map { $0 == "%" ? parts.next()! : String($0) }.joined()
        let records = try open(text).map { try $0.get() }
        #expect(records.map(\.id) == ["a", "7", "#2"])
        #expect(records.map(\.images) == [["x.png"], ["x.png"], []])
        #expect(records[1].turns.map(\.from) == [.system, .human, .gpt])
        #expect(records[2].turns.map(\.value) == ["q {\"]\\\"", "r"])
        #expect(
            records[0].extra["data_source"] == .object(JSONObject([.init("n", .number("1.0"))])))
        for (record, original) in zip(records, [Self.plain, Self.roles]) {
            #expect(String(decoding: record.encoded(), as: UTF8.self) == original)
        }
    }

    @Test func aBrokenRecordIsItsOwnErrorAlone() throws {
        let bad = [
            "{\"id\": \"b\" \"conversations\": []}", "7", "\"text\"",
            "{\"id\": {}, \"conversations\": []}",
            "{\"conversations\": {}}", "{\"image\": 3, \"conversations\": []}",
            "{\"image\": [1], \"conversations\": []}", "{\"id\": \"x\"}",
            "{\"conversations\": [1]}",
            "{\"conversations\": [{\"from\": \"robot\", \"value\": \"\"}]}",
            "{\"conversations\": [{\"from\": \"gpt\"}]}",
            "{\"conversations\": [{\"from\": \"gpt\", \"value\": 3}]}",
            "{\"a\": 1, \"a\": 2, \"conversations\": []}",
            String(repeating: "[", count: 100) + String(repeating: "]", count: 100),
        ]
        for (layout, name) in [("[", "a.json"), ("", "a.jsonl")] {
            let text =
                layout == "["
                ? "[" + bad.flatMap { [$0, Self.plain] }.joined(separator: ", ") + "]"
                : bad.flatMap { [$0, Self.plain] }.joined(separator: "\n")
            let results = try open(text, name: name)
            #expect(results.count == 2 * bad.count)
            for (index, result) in results.enumerated() {
                switch result {
                case .success(let record): #expect(index % 2 == 1 && record.id == "a")
                case .failure(let rejection):
                    #expect(index % 2 == 0 && rejection.index == index)
                    #expect([.malformed, .schema].contains(rejection.kind))
                    #expect(
                        "\(rejection)".contains(name) && "\(rejection)".contains("record \(index)"))
                }
            }
        }
    }

    @Test func brokenUTF8IsThatRecordsError() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/r.jsonl"
            var data = Data(Self.plain.replacingOccurrences(of: "r\"}", with: "@\"}").utf8)
            data[data.firstIndex(of: UInt8(ascii: "@"))!] = 0xFF
            try (data + Data("\n\(Self.plain)\n".utf8)).write(to: URL(fileURLWithPath: path))
            let file = try RecordFile(path: path)
            #expect {
                try file.record(at: 0)
            } throws: {
                ($0 as? Rejection)?.kind == .malformed && "\($0)".contains("UTF-8")
            }
            #expect(try file.record(at: 1).id == "a")
        }
    }

    @Test(arguments: [
        "", " \n ", "[", "[{}", "[{},", "[{} {}]", "[{}] x", "[\"a", "[{\"a\": \"}]",
    ])
    func brokenFilesAreNamed(text: String) throws {
        try withTemporaryFolder { folder in
            try write(text, to: folder + "/r.json")
            #expect {
                try RecordFile(path: folder + "/r.json")
            } throws: {
                "\($0)".contains("r.json")
            }
            #expect(throws: CorpusError.self) { try RecordFile(path: folder + "/none.json") }
            #expect(throws: CorpusError.self) { try RecordFile(path: folder) }
        }
        #expect(try open("[]").isEmpty)
    }

    @Test func limitsRefuseLargeRecords() throws {
        try withTemporaryFolder { folder in
            try write("[\(Self.plain)]", to: folder + "/r.json")
            let file = try RecordFile(path: folder + "/r.json", limits: RecordLimits(bytes: 50))
            #expect {
                try file.record(at: 0)
            } throws: {
                ($0 as? Rejection)?.kind == .malformed && "\($0)".contains("limit")
            }
        }
        var record = pictureRecord("a")
        record.turns = Array(repeating: record.turns[2], count: 10_000) + record.turns
        #expect {
            try record.check(RecordLimits())
        } throws: {
            ($0 as? RecordProblem)?.kind == .limits
        }
    }

    @Test func checksNameWhatIsUnfit() {
        func kind(_ change: (inout Record) -> Void) -> RejectionKind? {
            var record = pictureRecord("a")
            change(&record)
            do {
                try record.check(RecordLimits())
                return nil
            } catch {
                return error.kind
            }
        }
        #expect(kind { _ in } == nil)
        #expect(kind { $0.turns = [] } == .schema)
        #expect(kind { $0.turns[1].value = " \n" } == .schema)
        #expect(kind { $0.turns = [$0.turns[0]] } == .schema)
        #expect(kind { $0.images = [] } == .imageCount)
        #expect(kind { $0.images = ["a", "b"] } == .imageCount)
        #expect(kind { $0.turns[0].value += "<image>" } == .imageCount)
        #expect(kind { $0.turns[0].value = "<image>\u{301}" } == nil)
        #expect(kind { $0.turns[1].value += "<image>" } == .imageCount)
        #expect(kind { $0.images = Array(repeating: "a", count: 65) } == .limits)
    }

    @Test func duplicatesAreFoundWithoutDecoding() throws {
        try withTemporaryFolder { folder in
            let lines = ["a", "b", "a", "c", "b"].map {
                #"{"x": {"id": "q"}, "id" : "\#($0)", "conversations": []}"#
            }
            try write(lines.joined(separator: "\n"), to: folder + "/r.jsonl")
            try write("[" + lines.joined(separator: ",") + "]", to: folder + "/r.json")
            for name in ["r.jsonl", "r.json"] {
                #expect(try RecordFile(path: "\(folder)/\(name)").duplicatePositions() == [2, 4])
            }
            // What seeds a record counts, however it is spelt; null is no id.
            let ids = [
                #"{"id": null}"#, #"{"id": null}"#, #"{"id": 1}"#, #"{"id": "1"}"#,
                #"{"id": "\u0031"}"#,
                #"{"id": "a\"\u00e9"}"#, #"{"id": "a\"é"}"#, #"{"id": "\\u0031"}"#, #"{"id": ""}"#,
                #"{"id": ""}"#,
            ]
            try write("{}\n{}\n" + ids.joined(separator: "\n"), to: folder + "/n.jsonl")
            #expect(
                try RecordFile(path: folder + "/n.jsonl").duplicatePositions() == [5, 6, 8, 11])
        }
    }

    @Test func theIndexIsKeptAndRemadeWhenTheFileChanges() throws {
        try withTemporaryFolder { folder in
            let (path, index) = (folder + "/r.json", folder + "/.r.json.vlsa-index")
            try write("[\(Self.plain), \(Self.roles)]", to: path)
            let first = try RecordFile(path: path, keepsIndexFrom: 0)
            let kept = try Data(contentsOf: URL(fileURLWithPath: index))
            let again = try RecordFile(path: path, keepsIndexFrom: 0)
            #expect(again.count == 2 && again.fingerprint == first.fingerprint)
            #expect(try again.record(at: 1) == first.record(at: 1))

            // A damaged index is not believed.
            for position in [0, 9, 17, 30, kept.count / 2, kept.count - 1] {
                var damaged = kept
                damaged[position] ^= 0x40
                try damaged.write(to: URL(fileURLWithPath: index))
                #expect(try RecordFile(path: path, keepsIndexFrom: 0).record(at: 1).id == "7")
            }
            try kept.dropLast(8).write(to: URL(fileURLWithPath: index))
            #expect(try RecordFile(path: path, keepsIndexFrom: 0).count == 2)

            try write("[\(Self.roles)]", to: path)
            let changed = try RecordFile(path: path, keepsIndexFrom: 0)
            #expect(changed.count == 1 && changed.fingerprint != first.fingerprint)
            #expect(try changed.record(at: 0).id == "7")
        }
    }

    /// What the index cache reads back is used: a key that fits brings the kept positions.
    @Test func theKeptIndexIsUsed() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/r.jsonl"
            try write("\(Self.plain)\n\(Self.roles)\n", to: path)
            let key = RecordIndexFile.Key(try MappedFile(path: path))
            var index = RecordIndex()
            try index.append(0..<Self.plain.utf8.count, id: 5, path: path)
            RecordIndexFile(path: path).write(index, key)
            #expect(RecordIndexFile(path: path).read(key) == index)
            #expect(try RecordFile(path: path, keepsIndexFrom: 0).count == 1)
        }
    }

    @Test func writtenFilesReadBack() throws {
        try withTemporaryFolder { folder in
            let records = (0..<5).map { pictureRecord("r\($0)") }
            for name in ["o.json", "o.jsonl"] {
                let writer = try RecordWriter(path: "\(folder)/\(name)")
                for record in records { try writer.write(record) }
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(name)"))
                try writer.finish()
                let file = try RecordFile(path: "\(folder)/\(name)")
                #expect(try (0..<file.count).map { try file.record(at: $0) } == records)
            }
            try RecordWriter(path: folder + "/empty.json").finish()
            #expect(try RecordFile(path: folder + "/empty.json").count == 0)
            _ = try JSONSerialization.jsonObject(
                with: Data(contentsOf: URL(fileURLWithPath: folder + "/o.json")))
            let left = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(left == ["empty.json", "o.json", "o.jsonl"])
        }
    }

    @Test func twoWritersOfOneFileAreRefused() throws {
        try withTemporaryFolder { folder in
            let first = try RecordWriter(path: folder + "/o.json")
            #expect {
                try RecordWriter(path: folder + "/o.json")
            } throws: {
                "\($0)".contains("another process")
            }
            try first.finish()
        }
    }
}
