import Foundation
import Testing

@testable import Prompting

/// What the golden strings do not reach.
struct TokenizerTextTests {
    /// Canonically equal texts are different tokens: `é` composed, and `e` with an accent.
    @Test func vocabularyKeepsEquivalentTextsApart() throws {
        let file = """
            {"model": {"type": "BPE", "vocab": {"\u{E9}": 0, "e": 1, "\u{301}": 2, "e\u{301}": 3},
            "merges": ["e \u{301}"]}}
            """
        let tokenizer = try Tokenizer(tokenizerJSON: Data(file.utf8))
        #expect(tokenizer.encode("\u{E9}e\u{301}") == [0, 3])
        #expect(tokenizer.id(of: "\u{E9}") == 0)
        #expect(tokenizer.id(of: "e\u{301}") == 3)
        #expect(tokenizer.vocabularySize == 4)
    }

    /// Composition as the Unicode Standard defines it, where Foundation's differs too.
    @Test(arguments: [
        ("e\u{301}", "\u{E9}"), ("\u{1E9B}\u{323}", "\u{1E9B}\u{323}"), ("\u{212B}", "\u{C5}"),
        ("a\u{302}\u{323}", "\u{1EAD}"), ("a\u{315}\u{300}", "\u{E0}\u{315}"),
        ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"), ("\u{AC00}\u{11A7}", "\u{AC00}\u{11A7}"),
        ("\u{1113}\u{1169}", "\u{1113}\u{1169}"), ("\u{1107}\u{1176}", "\u{1107}\u{1176}"),
        ("\u{10075}\u{301}", "\u{10075}\u{301}"), ("\u{11099}\u{110BA}", "\u{1109A}"),
        ("\u{958}", "\u{915}\u{93C}"), ("\u{3B1}\u{313}\u{300}\u{345}", "\u{1F82}"),
        ("\u{301}e", "\u{301}e"), ("e\u{334}\u{301}", "\u{E9}\u{334}"),
    ])
    func composesCanonically(text: String, expected: String) {
        #expect(CanonicalComposition.composed(text.bytes) == expected.bytes)
    }

    @Test func composingIsStable() {
        for value in UInt32(0xA0)..<0x3100 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let composed = CanonicalComposition.composed(String(scalar).bytes)
            #expect(CanonicalComposition.composed(composed) == composed)
            if !scalar.properties.isFullCompositionExclusion {
                #expect(composed == String(scalar).bytes, "U+\(String(value, radix: 16))")
            }
        }
    }

    @Test func specialTokensCanBeLeftAsText() throws {
        let tokenizer = try Fixture.tokenizer("gpt2")
        #expect(tokenizer.encode("a<|endoftext|>").last == 492)
        let ids = tokenizer.encode("a<|endoftext|> AddedWord", parsingSpecial: false)
        #expect(!ids.contains(492))
        #expect(ids.last == 494)  // not special, so a token all the same
        #expect(tokenizer.decode(ids) == "a<|endoftext|> AddedWord")
    }

    @Test func tokensHaveNamesAndIds() throws {
        let tokenizer = try Fixture.tokenizer("llama2")
        #expect(tokenizer.id(of: "</s>") == 2)
        #expect(tokenizer.token(of: 2) == "</s>")
        #expect(tokenizer.isSpecial(2))
        #expect(!tokenizer.isSpecial(300))
        #expect(tokenizer.token(of: 100_000) == nil)
        #expect(tokenizer.token(of: -1) == nil)
        #expect(tokenizer.id(of: "no such token") == nil)
        #expect(tokenizer.prefixIDs == [1])
        #expect(tokenizer.idLimit == 576)
    }

    @Test func configurationNamesTheSpecialTokens() throws {
        let tokenizer = try Tokenizer(
            tokenizerJSON: Fixture.data("tokenizers/llama2/tokenizer.json"),
            configurationJSON: Data(
                #"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>"}"#.utf8))
        #expect(tokenizer.beginningID == 1)
        #expect(tokenizer.endID == 2)
        #expect(tokenizer.paddingID == nil)
    }

    /// A megabyte without a break is one piece: time must not grow with its square.
    @Test(.timeLimit(.minutes(1)), arguments: ["llama3", "llama2"])
    func longPiecesAreNotQuadratic(family: String) throws {
        let tokenizer = try Fixture.tokenizer(family)
        let text = String(repeating: "theharbour", count: 30_000)
        let ids = tokenizer.encode(text, addingSpecial: false)
        #expect(tokenizer.decode(ids) == text)
    }

    @Test func streamingHoldsBackUnfinishedCharacters() throws {
        let tokenizer = try Fixture.tokenizer("llama3")
        let ids = tokenizer.encode("a😀b", addingSpecial: false)
        var decoder = tokenizer.streamingDecoder()
        #expect(ids.map { decoder.append($0) } == ["a", "", "", "", "😀", "b"])
        var broken = tokenizer.streamingDecoder()
        #expect(ids.prefix(3).map { broken.append($0) } == ["a", "", ""])
        #expect(broken.finish() == "\u{FFFD}")
    }

    @Test func streamingSkipsSpecialTokensAndUnknownIds() throws {
        let tokenizer = try Fixture.tokenizer("llama2")
        var decoder = tokenizer.streamingDecoder()
        let ids = [1, 99_999] + tokenizer.encode("the boats", addingSpecial: false) + [2]
        #expect(ids.map { decoder.append($0) }.joined() + decoder.finish() == "the boats")
    }
}
