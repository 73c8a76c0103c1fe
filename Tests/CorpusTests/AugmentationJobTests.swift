import Codecs
import Foundation
import Testing

@testable import AnyRes
@testable import Corpus

struct AugmentationJobTests {
    private func job(_ set: DataSetFixture, _ change: (inout AugmentationJob) -> Void = { _ in })
        throws
        -> AugmentationJob
    {
        var job = AugmentationJob(
            try RecordCollection(path: set.records), augmenter: try set.augmenter(),
            folder: try PictureFolder(set.images))
        change(&job)
        return job
    }

    @Test func outputDoesNotDependOnThreads() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 70)
            var outputs: Set<String> = []
            for workers in [0, 1, 2, 4] {
                var progress: [Int] = []
                let report = try job(set) { $0.workers = workers }
                    .run(to: folder + "/o.jsonl") { progress.append($0.done) }
                #expect(report.written == 70 && report.augmented == 70 && report.resumedAt == 0)
                #expect(progress.last == 70 && progress == progress.sorted())
                outputs.insert(try contents(folder + "/o.jsonl"))
            }
            #expect(outputs.count == 1)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(left == ["images", "o.jsonl", "o.jsonl.rejects.jsonl", "records.json"])
        }
    }

    @Test func shardsPutTogetherAreTheWhole() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 31) { index, record in
                if index == 20 { record.id = "r3" }
            }
            let whole = try job(set).run(to: folder + "/whole.jsonl")
            #expect(whole.ledger.counts == [.duplicate: 1] && whole.written == 30)
            var text = ""
            for index in 0..<3 {
                _ = try job(set) { $0.shard = .init(index: index, count: 3) }.run(
                    to: "\(folder)/\(index).jsonl")
                text += try contents("\(folder)/\(index).jsonl")
            }
            #expect(try text == contents(folder + "/whole.jsonl"))
            let kept = try job(set) { $0.duplicates = .keep }.run(to: folder + "/kept.json")
            #expect(kept.written == 31)
        }
        #expect(AugmentationJob.Shard("2/3") == .init(index: 1, count: 3))
        for bad in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""] {
            #expect(AugmentationJob.Shard(bad) == nil)
        }
    }

    /// Stopped at any record and taken up again, the files are those of an unbroken run, byte for byte.
    @Test(arguments: [1, 40, 64, 99])
    func interruptedRunsGoOn(stop: Int) throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 100) { index, record in
                if index % 11 == 3 { record.images = ["none.png"] }
            }
            func configured() throws -> AugmentationJob {
                try job(set) {
                    $0.recordsBetweenFlushes = 32
                    $0.maxRejectedShare = 1
                }
            }
            for name in ["o.jsonl", "o.json"] {
                let whole = try configured().run(to: "\(folder)/whole-\(name)")
                let path = "\(folder)/\(name)"
                try interrupt(configured(), path: path, after: stop)
                #expect(!FileManager.default.fileExists(atPath: path))
                var (notes, starts): ([String], Set<Int>) = ([], [])
                let report = try configured().run(to: path) {
                    starts.insert($0.resumedAt)
                } note: {
                    notes.append($0)
                }
                let reached = min(100, (stop + 15) / 16 * 16)
                let resumed = reached / 32 * 32
                #expect(report.resumedAt == resumed && starts == [resumed])
                #expect(notes == (resumed == 0 ? [] : ["goes on at record \(resumed) of 100"]))
                #expect(report.written == whole.written && report.augmented == whole.augmented)
                #expect(report.ledger.counts == whole.ledger.counts && report.ledger.seen == 100)
                #expect(try contents(path) == contents("\(folder)/whole-\(name)"))
                #expect(
                    try contents(path + ".rejects.jsonl")
                        == contents("\(folder)/whole-\(name).rejects.jsonl"))
                _ = try RecordFile(path: path)
            }
        }
    }

    private struct Interruption: Error {}

    /// Ends the job in its midst, and tears the ends of its files as a kill may.
    private func interrupt(_ job: AugmentationJob, path: String, after stop: Int) throws {
        #expect(throws: Interruption.self) {
            try job.run(to: path) { if $0.done >= stop { throw Interruption() } }
        }
        for partial in [path + ".partial", path + ".rejects.jsonl.partial"] {
            let handle = try #require(FileHandle(forWritingAtPath: partial))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("{\"torn".utf8))
            try handle.close()
        }
    }

    @Test func badRecordsAreListedOrRefused() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 10) { index, record in
                if index == 4 { record.images = ["../secret.png"] }
                if index == 6 { record.turns = [] }
            }
            let report = try job(set).run(to: folder + "/o.json")
            #expect(report.written == 8)
            #expect(report.ledger.counts == [.unsafePath: 1, .schema: 1])
            let rejects = try contents(folder + "/o.json.rejects.jsonl").split(separator: "\n")
            #expect(
                rejects.count == 2 && rejects[0].contains("secret.png")
                    && rejects[1].contains("\"r6\""))
            #expect(throws: CorpusError.self) {
                try job(set) { $0.isStrict = true }.run(to: folder + "/s.json")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/s.json"))

            let bad = try DataSetFixture(folder + "/bad", count: 60) { _, record in
                record.images = ["none.png"]
            }
            #expect {
                try job(bad).run(to: folder + "/b.json")
            } throws: {
                "\($0)".contains("missing_picture")
            }
        }
    }

    /// Where a run stops, all it left out can be read, and the way to keep duplicates is named.
    @Test func stoppedRunsShowWhatTheyLeftOut() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 60) { index, record in
                record.id = "r\(index / 2)"
            }
            func message(_ name: String, _ change: (inout AugmentationJob) -> Void) throws -> String
            {
                let error = #expect(throws: CorpusError.self) {
                    try job(set, change).run(to: "\(folder)/\(name).jsonl")
                }
                return error.map { "\($0)" } ?? ""
            }
            let share = try message("share") { $0.workers = 1 }
            let listed = folder + "/share.jsonl.rejects.jsonl.partial"
            #expect(share.contains("21 duplicate") && share.contains(listed))
            #expect(share.contains("--duplicates keep"))
            #expect(try contents(listed).split(separator: "\n").count == 21)
            let strict = try message("strict") { $0.isStrict = true }
            #expect(strict.hasPrefix("1 of 2 records") && strict.contains("--duplicates keep"))
            #expect(
                try contents(folder + "/strict.jsonl.rejects.jsonl.partial").contains("\"index\":1")
            )
            let none = try message("none") { $0.maxRejectedShare = 0 }
            #expect(none.hasPrefix("1 of 2 records"))
        }
    }

    /// A run that can use no record at all fails, however few they are.
    @Test func noUsableRecordIsAFailure() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 3) { _, record in
                record.images = ["none.png"]
            }
            #expect {
                try job(set) { $0.maxRejectedShare = 1 }.run(to: folder + "/o.jsonl")
            } throws: {
                "\($0)".contains("none of the 3 records") && "\($0)".contains("3 missing_picture")
                    && !"\($0)".contains("--duplicates")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/o.jsonl"))
        }
    }

    /// What is left out does not depend on what the seed asks about.
    @Test(arguments: [0.0, 1])
    func brokenPicturesAreLeftOutWhateverIsAsked(probability: Double) throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 20) { index, record in
                if index % 4 == 1 { record.images = ["text.png"] }
                if index % 4 == 2 {
                    record.images = ["0.png", "text.png"]
                    record.turns[2].value += "<image>"
                }
            }
            try write("no picture", to: set.images + "/text.png")
            let job = AugmentationJob(
                try RecordCollection(path: set.records),
                augmenter: try set.augmenter(
                    CognitionConfiguration(seed: 2, probability: probability)),
                folder: try PictureFolder(set.images))
            let report = try job.run(to: folder + "/o.jsonl")
            #expect(report.ledger.counts == [.unreadablePicture: 10])
            #expect(report.augmented == (probability == 0 ? 0 : 10))
        }
    }

    /// What fails beside the picture is not called an unreadable picture.
    @Test func otherErrorsAreCalledSo() throws {
        struct Failing: Codebook {
            struct Trouble: Error {}
            let name = "failing"
            let fingerprint = "f"
            let codeCount = 4
            let stride = 4
            func indices(of pixels: Pixels) throws -> CodeGrid { throw Trouble() }
        }
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 6)
            let augmenter = try Augmenter(
                CognitionConfiguration(tasks: [.vqCell: 1]), templates: .cognition(ownTemplates),
                codebook: Failing())
            let job = AugmentationJob(
                try RecordCollection(path: set.records), augmenter: augmenter,
                folder: try PictureFolder(set.images))
            #expect {
                try job.run(to: folder + "/o.jsonl")
            } throws: {
                "\($0)".contains("6 other")
            }
            #expect(try contents(folder + "/o.jsonl.rejects.jsonl.partial").contains("Trouble()"))
        }
    }

    /// Neither the records themselves nor what is no file is overwritten, and it is said before any work.
    @Test func outputsThatWouldDestroyAreRefused() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 4)
            let before = try contents(set.records)
            try write("datasets:\n  - json_path: records.json\n", to: folder + "/mix.yaml")
            for (input, output) in [
                ("records.json", "records.json"), ("records.json", "images/../records.json"),
                ("mix.yaml", "records.json"), ("mix.yaml", "mix.yaml"),
            ] {
                let job = AugmentationJob(
                    try RecordCollection(path: "\(folder)/\(input)"),
                    augmenter: try set.augmenter(),
                    folder: try PictureFolder(set.images))
                #expect {
                    try job.run(to: "\(folder)/\(output)")
                } throws: {
                    if case .setting = $0 as? CorpusError { true } else { false }
                }
            }
            #expect(try contents(set.records) == before)

            #expect(mkfifo(folder + "/pipe.json", 0o600) == 0)
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/link.json", withDestinationPath: "pipe.json")
            for output in ["images", "pipe.json", "link.json"] {
                #expect {
                    try job(set).run(to: "\(folder)/\(output)") { _ in
                        Issue.record("work was done for \(output)")
                    }
                } throws: {
                    "\($0)".contains("no regular file")
                }
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(output).partial"))
            }
        }
    }

    /// Killed outright, again and again, the run ends with the files of one left in peace.
    @Test func killedRunsGoOn() async throws {
        let folder = NSTemporaryDirectory() + "corpus-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let set = try DataSetFixture(folder, count: 100) { index, record in
            if index % 11 == 3 { record.images = ["none.png"] }
        }
        _ = try job(set) { $0.maxRejectedShare = 1 }.run(to: folder + "/whole.json")
        for stop in [1, 40, 41, 90] {
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [folder = folder as String, stop = stop as Int] in
                var job = AugmentationJob(
                    try RecordCollection(path: folder + "/records.json"),
                    augmenter: try Augmenter(
                        CognitionConfiguration(seed: 2), templates: .cognition(ownTemplates),
                        codebook: BrightnessCodebook()),
                    folder: try PictureFolder(folder + "/images"))
                job.recordsBetweenFlushes = 16
                job.maxRejectedShare = 1
                _ = try job.run(to: folder + "/o.json") {
                    if $0.done >= stop { kill(getpid(), SIGKILL) }
                }
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/o.json"))
        }
        let report = try job(set) { $0.maxRejectedShare = 1 }.run(to: folder + "/o.json")
        #expect(report.resumedAt >= 80)
        for name in ["", ".rejects.jsonl"] {
            #expect(
                try contents(folder + "/o.json" + name) == contents(folder + "/whole.json" + name))
        }
    }

    /// A mixture gives what its files give, one after the other.
    @Test func mixturesAreAugmented() throws {
        try withTemporaryFolder { folder in
            let (a, b) = (
                try DataSetFixture(folder + "/a", count: 20),
                try DataSetFixture(folder + "/b", count: 12)
            )
            try write(
                "datasets:\n  - json_path: a/records.json\n  - json_path: b/records.json\n"
                    + "    sampling_strategy: first:5\n", to: folder + "/mix.yaml")
            let whole = AugmentationJob(
                try RecordCollection(path: folder + "/mix.yaml"), augmenter: try a.augmenter(),
                folder: try PictureFolder(a.images))
            #expect(try whole.run(to: folder + "/mix.jsonl").written == 25)
            _ = try job(a).run(to: folder + "/a.jsonl")
            _ = try job(b).run(to: folder + "/b.jsonl")
            let lines = try contents(folder + "/b.jsonl").split(separator: "\n").prefix(5)
            let expected = try contents(folder + "/a.jsonl") + lines.map { $0 + "\n" }.joined()
            #expect(try contents(folder + "/mix.jsonl") == expected)
        }
    }

    /// Records made to break a reader are left out with their reasons; the good ones between them are written.
    @Test func hostileRecordsAreLeftOut() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            let rounds = #"{"from":"human","value":"q"},{"from":"gpt","value":"r"}"#
            func record(_ id: String, _ fields: String = "") -> Data {
                Data("{\"id\":\"\(id)\",\(fields)\"conversations\":[\(rounds)]}\n".utf8)
            }
            var data = record("good1")
            data += Data("{\"id\":\"u\",\"conversations\":\"".utf8) + Data([0xC3, 0x28])
            data +=
                Data("\"}\n".utf8) + record("deep", "\"x\":\(String(repeating: "[", count: 9999)),")
            data += record("types", "\"image\":{\"a\":1},") + record("good2")
            data += record("path", "\"image\":\"/etc/passwd\",")
            data += record("good1")
            let many = Array(repeating: rounds, count: 5000).joined(separator: ",")
            data += Data("{\"id\":\"many\",\"conversations\":[\(many)]}\n".utf8)
            data += record("good3")
            let path = folder + "/hostile.jsonl"
            try data.write(to: URL(fileURLWithPath: path))
            var job = AugmentationJob(
                try RecordCollection(path: path), augmenter: try set.augmenter(),
                folder: try PictureFolder(set.images))
            let report = try job.run(to: folder + "/o.jsonl")
            #expect(report.written == 3)
            #expect(
                report.ledger.counts == [
                    .malformed: 2, .schema: 1, .imageCount: 1, .duplicate: 1, .limits: 1,
                ])
            let written = try RecordFile(path: folder + "/o.jsonl")
            #expect(
                try (0..<3).map { try written.record(at: $0).id } == ["good1", "good2", "good3"])
            job.isStrict = true
            #expect {
                try job.run(to: folder + "/s.jsonl")
            } throws: {
                "\($0)".contains("record 1")
            }
        }
    }

    /// The pictures' folder is part of the job.
    @Test func otherPicturesAreAnotherJob() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 40)
            try FileManager.default.copyItem(atPath: set.images, toPath: folder + "/copy")
            try interrupt(
                job(set) { $0.recordsBetweenFlushes = 16 }, path: folder + "/o.json", after: 35)
            let other = AugmentationJob(
                try RecordCollection(path: set.records), augmenter: try set.augmenter(),
                folder: try PictureFolder(folder + "/copy"))
            #expect(try other.run(to: folder + "/o.json").resumedAt == 0)
        }
    }

    @Test func aChangedJobStartsAfresh() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 40)
            try interrupt(
                job(set) { $0.recordsBetweenFlushes = 16 }, path: folder + "/o.json", after: 35)
            var other = try job(set)
            other.epoch = 1
            var notes: [String] = []
            let report = try other.run(to: folder + "/o.json", note: { notes.append($0) })
            #expect(report.resumedAt == 0 && report.written == 40)
            #expect(
                notes == [
                    "\(folder)/o.json.progress is of other records or settings; starting afresh"
                ])
            _ = try other.run(to: folder + "/fresh.json", note: { notes.append($0) })
            #expect(notes.count == 1)
            #expect(try contents(folder + "/o.json") == contents(folder + "/fresh.json"))
        }
    }
}
