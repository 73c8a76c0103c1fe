import Foundation

/// Learns a byte-level BPE tokenizer from text, for models made from scratch.
///
/// The file it gives has the parts of Llama-3's (split, byte level, special tokens, beginning of
/// text put in front), so everything that reads those reads it. The same texts and options give the
/// same bytes, in whatever order the texts come.
public struct BPETrainer: Sendable {
    /// Llama-3's special tokens, a picture placeholder and padding.
    public static let llama3SpecialTokens = [
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
        "<|eot_id|>", "<image>", "<pad>",
    ]

    /// Tokens in all: 256 bytes, merges, special tokens. Fewer result when the text runs out.
    public var vocabularySize: Int
    /// A pair must occur this often to be merged.
    public var minimumCount = 2
    /// Tokens behind the learnt ones; the first begins a text.
    public var specialTokens = llama3SpecialTokens
    /// Each digit is a token by itself, so that numbers are spelt digit by digit (as Qwen2 does);
    /// otherwise up to three digits can become one token (as in Llama-3).
    public var spellsDigits = true
    /// A to Z are never merged with anything, so that words in capitals are spelt letter by letter.
    public var spellsCapitals = false

    public init(vocabularySize: Int) {
        self.vocabularySize = vocabularySize
    }

    /// Learns from the texts.
    ///
    /// - Throws: ``PromptingError/training(_:)`` when the options contradict each other.
    public func train(_ texts: some Sequence<String>) throws -> TrainedTokenizer {
        let mergeLimit = vocabularySize - 256 - specialTokens.count
        guard mergeLimit >= 0 else {
            throw PromptingError.training(
                "a vocabulary of \(vocabularySize) has no room for 256 bytes and "
                    + "\(specialTokens.count) special tokens; ask for at least "
                    + "\(256 + specialTokens.count)")
        }
        guard Set(specialTokens.map { Array($0.utf8) }).count == specialTokens.count,
            !specialTokens.contains("")
        else {
            throw PromptingError.training("a special token is empty or given twice")
        }
        var learner = MergeLearner(spellsCapitals: spellsCapitals)
        learner.add(pieces(of: texts))
        learner.learn(upTo: mergeLimit, minimumCount: minimumCount)
        return TrainedTokenizer(
            tokenizerJSON: tokenizerFile(learner).serialized(),
            configurationJSON: configurationFile().serialized())
    }

    private var pattern: SplitPattern { .words(digits: spellsDigits ? 1 : 3) }

    private func pieces(of texts: some Sequence<String>) -> [[UInt8]: Int] {
        var counts: [[UInt8]: Int] = [:]
        for var text in texts {
            text.withUTF8 { bytes in
                let scanner = PieceScanner(bytes, classes: .shared)
                var start = 0
                while start < bytes.count {
                    let end = scanner.pieceEnd(from: start, pattern)
                    counts[Array(bytes[start..<end]), default: 0] += 1
                    start = end
                }
            }
        }
        return counts
    }

    // MARK: Files

    private func tokenizerFile(_ learner: MergeLearner) -> JSONTree {
        func object(_ members: [(String, JSONTree)]) -> JSONTree {
            .object(members.map { JSONTree.Member($0.0, $0.1) })
        }
        let texts = learner.tokens.map(ByteLevelAlphabet.text)
        let added = specialTokens.enumerated().map { index, token in
            object([
                ("id", .integer(texts.count + index)), ("content", .text(token)),
                ("single_word", .bool(false)), ("lstrip", .bool(false)),
                ("rstrip", .bool(false)), ("normalized", .bool(false)), ("special", .bool(true)),
            ])
        }
        let byteLevel: [(String, JSONTree)] = [
            ("type", .text("ByteLevel")), ("add_prefix_space", .bool(false)),
            ("trim_offsets", .bool(true)), ("use_regex", .bool(false)),
        ]
        let regex = SplitPattern.wordsText(numbers: spellsDigits ? #"\p{N}"# : #"\p{N}{1,3}"#)
        let split = object([
            ("type", .text("Split")), ("pattern", object([("Regex", .text(regex))])),
            ("behavior", .text("Isolated")), ("invert", .bool(false)),
        ])
        let model = object([
            ("type", .text("BPE")), ("dropout", .null), ("unk_token", .null),
            ("continuing_subword_prefix", .null), ("end_of_word_suffix", .null),
            ("fuse_unk", .bool(false)), ("byte_fallback", .bool(false)),
            ("ignore_merges", .bool(false)),
            (
                "vocab",
                .object(texts.enumerated().map { .init(key: $1, value: .integer($0)) })
            ),
            (
                "merges",
                .array(learner.merges.map { .string(texts[$0.left] + [0x20] + texts[$0.right]) })
            ),
        ])
        return object([
            ("version", .text("1.0")), ("truncation", .null), ("padding", .null),
            ("added_tokens", .array(added)), ("normalizer", .null),
            (
                "pre_tokenizer",
                object([
                    ("type", .text("Sequence")),
                    ("pretokenizers", .array([split, object(byteLevel)])),
                ])
            ),
            ("post_processor", postProcessor(firstSpecialID: texts.count, object)),
            ("decoder", object(byteLevel)), ("model", model),
        ])
    }

    /// Puts the first special token before every text.
    private func postProcessor(
        firstSpecialID id: Int, _ object: ([(String, JSONTree)]) -> JSONTree
    ) -> JSONTree {
        guard let beginning = specialTokens.first else { return .null }
        func token(_ type: Int) -> JSONTree {
            object([
                ("SpecialToken", object([("id", .text(beginning)), ("type_id", .integer(type))]))
            ])
        }
        func text(_ name: String, _ type: Int) -> JSONTree {
            object([("Sequence", object([("id", .text(name)), ("type_id", .integer(type))]))])
        }
        let entry = object([
            ("id", .text(beginning)), ("ids", .array([.integer(id)])),
            ("tokens", .array([.text(beginning)])),
        ])
        return object([
            ("type", .text("TemplateProcessing")), ("single", .array([token(0), text("A", 0)])),
            ("pair", .array([token(0), text("A", 0), token(1), text("B", 1)])),
            ("special_tokens", object([(beginning, entry)])),
        ])
    }

    private func configurationFile() -> JSONTree {
        var members = [JSONTree.Member("tokenizer_class", .text("PreTrainedTokenizerFast"))]
        let names: [(String, String?)] = [
            ("bos_token", specialTokens.first), ("eos_token", "<|end_of_text|>"),
            ("pad_token", "<pad>"),
        ]
        for (key, name) in names {
            if let name, specialTokens.contains(name) { members.append(.init(key, .text(name))) }
        }
        members.append(.init("clean_up_tokenization_spaces", .bool(false)))
        if Self.llama3SpecialTokens.prefix(5).allSatisfy(specialTokens.contains) {
            members.append(.init("chat_template", .text(Self.chatTemplate)))
        }
        return .object(members)
    }

    private static let chatTemplate =
        "{{ bos_token }}{% for message in messages %}"
        + #"{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"#
        + "{{ message['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
        + "{% if add_generation_prompt %}"
        + #"{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"#
}

/// The files of a learnt tokenizer.
public struct TrainedTokenizer: Sendable {
    /// The contents of `tokenizer.json`.
    public let tokenizerJSON: Data
    /// The contents of `tokenizer_config.json`.
    public let configurationJSON: Data

    /// The tokenizer itself.
    public func tokenizer() throws -> Tokenizer {
        try Tokenizer(tokenizerJSON: tokenizerJSON, configurationJSON: configurationJSON)
    }

    /// Writes both files into a folder, made if need be. Throws ``PromptingError/file(path:reason:)``.
    public func write(to folder: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw PromptingError.file(path: folder, reason: "cannot be made a folder (\(error))")
        }
        let files = [
            ("tokenizer.json", tokenizerJSON), ("tokenizer_config.json", configurationJSON),
        ]
        for (name, data) in files {
            let path = folder + "/" + name
            do {
                try data.write(to: URL(fileURLWithPath: path), options: .atomic)
            } catch {
                throw PromptingError.file(path: path, reason: "cannot be written (\(error))")
            }
        }
    }
}
