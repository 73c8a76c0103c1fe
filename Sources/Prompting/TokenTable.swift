/// Token texts by id, and what each becomes when decoded.
struct TokenTable: Sendable {
    struct Entry: Sendable {
        /// As written in the file.
        var text: [UInt8]
        /// As decoded.
        var bytes: [UInt8]
        /// A `<0x..>` token of a byte-fallback vocabulary.
        var isByte: Bool
        var isSpecial: Bool
    }

    private var entries: [Entry?] = []
    /// How many tokens there are; ids can have gaps.
    private(set) var count = 0
    private var ids: ByteTable

    init(_ texts: [[UInt8]?], decoder: TokenDecoder) {
        ids = ByteTable(minimumCapacity: texts.count)
        entries.reserveCapacity(texts.count)
        for (id, text) in texts.enumerated() {
            guard let text else {
                entries.append(nil)
                continue
            }
            let (bytes, isByte) = decoder.bytes(of: text)
            entries.append(Entry(text: text, bytes: bytes, isByte: isByte, isSpecial: false))
            ids[text] = UInt32(id)
            count += 1
        }
    }

    var idLimit: Int { entries.count }

    subscript(_ id: Int) -> Entry? {
        entries.indices.contains(id) ? entries[id] : nil
    }

    func id(of text: [UInt8]) -> Int? {
        ids[text].map(Int.init)
    }

    /// Adds an added token; it may repeat one of the vocabulary, with the same id.
    mutating func add(_ token: AddedTokens.Token, decoder: TokenDecoder) -> String? {
        if let known = id(of: token.content), known != token.id {
            return "its content has id \(known) in the vocabulary, but \(token.id) here"
        }
        if let entry = self[token.id], entry.text != token.content {
            let name = String(decoding: entry.text, as: UTF8.self)
            return "id \(token.id) is \"\(name)\" in the vocabulary"
        }
        if token.id >= entries.count {
            entries.append(contentsOf: repeatElement(nil, count: token.id + 1 - entries.count))
        }
        if entries[token.id] == nil { count += 1 }
        let (bytes, isByte) = decoder.bytes(of: token.content)
        entries[token.id] = Entry(
            text: token.content, bytes: bytes, isByte: isByte, isSpecial: token.isSpecial)
        ids[token.content] = UInt32(token.id)
        return nil
    }
}
