import Foundation
import GoldenSupport
import Testing

@testable import Prompting

/// Ids and text of the reference library, for every family of tokenizer files.
struct TokenizerGoldenTests {
    struct Cases: Decodable {
        struct Encoding: Decodable {
            var text: String
            var ids: [Int]
            var idsWithoutSpecial: [Int]
            var decoded: String
            var decodedWithSpecial: String
        }
        struct Decoding: Decodable {
            var ids: [Int]
            var decoded: String
            var decodedWithSpecial: String
        }
        struct Pair: Decodable {
            var a: String
            var b: String
            var ids: [Int]
        }
        var vocabSize: Int
        var encode: [Encoding]
        var decode: [Decoding]
        var pairs: [Pair]
    }

    static let families = GoldenFolder.folders(in: "tokenizers")

    @Test(.enabled(if: GoldenFolder.isOwn)) func everyFamilyIsCompared() {
        #expect(Self.families == ["gpt2", "llama2", "llama2_metaspace", "llama3", "qwen2"])
    }

    private func expectEqual<Value: Equatable>(
        _ family: String, _ found: Value, _ expected: Value, _ label: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        GoldenReport.record("tokenizers/" + family, equal: found == expected)
        #expect(found == expected, "\(family): \(label)", sourceLocation: sourceLocation)
    }

    static func cases(_ family: String) throws -> Cases {
        try Fixture.decode(Cases.self, from: "tokenizers/\(family)/cases.json")
    }

    @Test(arguments: families)
    func encodesLikeTheReference(family: String) throws {
        let tokenizer = try Fixture.tokenizer(family)
        let cases = try Self.cases(family)
        #expect(cases.encode.count >= 225 || !GoldenFolder.isOwn)
        for example in cases.encode {
            let label = example.text.debugDescription
            expectEqual(family, tokenizer.encode(example.text), example.ids, label)
            expectEqual(
                family, tokenizer.encode(example.text, addingSpecial: false),
                example.idsWithoutSpecial, label)
        }
        for pair in cases.pairs {
            expectEqual(
                family, tokenizer.encode(pair.a, pair.b), pair.ids, "\(pair.a) + \(pair.b)")
        }
        expectEqual(family, tokenizer.vocabularySize, cases.vocabSize, "size of the vocabulary")
    }

    @Test(arguments: families)
    func decodesLikeTheReference(family: String) throws {
        let tokenizer = try Fixture.tokenizer(family)
        let cases = try Self.cases(family)
        let all =
            cases.encode.map { ($0.ids, $0.decoded, $0.decodedWithSpecial) }
            + cases.decode.map { ($0.ids, $0.decoded, $0.decodedWithSpecial) }
        for (ids, plain, special) in all {
            expectEqual(family, tokenizer.decode(ids).bytes, plain.bytes, "\(ids)")
            expectEqual(
                family, tokenizer.decode(ids, skippingSpecial: false).bytes, special.bytes, "\(ids)"
            )
        }
    }

    @Test(arguments: families)
    func streamsWhatItDecodes(family: String) throws {
        let tokenizer = try Fixture.tokenizer(family)
        for example in try Self.cases(family).encode {
            var decoder = tokenizer.streamingDecoder(skippingSpecial: false)
            var text = example.ids.map { decoder.append($0) }.joined()
            text += decoder.finish()
            #expect(text.bytes == example.decodedWithSpecial.bytes)
        }
    }

    @Test(arguments: families)
    func encodesOneTextOnManyThreads(family: String) async throws {
        let tokenizer = try Fixture.tokenizer(family)
        let cases = try Self.cases(family).encode
        let wrong = await withTaskGroup(of: Int.self) { group in
            for shift in 0..<8 {
                group.addTask {
                    (0..<cases.count).count { index in
                        let example = cases[(index * 7 + shift * 29) % cases.count]
                        return tokenizer.encode(example.text) != example.ids
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(wrong == 0)
    }

    /// A long text without white space goes through the heap, short pieces are scanned; BPE does not
    /// depend on which. Each piece here is too long for the scan, its parts are not.
    @Test(.enabled(if: GoldenFolder.isOwn), arguments: ["llama2", "gpt2"])
    func mergesLongPiecesLikeTheDefinition(family: String) throws {
        let tokenizer = try Fixture.tokenizer(family)
        let model = try ReferenceBPE(family)
        let words = ["the", "harbour", "token", "image", "boats", "aaaa", "carriage", "master"]
        var state: UInt64 = 7
        for _ in 0..<40 {
            var text = ""
            for _ in 0..<30 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text += words[Int(state >> 33) % words.count]
            }
            #expect(
                tokenizer.encode(text, at: .continuing, parsingSpecial: true) == model.encode(text))
        }
    }
}

/// Byte-pair encoding as its definition reads: merge the leftmost pair of lowest rank, repeat.
private struct ReferenceBPE {
    private var ids: [String: Int] = [:]
    private var ranks: [String: Int] = [:]

    init(_ family: String) throws {
        let path = "tokenizers/\(family)/tokenizer.json"
        let root = try JSONNode(JSONTree(parsing: Fixture.data(path), file: path), file: path)
        let model = try root.member("model")
        for member in try model.member("vocab").members() {
            if case .integer(let id) = member.value {
                ids[String(decoding: member.key, as: UTF8.self)] = id
            }
        }
        for (rank, merge) in try model.member("merges").elements().enumerated() {
            ranks[try merge.text()] = rank
        }
    }

    func encode(_ text: String) -> [Int] {
        var symbols = text.map { String($0) }
        while true {
            let places = (0..<symbols.count - 1).compactMap { index in
                ranks[symbols[index] + " " + symbols[index + 1]].map { (rank: $0, index: index) }
            }
            guard let best = places.min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) }) else {
                return symbols.compactMap { ids[$0] }
            }
            symbols.replaceSubrange(
                best.index...best.index + 1, with: [symbols[best.index] + symbols[best.index + 1]])
        }
    }
}
