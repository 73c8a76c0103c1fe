import Foundation
import Synchronization

/// Text to token ids and back, as a Hugging Face `tokenizer.json` defines it.
///
/// Byte-level BPE (GPT-2, Llama-3, Qwen2) and SentencePiece-style BPE with byte fallback (Llama-2,
/// Vicuna, Mistral). A component of the file that is not implemented is an error that names it. One
/// value may serve many threads at once. The file's own truncation and padding do not apply: the
/// caller decides about both.
public struct Tokenizer: Sendable {
    private final class Parts: Sendable {
        let normalizer: Normalizer
        let preTokenizer: PreTokenizer
        let model: BytePairModel
        let postProcessor: PostProcessor
        let decoder: TokenDecoder
        let added: AddedTokens
        let tokens: TokenTable
        let names: TokenNames
        let idle = Mutex<[PieceEncoder]>([])

        init(_ root: JSONNode, names: [JSONNode]) throws {
            normalizer = try Normalizer(root.optional("normalizer"))
            var preTokenizer = try PreTokenizer(root.optional("pre_tokenizer"))
            model = try BytePairModel(root.member("model"), isByteLevel: preTokenizer.isByteLevel)
            preTokenizer.cutAtBlanks(for: model)
            self.preTokenizer = preTokenizer
            postProcessor = try PostProcessor(root.optional("post_processor"))
            decoder = try TokenDecoder(root.optional("decoder"))
            let addedNode = root.optional("added_tokens")
            added = try AddedTokens(addedNode, normalizer: normalizer)
            var tokens = TokenTable(model.texts, decoder: decoder)
            for token in added.tokens {
                if let problem = tokens.add(token, decoder: decoder) {
                    let name = String(decoding: token.content, as: UTF8.self)
                    throw addedNode!.failure("\"\(name)\": \(problem)")
                }
            }
            self.tokens = tokens
            for id in postProcessor.ids where tokens[id] == nil {
                throw try root.member("post_processor").failure("no token has the id \(id)")
            }
            self.names = try TokenNames(names)
        }
    }

    private let parts: Parts

    /// Reads `tokenizer.json`, and `tokenizer_config.json` and `special_tokens_map.json` where present.
    ///
    /// Throws ``PromptingError`` with the file and the key.
    public init(folder: String) throws {
        let path = folder.hasSuffix("/") ? folder + "tokenizer.json" : folder + "/tokenizer.json"
        guard FileManager.default.fileExists(atPath: path) else {
            let old = FileManager.default.fileExists(atPath: folder + "/tokenizer.model")
            throw PromptingError.file(
                path: path,
                reason: old
                    ? "no such file; the folder's tokenizer.model has to be saved as "
                        + "tokenizer.json first (transformers' fast tokenizers do that)"
                    : "no such file")
        }
        var names: [JSONNode] = []
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = folder + "/" + name
            guard FileManager.default.fileExists(atPath: path) else { continue }
            names.append(
                JSONNode(try JSONTree(parsing: Self.contents(of: path), file: path), file: path))
        }
        let tree = try JSONTree(parsing: Self.contents(of: path), file: path)
        parts = try Parts(JSONNode(tree, file: path), names: names)
    }

    /// Reads the contents of a `tokenizer.json`, and of a `tokenizer_config.json` if given.
    public init(tokenizerJSON: Data, configurationJSON: Data? = nil) throws {
        let file = "tokenizer.json"
        let tree = try JSONTree(parsing: tokenizerJSON, file: file)
        let names = try configurationJSON.map {
            let file = "tokenizer_config.json"
            return [JSONNode(try JSONTree(parsing: $0, file: file), file: file)]
        }
        parts = try Parts(JSONNode(tree, file: file), names: names ?? [])
    }

    private static func contents(of path: String) throws -> Data {
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw PromptingError.file(path: path, reason: "cannot be read (\(error))")
        }
    }

    // MARK: Tokens

    /// How many tokens there are, added ones included.
    public var vocabularySize: Int { parts.tokens.count }

    /// One more than the greatest id: the least number of embedding rows a model needs.
    public var idLimit: Int { parts.tokens.idLimit }

    /// The id of a token, spelled as in the file.
    public func id(of token: String) -> Int? { parts.tokens.id(of: Array(token.utf8)) }

    /// The token with an id, spelled as in the file.
    public func token(of id: Int) -> String? {
        parts.tokens[id].map { String(decoding: $0.text, as: UTF8.self) }
    }

    /// Whether the id is a special token, one that decoding skips.
    public func isSpecial(_ id: Int) -> Bool { parts.tokens[id]?.isSpecial ?? false }

    /// The token that begins a text, from `tokenizer_config.json`.
    public var beginningID: Int? { parts.names.beginning.flatMap(id(of:)) }

    /// The token that ends a text, from `tokenizer_config.json`.
    public var endID: Int? { parts.names.end.flatMap(id(of:)) }

    /// The token that fills up a batch, from `tokenizer_config.json`.
    public var paddingID: Int? { parts.names.padding.flatMap(id(of:)) }

    /// Ids that the tokenizer puts before every text, such as `<s>`.
    public var prefixIDs: [Int] { parts.postProcessor.prefix }

    var textDecoder: TokenDecoder { parts.decoder }

    func entry(of id: Int) -> TokenTable.Entry? { parts.tokens[id] }

    // MARK: Encoding

    /// Where a text stands in what the model reads.
    enum Position {
        case start
        /// Behind a special token or a picture.
        case afterToken
        /// Directly behind other text: nothing is put before it.
        case continuing
    }

    /// The ids of a text.
    ///
    /// - Parameters:
    ///   - addingSpecial: put the special tokens of the post-processor around it, such as `<s>`.
    ///   - parsingSpecial: special tokens written in the text become those tokens. Pass false for
    ///     text from outside, in which `<|eot_id|>` must stay text.
    public func encode(
        _ text: String, addingSpecial: Bool = true, parsingSpecial: Bool = true
    ) -> [Int] {
        let ids = encode(text, at: .start, parsingSpecial: parsingSpecial)
        return addingSpecial ? parts.postProcessor.assembled(ids) : ids
    }

    /// The ids of two texts as one input.
    public func encode(_ first: String, _ second: String, addingSpecial: Bool = true) -> [Int] {
        let first = encode(first, at: .start, parsingSpecial: true)
        let second = encode(second, at: .start, parsingSpecial: true)
        return addingSpecial ? parts.postProcessor.assembled(first, second) : first + second
    }

    func encode(_ text: String, at position: Position, parsingSpecial: Bool) -> [Int] {
        let encoder = parts.idle.withLock { $0.popLast() } ?? PieceEncoder(parts.model)
        defer { parts.idle.withLock { $0.append(encoder) } }
        var text = text
        var ids: [Int] = []
        text.withUTF8 { bytes in
            ids.reserveCapacity(bytes.count / 3)
            let found = parts.added.parts(
                of: bytes, inNormalized: false, parsingSpecial: parsingSpecial)
            for part in found {
                switch part {
                case .token(let id): ids.append(id)
                case .text(let range):
                    encode(
                        UnsafeBufferPointer(rebasing: bytes[range]),
                        at: range.lowerBound == 0 ? position : .afterToken,
                        parsingSpecial: parsingSpecial, with: encoder, into: &ids)
                }
            }
        }
        return ids
    }

    /// Encodes text without the added tokens that match raw text.
    private func encode(
        _ bytes: UnsafeBufferPointer<UInt8>, at position: Position, parsingSpecial: Bool,
        with encoder: PieceEncoder, into ids: inout [Int]
    ) {
        if parts.normalizer.steps.isEmpty, !parts.added.hasNormalized,
            !parts.preTokenizer.changesText
        {
            cut(bytes, with: encoder, into: &ids)
            return
        }
        let normalized = parts.normalizer.normalized(
            Array(bytes), continuing: position == .continuing)
        normalized.withUnsafeBufferPointer { normalized in
            let found = parts.added.parts(
                of: normalized, inNormalized: true, parsingSpecial: parsingSpecial)
            for part in found {
                switch part {
                case .token(let id): ids.append(id)
                case .text(let range):
                    let isFirst = range.lowerBound == 0
                    let prepared = parts.preTokenizer.prepared(
                        Array(normalized[range]), isStart: isFirst && position == .start,
                        continuing: isFirst && position == .continuing)
                    prepared.withUnsafeBufferPointer { cut($0, with: encoder, into: &ids) }
                }
            }
        }
    }

    private func cut(
        _ bytes: UnsafeBufferPointer<UInt8>, level: Int = 0, with encoder: PieceEncoder,
        into ids: inout [Int]
    ) {
        let patterns = parts.preTokenizer.patterns
        guard level < patterns.count else {
            if !bytes.isEmpty { encoder.encode(bytes, into: &ids) }
            return
        }
        let pattern = patterns[level]
        let isLast = level + 1 == patterns.count
        let scanner = PieceScanner(bytes, classes: .shared)
        var start = 0
        while start < bytes.count {
            let end = scanner.pieceEnd(from: start, pattern)
            let piece = UnsafeBufferPointer(rebasing: bytes[start..<end])
            if isLast {
                encoder.encode(piece, into: &ids)
            } else {
                cut(piece, level: level + 1, with: encoder, into: &ids)
            }
            start = end
        }
    }

    // MARK: Decoding

    /// The text of ids. Ids that are no token are passed over, as are special tokens if asked.
    public func decode(_ ids: [Int], skippingSpecial: Bool = true) -> String {
        var assembler = TextAssembler(parts.decoder, endingRunsEarly: false)
        for id in ids {
            guard let entry = parts.tokens[id], !(skippingSpecial && entry.isSpecial) else {
                continue
            }
            assembler.append(entry)
        }
        return assembler.finish()
    }

    /// A decoder for ids that arrive one by one.
    public func streamingDecoder(skippingSpecial: Bool = true) -> StreamingDecoder {
        StreamingDecoder(self, skippingSpecial: skippingSpecial)
    }
}
