import Codecs
import Foundation
import Prompting

@testable import AnyRes
@testable import Corpus

/// A small data set on disk: pictures `N.png` under `images` and a record file over them.
struct DataSetFixture {
    let folder: String
    var images: String { folder + "/images" }
    var records: String { folder + "/records.json" }

    static let tiler = try? Tiler(TilingConfiguration(tileWidth: 32, tileHeight: 32, maxTiles: 6))
    static let tokenizer = try? BPETrainer(vocabularySize: 320).train(
        [
            "What is this? Blocks. How many colours? Many. row column picture code 0 1 2 3 4 5 6 7 8 9"
        ]
    ).tokenizer()

    /// Makes `count` records over `pictures` pictures in `folder`; `change` may spoil some.
    init(
        _ folder: String, count: Int, pictures: Int = 4,
        change: (_ index: Int, inout Record) -> Void = { _, _ in }
    ) throws {
        self.folder = folder
        try FileManager.default.createDirectory(
            atPath: folder + "/images", withIntermediateDirectories: true)
        for index in 0..<pictures {
            try writePNG(
                blockPicture(index, width: 50 + 7 * index, height: 40, block: 10),
                to: "\(folder)/images/\(index).png")
        }
        let writer = try RecordWriter(path: folder + "/records.json")
        for index in 0..<count {
            var record = pictureRecord("r\(index)", image: "\(index % pictures).png")
            record.turns[1].value = "Blocks \(index)."
            change(index, &record)
            try writer.write(record)
        }
        try writer.finish()
    }

    func augmenter(_ configuration: CognitionConfiguration = CognitionConfiguration(seed: 2)) throws
        -> Augmenter
    {
        try Augmenter(
            configuration, templates: .cognition(ownTemplates), codebook: BrightnessCodebook())
    }

    func builder(
        augmenter: Augmenter? = nil, maxLength: Int? = nil, format: ChatFormat = .llama3
    ) throws -> SampleBuilder {
        guard let tiler = Self.tiler, let tokenizer = Self.tokenizer else {
            throw CorpusError.setting(name: "fixture", problem: "has no tiler or tokenizer")
        }
        return SampleBuilder(
            tokenizer: tokenizer, tiler: tiler, folder: try PictureFolder(images),
            settings: .init(format: format, maxLength: maxLength), augmenter: augmenter,
            visualTokenCount: { _ in 16 })
    }

    func loader(
        augmenter: Augmenter? = nil, _ change: (inout SampleLoader.Settings) -> Void = { _ in }
    ) throws -> SampleLoader {
        var settings = SampleLoader.Settings(seed: 4)
        change(&settings)
        return try SampleLoader(
            RecordCollection(path: records), builder: builder(augmenter: augmenter),
            settings: settings)
    }
}
