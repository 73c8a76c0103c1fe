import AnyRes
import Codecs
import Foundation
import Synchronization
import Testing

@testable import Corpus

/// Counts how often codes are computed.
private final class CountingCodebook: Codebook {
    let base = BrightnessCodebook()
    let computed = Atomic<Int>(0)
    let fingerprint: String
    var name: String { base.name }
    var codeCount: Int { base.codeCount }
    var stride: Int { base.stride }

    init(fingerprint: String = "counting") { self.fingerprint = fingerprint }

    func indices(of pixels: Pixels) throws -> CodeGrid {
        computed.add(1, ordering: .relaxed)
        return try base.indices(of: pixels)
    }
}

struct CodeCacheTests {
    private func run(
        _ set: DataSetFixture, _ codebook: CountingCodebook, cache: ContentStore?, to path: String
    ) throws -> String {
        let augmenter = try Augmenter(
            CognitionConfiguration(seed: 2, maxQuestions: 2), templates: .cognition(ownTemplates),
            codebook: codebook, cache: cache.map(CodeCache.init))
        _ = try AugmentationJob(
            try RecordCollection(path: set.records), augmenter: augmenter,
            folder: try PictureFolder(set.images)
        ).run(to: path)
        return try contents(path)
    }

    /// The output is the same with a cold, a warm and no cache, and a warm one computes no codes.
    @Test func cachedCodesGiveTheSameRecords() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 60)
            let plain = try run(set, CountingCodebook(), cache: nil, to: folder + "/plain.jsonl")
            let store = try ContentStore(folder: folder + "/cache", limit: 1 << 24)
            let cold = CountingCodebook()
            #expect(try run(set, cold, cache: store, to: folder + "/cold.jsonl") == plain)
            let made = cold.computed.load(ordering: .relaxed)
            #expect(made > 0)
            let warm = CountingCodebook()
            #expect(try run(set, warm, cache: store, to: folder + "/warm.jsonl") == plain)
            #expect(warm.computed.load(ordering: .relaxed) == 0 && store.use.hits > made)

            // Another codebook, and another picture under the same name, are computed.
            let other = CountingCodebook(fingerprint: "another")
            _ = try run(set, other, cache: store, to: folder + "/other.jsonl")
            #expect(other.computed.load(ordering: .relaxed) > 0)
            try writePNG(
                blockPicture(77, width: 50, height: 40, block: 10), to: set.images + "/0.png")
            let changed = CountingCodebook()
            let text = try run(set, changed, cache: store, to: folder + "/changed.jsonl")
            #expect(changed.computed.load(ordering: .relaxed) > 0)
            #expect(try text == run(set, changed, cache: nil, to: folder + "/again.jsonl"))
        }
    }

    /// A stored grid that the codebook cannot have given is computed again.
    @Test func impossibleGridsAreMadeAnew() throws {
        try withTemporaryFolder { folder in
            let store = try ContentStore(folder: folder, limit: 1 << 20)
            let codebook = CountingCodebook()
            let shape = GridShape(rows: 1, columns: 2)
            let grid = CodeGrid(shape: shape, values: [3, 15])
            let name = "codes/p/counting/1x2"
            for bytes: [UInt8] in [[1, 2, 3], [3, 0, 0, 0, 16, 0, 0, 0]] {
                store.insert(bytes, for: name)
                let found = CodeCache(store).grid(picture: "p", codebook: codebook, shape: shape) {
                    grid
                }
                #expect(found == grid)
                #expect(store.value(of: name) == [3, 0, 0, 0, 15, 0, 0, 0])
            }
        }
    }
}
