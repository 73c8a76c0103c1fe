import Foundation
import Prompting
import Testing

@testable import AnyRes
@testable import Corpus

struct SampleBuilderTests {
    @Test func aRecordBecomesItsSample() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            let builder = try set.builder()
            let sample = try builder.sample(pictureRecord("a", image: "1.png"))
            #expect(sample.recordID == "a")
            let tiler = try #require(DataSetFixture.tiler)
            let tokenizer = try #require(DataSetFixture.tokenizer)
            let expected = try tiler.tile(PictureReader().picture(path: set.images + "/1.png"))
            #expect(sample.pictures == [expected])
            let prompt = try ChatFormat.llama3.encode(
                [
                    Turn(.user, "<image>\nWhat is this?"), Turn(.assistant, "Blocks."),
                    Turn(.user, "How many colours?"), Turn(.assistant, "Many."),
                ], tokenizer: tokenizer)
            #expect(sample.ids == prompt.ids && sample.isSupervised == prompt.isSupervised)
            #expect(sample.tokenCount == prompt.ids.count - 1 + 16)
            #expect(sample.supervisedCount > 0)
        }
    }

    /// Keys tell content and tiling apart, not names.
    @Test func keysFollowContentAndTiling() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            try FileManager.default.copyItem(
                atPath: set.images + "/0.png", toPath: set.images + "/copy.png")
            let builder = try set.builder()
            func key(_ image: String) throws -> String {
                try builder.sample(pictureRecord("a", image: image)).pictureKeys[0]
            }
            #expect(try key("0.png") == key("copy.png"))
            #expect(try key("0.png") != key("1.png"))
            let other = SampleBuilder(
                tokenizer: try #require(DataSetFixture.tokenizer),
                tiler: try Tiler(TilingConfiguration(tileWidth: 16, tileHeight: 16)),
                folder: try PictureFolder(set.images), settings: .init(format: .llama3),
                visualTokenCount: { _ in 4 })
            #expect(
                try other.sample(pictureRecord("a", image: "0.png")).pictureKeys[0] != key("0.png"))
        }
    }

    @Test func compatReachesLabelsAndSystemText() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            let tokenizer = try #require(DataSetFixture.tokenizer)
            func sample(compat: Bool) throws -> Sample {
                try SampleBuilder(
                    tokenizer: tokenizer, tiler: try #require(DataSetFixture.tiler),
                    folder: try PictureFolder(set.images),
                    settings: .init(format: .llama3, compat: compat), visualTokenCount: { _ in 4 }
                ).sample(pictureRecord("a", image: "0.png"))
            }
            let (own, original) = (try sample(compat: false), try sample(compat: true))
            // The original code has a system text there, and trains on role headers.
            #expect(original.ids.count > own.ids.count)
            #expect(original.isSupervised[0] && !own.isSupervised[0])
        }
    }

    @Test func turnsAreShapedAsLLaVADoes() {
        func shaped(_ turns: KeyValuePairs<Speaker, String>) -> [String] {
            let record = Record(
                id: "", turns: turns.map { RecordTurn(from: $0.key, value: $0.value) })
            return SampleBuilder.turns(of: record).map(\.text)
        }
        let inside = shaped([.human: "q <image> r", .gpt: "a"])
        #expect(inside == ["<image>\nq  r", "a"])
        let atEnd = shaped([.human: "q\n<image>", .gpt: "a"])
        #expect(atEnd == ["<image>\nq", "a"])
        let several = shaped([.human: "<image> <image> q", .gpt: "a"])
        #expect(several == ["<image> <image> q", "a"])
        let greeted = shaped([.gpt: "hi", .human: "q", .gpt: "a"])
        #expect(greeted == ["q", "a"])
        let told = shaped([.system: "s", .gpt: "hi", .human: "q", .gpt: "a"])
        #expect(told == ["s", "q", "a"])
        let unanswered = shaped([.human: "q", .gpt: "a", .human: "r"])
        #expect(unanswered == ["q", "a"])
    }

    @Test func everyFaultHasItsKind() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            try Data(contentsOf: URL(fileURLWithPath: set.images + "/0.png")).prefix(60)
                .write(to: URL(fileURLWithPath: set.images + "/cut.png"))
            try write("no picture", to: set.images + "/text.png")
            try Data().write(to: URL(fileURLWithPath: set.images + "/empty.png"))
            let builder = try set.builder()
            func kind(_ builder: SampleBuilder, _ change: (inout Record) -> Void) -> RejectionKind?
            {
                var record = pictureRecord("a")
                change(&record)
                do {
                    _ = try builder.sample(record)
                    return nil
                } catch {
                    return (error as? Rejection)?.kind
                }
            }
            #expect(kind(builder) { _ in } == nil)
            for bad in ["cut.png", "text.png", "empty.png"] {
                #expect(kind(builder) { $0.images = [bad] } == .unreadablePicture)
            }
            #expect(kind(builder) { $0.images = ["none.png"] } == .missingPicture)
            #expect(kind(builder) { $0.images = ["../images/0.png"] } == .unsafePath)
            #expect(kind(builder) { $0.images = ["0.png", "1.png"] } == .imageCount)
            #expect(kind(builder) { $0.turns.remove(at: 1) } == .prompt)
            #expect(kind(builder) { $0.turns = [$0.turns[1]] } == .imageCount)
        }
    }

    /// A long conversation is cut, but never at or before a picture, and never down to nothing supervised.
    @Test func cuttingKeepsPicturesAndAnswers() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            let whole = try set.builder().sample(pictureRecord("a"))
            let cut = try set.builder(maxLength: whole.tokenCount - 4).sample(pictureRecord("a"))
            #expect(cut.tokenCount == whole.tokenCount - 4 && cut.pictures == whole.pictures)
            #expect(cut.ids == Array(whole.ids.dropLast(4)))

            var two = pictureRecord("b")
            two.images = ["0.png", "1.png"]
            two.turns[2].value = "<image>\nAnd this?"
            let second = try #require(
                set.builder().sample(two).ids.lastIndex(of: PromptIDs.imageToken))
            for (record, limit, part) in [
                (two, second + 15 + 5, "a picture"), (pictureRecord("a"), 10, "a picture"),
                (pictureRecord("a"), 30, "every answer"),
            ] {
                #expect {
                    try set.builder(maxLength: limit).sample(record)
                } throws: {
                    ($0 as? Rejection)?.kind == .length && "\($0)".contains(part)
                }
            }
        }
    }

    @Test func textOnlyRecordsAreSamples() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 1)
            var record = pictureRecord("t")
            record.images = []
            record.turns[0].value = "What?"
            let sample = try set.builder(augmenter: set.augmenter()).sample(record)
            #expect(sample.pictures.isEmpty && sample.tokenCount == sample.ids.count)
        }
    }

    /// On the fly and offline give the same turns for the same seed and epoch.
    @Test func augmentationOnTheFlyEqualsTheFile() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 6)
            let augmenter = try set.augmenter()
            let records = try RecordCollection(path: set.records)
            var job = AugmentationJob(
                records, augmenter: augmenter, folder: try PictureFolder(set.images))
            job.epoch = 3
            _ = try job.run(to: folder + "/augmented.json")
            let offline = try RecordCollection(path: folder + "/augmented.json")
            let (plain, live) = (try set.builder(), try set.builder(augmenter: augmenter))
            for index in 0..<6 {
                let fromFile = try plain.sample(offline.record(at: index))
                #expect(try live.sample(records.record(at: index), epoch: 3) == fromFile)
                #expect(try plain.sample(records.record(at: index)) != fromFile)
            }
        }
    }
}
