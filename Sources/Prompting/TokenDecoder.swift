/// How ids become text: the `decoder` part of a tokenizer file.
struct TokenDecoder: Sendable {
    enum Kind: Equatable, Sendable {
        /// Characters of the byte-level alphabet stand for bytes.
        case byteLevel
        /// Replacements in each token, then runs of `<0x..>` tokens to bytes, then a strip at the start.
        case pieces
        /// The marker becomes a blank, except in the first token, where it vanishes.
        case metaspace(marker: UInt32, stripsFirst: Bool)
        /// Tokens joined with blanks; what a file without decoder asks for.
        case spaced
    }

    private(set) var kind: Kind = .spaced
    private var replacements: [(pattern: [UInt8], content: [UInt8])] = []
    private(set) var fallsBackToBytes = false
    /// The scalar stripped from the start of the text, and how often at most.
    private(set) var strip: (content: [UInt8], limit: Int) = ([], 0)
    private var isFused = false

    init(_ node: JSONNode?) throws {
        guard let node else { return }
        switch try node.member("type").text() {
        case "ByteLevel": kind = .byteLevel
        case "Metaspace":
            let text = Array(try node.member("replacement").text().unicodeScalars)
            guard text.count == 1 else { throw node.failure("expected one character to replace") }
            let scheme = try node.optional("prepend_scheme")?.text() ?? "always"
            let stripsFirst = try node.flag("add_prefix_space", default: scheme != "never")
            kind = .metaspace(marker: text[0].value, stripsFirst: stripsFirst)
        case "Sequence":
            let parts = try node.member("decoders").elements()
            if parts.count == 1 {
                self = try TokenDecoder(parts[0])
            } else {
                kind = .pieces
                for part in parts { try add(part) }
            }
        case "Replace", "ByteFallback", "Fuse", "Strip":
            kind = .pieces
            try add(node)
        case let type:
            throw node.unsupported(
                "the decoder \(type)",
                supported: "ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, Sequence")
        }
    }

    private mutating func add(_ node: JSONNode) throws {
        let type = try node.member("type").text()
        switch type {
        case "Replace":
            guard !fallsBackToBytes, !isFused else {
                throw node.unsupported("Replace after ByteFallback or Fuse", supported: "before")
            }
            let pattern = try node.member("pattern")
            guard let text = try pattern.optional("String")?.bytes(), !text.isEmpty else {
                throw pattern.unsupported("a Replace by regular expression", supported: "String")
            }
            replacements.append((text, try node.member("content").bytes()))
        case "ByteFallback":
            guard !isFused else {
                throw node.unsupported("ByteFallback after Fuse", supported: "before it")
            }
            fallsBackToBytes = true
        case "Fuse": isFused = true
        case "Strip":
            guard isFused, strip.limit == 0, try node.member("stop").integer() == 0 else {
                throw node.unsupported(
                    "this Strip", supported: "one Strip after Fuse, with stop: 0")
            }
            let limit = try node.member("start").integer()
            guard limit >= 0 else { throw node.failure("start is negative") }
            strip = (try node.member("content").bytes(), limit)
        default:
            throw node.unsupported(
                "the decoder \(type) in a Sequence",
                supported: "Replace, ByteFallback, Fuse, Strip")
        }
    }

    /// The bytes of one token, and whether it is a `<0x..>` token standing for one byte of a run.
    func bytes(of token: [UInt8]) -> (bytes: [UInt8], isByte: Bool) {
        switch kind {
        case .byteLevel: return (ByteLevelAlphabet.bytes(of: token) ?? token, false)
        case .metaspace(let marker, _):
            let pattern = Array(UTF8.encode(Unicode.Scalar(marker)!)!)
            return (Normalizer.replacing(pattern, with: [0x20], in: token), false)
        case .spaced: return (token, false)
        case .pieces:
            var token = token
            for (pattern, content) in replacements {
                token = Normalizer.replacing(pattern, with: content, in: token)
            }
            if fallsBackToBytes, let byte = Self.byte(token) { return ([byte], true) }
            return (token, false)
        }
    }

    /// The byte that a token `<0xE4>` names.
    private static func byte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">"),
            token[3] != UInt8(ascii: "+")
        else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }
}
