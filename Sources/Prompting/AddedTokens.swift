/// Tokens that are cut out of the text before anything else: the `added_tokens` of a file.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        var id: Int
        var content: [UInt8]
        var isSpecial = false
        var takesBlanksOnLeft = false
        var takesBlanksOnRight = false
        var isWholeWord = false
        /// Matched in the normalized text instead of the raw one.
        var isNormalized = false
    }

    /// A stretch of text: an added token, or text between such tokens.
    enum Part {
        case token(Int)
        case text(Range<Int>)
    }

    let tokens: [Token]
    private let raw: TokenTrie
    private let normalized: TokenTrie

    var hasNormalized: Bool { !normalized.isEmpty }

    init(_ node: JSONNode?, normalizer: Normalizer) throws {
        var tokens: [Token] = []
        var contents: [Int: [UInt8]] = [:]
        for entry in try node?.elements() ?? [] {
            let content = try entry.member("content").bytes()
            guard !content.isEmpty else { throw entry.failure("the content is empty") }
            let special = try entry.flag("special", default: false)
            let token = Token(
                id: try entry.member("id").tokenID(), content: content, isSpecial: special,
                takesBlanksOnLeft: try entry.flag("lstrip", default: false),
                takesBlanksOnRight: try entry.flag("rstrip", default: false),
                isWholeWord: try entry.flag("single_word", default: false),
                isNormalized: try entry.flag("normalized", default: !special))
            if let other = contents.updateValue(content, forKey: token.id), other != content {
                let name = String(decoding: other, as: UTF8.self)
                throw entry.failure("id \(token.id) already belongs to \"\(name)\"")
            }
            tokens.append(token)
        }
        self.tokens = tokens
        var raw = TokenTrie()
        var normalized = TokenTrie()
        for (index, token) in tokens.enumerated() {
            if token.isNormalized {
                normalized.insert(
                    normalizer.normalized(token.content, continuing: false), index: index)
            } else {
                raw.insert(token.content, index: index)
            }
        }
        self.raw = raw
        self.normalized = normalized
    }

    /// Cuts the tokens out of `text`, leftmost first and longest first, in order.
    ///
    /// - Parameters:
    ///   - inNormalized: look for the tokens that match normalized text, else for the others.
    ///   - parsingSpecial: when false, special tokens are ordinary text.
    func parts(
        of text: UnsafeBufferPointer<UInt8>, inNormalized: Bool, parsingSpecial: Bool
    ) -> [Part] {
        let trie = inNormalized ? normalized : raw
        if trie.isEmpty || text.isEmpty { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var parts: [Part] = []
        var done = 0
        var index = 0
        while index < text.count {
            guard let (tokenIndex, length) = trie.longestMatch(in: text, at: index) else {
                index += 1
                continue
            }
            let token = tokens[tokenIndex]
            var start = index
            var end = index + length
            index = end
            if token.isSpecial, !parsingSpecial { continue }
            if token.isWholeWord, Self.isWord(text, before: start) || Self.isWord(text, at: end) {
                continue
            }
            if token.takesBlanksOnLeft { start = Self.skipBlanks(text, before: start) }
            if token.takesBlanksOnRight { end = Self.skipBlanks(text, from: end) }
            start = max(start, done)
            if done < start { parts.append(.text(done..<start)) }
            parts.append(.token(token.id))
            done = end
            index = max(index, end)
        }
        if done < text.count { parts.append(.text(done..<text.count)) }
        return parts
    }

    private static func isWord(_ text: UnsafeBufferPointer<UInt8>, before index: Int) -> Bool {
        guard index > 0 else { return false }
        let value = ScalarView(bytes: text).scalar(before: index).value
        return Unicode.Scalar(value).map(ScalarClasses.isWord) ?? false
    }

    private static func isWord(_ text: UnsafeBufferPointer<UInt8>, at index: Int) -> Bool {
        guard index < text.count else { return false }
        let value = ScalarView(bytes: text).scalar(at: index).value
        return Unicode.Scalar(value).map(ScalarClasses.isWord) ?? false
    }

    private static func isBlank(_ value: UInt32) -> Bool {
        Unicode.Scalar(value)?.properties.isWhitespace ?? false
    }

    private static func skipBlanks(
        _ text: UnsafeBufferPointer<UInt8>, before index: Int
    ) -> Int {
        var index = index
        while index > 0 {
            let (value, length) = ScalarView(bytes: text).scalar(before: index)
            if !isBlank(value) { break }
            index -= length
        }
        return index
    }

    private static func skipBlanks(_ text: UnsafeBufferPointer<UInt8>, from index: Int) -> Int {
        var index = index
        while index < text.count {
            let (value, length) = ScalarView(bytes: text).scalar(at: index)
            if !isBlank(value) { break }
            index += length
        }
        return index
    }
}

/// Finds the longest of many byte strings at a place.
private struct TokenTrie: Sendable {
    private struct Node: Sendable {
        var children: [(byte: UInt8, node: Int32)] = []
        var index: Int32 = -1
    }

    private var nodes = [Node()]
    private var starts = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { nodes.count == 1 }

    /// A later token of the same content replaces the earlier.
    mutating func insert(_ content: [UInt8], index: Int) {
        guard let first = content.first else { return }
        starts[Int(first)] = true
        var node = 0
        for byte in content {
            if let child = nodes[node].children.first(where: { $0.byte == byte }) {
                node = Int(child.node)
            } else {
                nodes[node].children.append((byte, Int32(nodes.count)))
                node = nodes.count
                nodes.append(Node())
            }
        }
        nodes[node].index = Int32(index)
    }

    @inline(__always)
    func longestMatch(
        in text: UnsafeBufferPointer<UInt8>, at start: Int
    ) -> (index: Int, length: Int)? {
        starts[Int(text[start])] ? walk(text, from: start) : nil
    }

    private func walk(
        _ text: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> (index: Int, length: Int)? {
        var best: (index: Int, length: Int)?
        var node = 0
        var place = start
        while place < text.count {
            let byte = text[place]
            guard let child = nodes[node].children.first(where: { $0.byte == byte }) else { break }
            node = Int(child.node)
            place += 1
            if nodes[node].index >= 0 { best = (Int(nodes[node].index), place - start) }
        }
        return best
    }
}
