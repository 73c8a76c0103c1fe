import Foundation
import Testing

@testable import Prompting

/// Bad tokenizer files: an error that names the file and the place, never a crash or a guess.
struct TokenizerErrorTests {
    /// A family, what to replace in its file, and what the error says.
    static let damages: [(family: String, old: String, new: String, expected: [String])] = [
        (
            "llama3", #"\\p{N}{1,3}"#, #"\\p{N}{1,4}"#,
            ["pre_tokenizer.pretokenizers[0].pattern", "{1,4}", "Llama-3, Qwen2, GPT-2"]
        ),
        ("llama3", #""Isolated""#, #""Removed""#, ["behavior", "Removed"]),
        ("qwen2", #""NFC""#, #""NFKC""#, ["normalizer", "NFKC"]),
        ("qwen2", #""type": "BPE""#, #""type": "Unigram""#, ["model", "Unigram"]),
        ("gpt2", #""dropout": null"#, #""dropout": 0.1"#, ["model.dropout"]),
        (
            "gpt2", #""end_of_word_suffix": null"#, #""end_of_word_suffix": "</w>""#,
            ["end_of_word_suffix \"</w>\""]
        ),
        ("gpt2", #""id": 494"#, #""id": 12"#, ["added_tokens", "AddedWord", "id 12 is"]),
        ("gpt2", #""id": 494"#, #""id": 493"#, ["added_tokens[2]", "493", "<mask>"]),
        ("gpt2", #""id": 494"#, #""id": 4940000000"#, ["added_tokens[2].id", "4940000000"]),
        ("gpt2", #""id": 494"#, #""id": -1"#, ["added_tokens[2].id", "-1"]),
        ("gpt2", #""id": 494"#, #""id": "x""#, ["added_tokens[2].id", "whole number"]),
        ("gpt2", #""merges""#, #""mergers""#, ["model", "\"merges\" is missing"]),
        ("gpt2", #""vocab""#, #""vocabulary""#, ["model", "\"vocab\" is missing"]),
        ("llama2", #""▁ t""#, #""▁ zzz""#, ["model.merges[0]", "zzz"]),
        ("llama2", #""▁ t""#, #""▁t""#, ["model.merges[0]", "one blank"]),
        ("llama2", #""▁ t""#, "7", ["model.merges[0]"]),
        ("llama2", #""unk_token": "<unk>""#, #""unk_token": "<u>""#, ["model.unk_token"]),
        ("llama2", #""Fuse""#, #""CTC""#, ["decoder", "CTC"]),
        (
            "llama2", #""type": "TemplateProcessing""#, #""type": "RobertaProcessing""#,
            ["post_processor", "RobertaProcessing"]
        ),
        ("llama2_metaspace", #""first""#, #""last""#, ["prepend_scheme", "last"]),
        ("llama2_metaspace", #""Metaspace""#, #""Whitespace""#, ["pre_tokenizer", "Whitespace"]),
    ]

    @Test(arguments: damages.indices)
    func unknownOrWrongPartsAreNamed(index: Int) throws {
        let (family, old, new, expected) = Self.damages[index]
        let file = try #require(
            try Fixture.tokenizerFile(family, replacing: old, with: new), "\(old) does not occur")
        #expect("\(family): \(old) -> \(new)") {
            try Tokenizer(tokenizerJSON: file)
        } throws: { error in
            expected.allSatisfy("\(error)".contains) && "\(error)".contains("tokenizer.json")
        }
    }

    @Test func templateIdsMustExist() throws {
        let text = try Fixture.text("tokenizers/llama3/tokenizer.json")
        let file = text.replacing(/"ids": \[\s*496\s*\]/, with: #""ids": [ 9000 ]"#)
        #expect(file != text)
        #expect {
            try Tokenizer(tokenizerJSON: Data(file.utf8))
        } throws: { "\($0)".contains("post_processor") && "\($0)".contains("9000") }
    }

    @Test(arguments: [
        ("", "line 1"), ("{", "line 1"), ("{}", "\"model\" is missing"),
        ("[]", "expected an object"),
        ("{\"model\": {\"vocab\": {}}}", "\"merges\" is missing"), ("\u{0}", "line 1"),
        ("{\n\n \"model\": tru}", "line 3"), ("{\"a\": \"\\ud800\"}", "\\u"),
        ("{\"a\": \"\\u12\"}", "\\u"), ("{\"a\": 1} x", "after the end"),
        (String(repeating: "[", count: 100_000), "nested"), ("{\"a\": \"tab\there\"}", "control"),
        ("{\"a\": 1e}", "expected a value"),
    ])
    func brokenJSONIsRefused(text: String, expected: String) {
        #expect {
            try Tokenizer(tokenizerJSON: Data(text.utf8))
        } throws: { "\($0)".contains(expected) && $0 is PromptingError }
    }

    @Test func bytesThatAreNoTextAreRefused() {
        #expect {
            try Tokenizer(tokenizerJSON: Data([0x7B, 0xFF, 0xFE, 0x7D]))
        } throws: { "\($0)".contains("not UTF-8") }
    }

    @Test func folderWithoutTokenizerIsNamed() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "tokenizer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect {
            try Tokenizer(folder: folder.path)
        } throws: { "\($0)" == "\(folder.path)/tokenizer.json: no such file" }
        try Data().write(to: folder.appendingPathComponent("tokenizer.model"))
        #expect {
            try Tokenizer(folder: folder.path)
        } throws: { "\($0)".contains("tokenizer.model has to be saved as tokenizer.json") }
    }

    /// Files with bytes changed, cut out or cut off load or throw; whatever loads can be used.
    @Test(arguments: TokenizerGoldenTests.families)
    func damagedFilesNeverCrash(family: String) throws {
        let original = try Array(Fixture.data("tokenizers/\(family)/tokenizer.json"))
        let structure = Array("{}[]\":,0\\ntu9-".utf8)
        var state: UInt64 = 11
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        var loaded = 0
        for round in 0..<150 {
            var file = original
            for _ in 0...random(3) {
                let place = random(file.count)
                switch (round + random(4)) % 4 {
                case 0: file[place] = structure[random(structure.count)]
                case 1: file[place] = UInt8(random(256))
                case 2: file.removeSubrange(place..<min(file.count, place + 1 + random(40)))
                default: if random(4) == 0 { file.removeLast(file.count - place) }
                }
                if file.isEmpty { file = [0x7B] }
            }
            do {
                let tokenizer = try Tokenizer(tokenizerJSON: Data(file))
                let ids = tokenizer.encode("The harbour <s>, 世界 don't 12345 <image>")
                _ = tokenizer.decode(ids + [-1, 0, 1 << 40])
                loaded += 1
            } catch let error as PromptingError {
                #expect("\(error)".contains("tokenizer.json"))
            }
        }
        #expect(loaded < 150)
    }
}
