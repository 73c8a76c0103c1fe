import Foundation
import Testing

@testable import Prompting

struct BPETrainerTests {
    static let texts = [
        "The image shows 3 red circles, 12 blue squares and the word HARBOUR.",
        "How many circles are there? There are 3 circles and 12 squares.",
        "the boats, the boats and the boats; it's the harbour's light.",
        "Read the sign: QUAY 1987. The sign reads QUAY 1987.\n\n",
        "größer als früher, 世界世界 世界 😀",
    ]

    /// Training as its definition reads: count all pairs anew for each merge.
    private func referenceMerges(_ pieces: [[UInt8]], limit: Int, spelt: Set<UInt8> = [])
        -> [[[UInt8]]]
    {
        let order = (0..<256).sorted {
            ByteLevelAlphabet.scalars[$0].value < ByteLevelAlphabet.scalars[$1].value
        }
        var ids: [[UInt8]: Int] = [:]
        for (id, byte) in order.enumerated() { ids[[UInt8(byte)]] = id }
        var words = pieces.map { $0.map { [$0] } }
        var merges: [[[UInt8]]] = []
        while merges.count < limit {
            var counts: [[[UInt8]]: Int] = [:]
            for word in words where word.count > 1 {
                for index in 1..<word.count
                where (word[index - 1] + word[index]).allSatisfy({ !spelt.contains($0) }) {
                    counts[[word[index - 1], word[index]], default: 0] += 1
                }
            }
            let best = counts.max { a, b in
                if a.value != b.value { return a.value < b.value }
                return [ids[a.key[0]]!, ids[a.key[1]]!]
                    .lexicographicallyPrecedes([ids[b.key[0]]!, ids[b.key[1]]!]) == false
            }
            guard let best, best.value >= 2 else { break }
            merges.append(best.key)
            ids[best.key[0] + best.key[1]] = 256 + merges.count - 1
            words = words.map { word in
                var result: [[UInt8]] = []
                var index = 0
                while index < word.count {
                    if index + 1 < word.count, [word[index], word[index + 1]] == best.key {
                        result.append(word[index] + word[index + 1])
                        index += 2
                    } else {
                        result.append(word[index])
                        index += 1
                    }
                }
                return result
            }
        }
        return merges
    }

    private func pieces(_ texts: [String]) -> [[UInt8]] {
        texts.flatMap { text in
            text.bytes.withUnsafeBufferPointer { bytes in
                let scanner = PieceScanner(bytes, classes: .shared)
                var pieces: [[UInt8]] = []
                var start = 0
                while start < bytes.count {
                    let end = scanner.pieceEnd(from: start, .words(digits: 1))
                    pieces.append(Array(bytes[start..<end]))
                    start = end
                }
                return pieces
            }
        }
    }

    @Test(arguments: [false, true])
    func learnsTheMergesOfTheDefinition(spellsCapitals: Bool) {
        let pieces = pieces(Self.texts)
        var learner = MergeLearner(spellsCapitals: spellsCapitals)
        learner.add(Dictionary(pieces.map { ($0, 1) }, uniquingKeysWith: +))
        learner.learn(upTo: 120, minimumCount: 2)
        let merges = learner.merges.map { [learner.tokens[$0.left], learner.tokens[$0.right]] }
        #expect(merges.count > 40)
        #expect(
            merges
                == referenceMerges(
                    pieces, limit: 120, spelt: spellsCapitals ? Set(0x41...0x5A) : []))
    }

    @Test func tokenizerReadsItsFile() throws {
        let trained = try BPETrainer(vocabularySize: 340).train(Self.texts + Self.texts)
        let tokenizer = try trained.tokenizer()
        #expect(tokenizer.vocabularySize == 340)
        #expect(tokenizer.idLimit == 340)
        let names = BPETrainer.llama3SpecialTokens
        #expect(names.map { tokenizer.id(of: $0) } == Array(333..<340))
        #expect(names.allSatisfy { tokenizer.isSpecial(tokenizer.id(of: $0) ?? 0) })
        #expect(tokenizer.prefixIDs == [333])
        #expect(tokenizer.beginningID == 333)
        #expect(tokenizer.endID == 334)
        #expect(tokenizer.paddingID == 339)
        for text in Self.texts + ["\u{0}\t\r\n é e\u{301} \u{10FFFF}", ""] {
            let ids = tokenizer.encode(text)
            #expect(ids.first == 333)
            #expect(tokenizer.decode(ids).bytes == text.bytes)
        }
        #expect(try ChatFormat.llama3.stopIDs(for: tokenizer) == [337, 334])
    }

    @Test func numbersAndCapitalsAreSpelt() throws {
        var trainer = BPETrainer(vocabularySize: 400)
        trainer.spellsCapitals = true
        let tokenizer = try trainer.train(Array(repeating: "QUAY 1987", count: 9) + Self.texts)
            .tokenizer()
        let ids = tokenizer.encode("QUAY 1987", addingSpecial: false)
        #expect(ids.map { tokenizer.decode([$0]) } == "QUAY 1987".map { String($0) })
        trainer.spellsCapitals = false
        trainer.spellsDigits = false
        let merging = try trainer.train(Array(repeating: "QUAY 1987", count: 9) + Self.texts)
            .tokenizer()
        #expect(
            merging.encode("QUAY 1987", addingSpecial: false).map { merging.decode([$0]) }
                == ["QUAY", " ", "198", "7"])
    }

    @Test func orderOfTextsDoesNotMatter() throws {
        let trainer = BPETrainer(vocabularySize: 330)
        let first = try trainer.train(Self.texts)
        let second = try trainer.train(Self.texts.reversed())
        #expect(first.tokenizerJSON == second.tokenizerJSON)
        #expect(first.configurationJSON == second.configurationJSON)
    }

    @Test func fewTextsGiveFewTokens() throws {
        let tokenizer = try BPETrainer(vocabularySize: 5000).train(["abcd"]).tokenizer()
        #expect(tokenizer.vocabularySize == 263)
    }

    @Test func impossibleOptionsAreRefused() {
        #expect {
            try BPETrainer(vocabularySize: 200).train(["a"])
        } throws: { "\($0)".contains("at least 263") }
        #expect {
            var trainer = BPETrainer(vocabularySize: 300)
            trainer.specialTokens = ["<a>", "<a>"]
            return try trainer.train(["a"])
        } throws: { "\($0)".contains("twice") }
    }

    @Test func writesAFolderThatLoads() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "trained-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let trained = try BPETrainer(vocabularySize: 300).train(Self.texts)
        try trained.write(to: folder.path)
        let tokenizer = try Tokenizer(folder: folder.path)
        #expect(tokenizer.endID == tokenizer.id(of: "<|end_of_text|>"))
        let file = folder.path + "/tokenizer.json"  // a file where a folder is to be
        #expect { try trained.write(to: file + "/below") } throws: { "\($0)".contains(file) }
    }

    /// Added tokens keep the file valid, get ids at the end, and are read whole.
    @Test(arguments: TokenizerGoldenTests.families)
    func addedTokensExtendAFile(family: String) throws {
        let file = try Fixture.data("tokenizers/\(family)/tokenizer.json")
        let before = try Tokenizer(tokenizerJSON: file)
        let tokens = (0..<20).map { "<vq_\($0)>" }
        let grown = try Tokenizer.adding(tokens + ["<vq_3>"], toTokenizerJSON: file)
        let after = try Tokenizer(tokenizerJSON: grown)
        #expect(after.vocabularySize == before.vocabularySize + 20)
        #expect(tokens.map { after.id(of: $0) } == (0..<20).map { before.idLimit + $0 })
        let ids = after.encode("<vq_1><vq_17>", addingSpecial: false)
        #expect(ids == [before.idLimit + 1, before.idLimit + 17])
        #expect(after.decode(ids) == "<vq_1><vq_17>")
        for example in try TokenizerGoldenTests.cases(family).encode.prefix(100) {
            #expect(after.encode(example.text) == example.ids)
        }
        #expect(try Tokenizer.adding(tokens, toTokenizerJSON: grown) == grown)
    }
}
