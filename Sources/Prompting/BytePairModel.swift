/// Byte-pair encoding: a vocabulary and ranked merges, from the `model` part of a tokenizer file.
struct BytePairModel: Sendable {
    /// What a piece is cut into before anything is merged.
    enum Alphabet: Sendable {
        /// Bytes; the ids of the 256 single-byte tokens (`absent` where the vocabulary lacks one).
        case bytes([UInt32])
        /// Unicode scalars; those missing from the vocabulary fall back to byte tokens, or unknown.
        case scalars
    }

    static let absent = UInt32.max

    /// Token texts as written in the file.
    let vocabulary: ByteTable
    /// Tokens by the bytes they stand for, where that differs from ``vocabulary`` (byte level).
    let pieces: ByteTable
    let alphabet: Alphabet
    let merges: MergeTable
    /// A piece that is a token by itself is not merged up to it, but taken at once.
    let ignoresMerges: Bool
    /// The ids of `<0x00>` … `<0xFF>`, or `absent`, when unknown scalars fall back to them.
    let byteTokens: [UInt32]?
    let unknownID: UInt32?
    let fusesUnknown: Bool
    /// Scalars that some merge joins with a following marker `▁`; see ``PreTokenizer``.
    let joinedBeforeMarker: Set<UInt32>
    /// Texts by id; nil in the gaps.
    let texts: [[UInt8]?]
    let tokenCount: Int

    /// `▁`, which SentencePiece vocabularies write for a blank.
    static let marker: UInt32 = 0x2581

    init(_ node: JSONNode, isByteLevel: Bool) throws {
        let type = try node.optional("type")?.text() ?? "BPE"
        guard type == "BPE" else {
            throw node.unsupported("a model of type \(type)", supported: "BPE")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = try node.optional(key)?.text(), !affix.isEmpty {
                throw node.unsupported("\(key) \"\(affix)\"", supported: "none")
            }
        }
        if let dropout = node.optional("dropout") {
            switch dropout.value {
            case .integer(0), .real(0): break
            default: throw dropout.unsupported("BPE dropout", supported: "null")
            }
        }

        let (vocabulary, texts, count) = try Self.readVocabulary(node.member("vocab"))
        self.vocabulary = vocabulary
        self.texts = texts
        tokenCount = count
        ignoresMerges = try node.flag("ignore_merges", default: false)
        fusesUnknown = try node.flag("fuse_unk", default: false)
        unknownID = try node.optional("unk_token").map { unknown in
            guard let id = vocabulary[try unknown.bytes()] else {
                throw unknown.failure("the token is not in the vocabulary")
            }
            return id
        }

        if isByteLevel {
            var pieces = ByteTable(minimumCapacity: count)
            for (id, text) in texts.enumerated() {
                if let text, let bytes = ByteLevelAlphabet.bytes(of: text) {
                    pieces[bytes] = UInt32(id)
                }
            }
            self.pieces = pieces
            alphabet = .bytes((0..<256).map { pieces[[UInt8($0)]] ?? Self.absent })
            byteTokens = nil
        } else {
            pieces = vocabulary
            alphabet = .scalars
            byteTokens =
                try node.flag("byte_fallback", default: false)
                ? (0..<256).map { vocabulary[Self.byteToken($0)] ?? Self.absent } : nil
        }

        var joined: Set<UInt32> = []
        merges = try Self.readMerges(
            node.member("merges"), vocabulary: vocabulary, texts: texts
        ) { product in
            if !isByteLevel { Self.collectJoins(in: product, into: &joined) }
        }
        joinedBeforeMarker = joined
    }

    private static func byteToken(_ byte: Int) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15]] + Array(">".utf8)
    }

    private static func readVocabulary(
        _ node: JSONNode
    ) throws -> (ByteTable, [[UInt8]?], Int) {
        let members = try node.members()
        var table = ByteTable(minimumCapacity: members.count)
        var texts: [[UInt8]?] = []
        for member in members {
            let name = String(decoding: member.key, as: UTF8.self)
            let entry = JSONNode(member.value, key: "\(node.key)[\"\(name)\"]", file: node.file)
            let id = try entry.tokenID()
            if id >= texts.count {
                texts.append(contentsOf: repeatElement(nil, count: id + 1 - texts.count))
            }
            if let other = texts[id] {
                let other = String(decoding: other, as: UTF8.self)
                throw entry.failure("id \(id) already belongs to \"\(other)\"")
            }
            texts[id] = member.key
            table[member.key] = UInt32(id)
        }
        guard table.count == members.count else { throw node.failure("a token occurs twice") }
        return (table, texts, members.count)
    }

    private static func readMerges(
        _ node: JSONNode, vocabulary: ByteTable, texts: [[UInt8]?], product visit: ([UInt8]) -> Void
    ) throws -> MergeTable {
        guard case .array(let entries) = node.value else {
            throw node.failure("expected a list of pairs")
        }
        var table = MergeTable(minimumCapacity: entries.count)
        for (rank, entry) in entries.enumerated() {
            func place() -> JSONNode {
                JSONNode(entry, key: "\(node.key)[\(rank)]", file: node.file)
            }
            let left: [UInt8]
            let right: [UInt8]
            switch entry {
            case .string(let text):
                guard let blank = text.firstIndex(of: 0x20), !text[(blank + 1)...].contains(0x20)
                else { throw place().failure("expected two tokens with one blank between them") }
                left = Array(text[..<blank])
                right = Array(text[(blank + 1)...])
            case .array(let pair):
                guard pair.count == 2, case .string(let first) = pair[0],
                    case .string(let second) = pair[1]
                else { throw place().failure("expected two tokens") }
                left = first
                right = second
            default: throw place().failure("expected \"left right\" or [\"left\", \"right\"]")
            }
            let product = left + right
            guard let leftID = vocabulary[left], let rightID = vocabulary[right],
                let productID = vocabulary[product]
            else {
                let missing = [left, right, product].first { vocabulary[$0] == nil } ?? product
                let name = String(decoding: missing, as: UTF8.self)
                throw place().failure("the token \"\(name)\" is not in the vocabulary")
            }
            table.insert(leftID, rightID, rank: UInt32(rank), product: productID)
            visit(product)
        }
        return table
    }

    private static func collectJoins(in product: [UInt8], into joined: inout Set<UInt32>) {
        var previous: UInt32?
        for scalar in String(decoding: product, as: UTF8.self).unicodeScalars {
            if scalar.value == marker, let previous, previous != marker { joined.insert(previous) }
            previous = scalar.value
        }
    }
}

/// The merges of a vocabulary: from a pair of ids to its rank and product, packed in one word each.
struct MergeTable: Sendable {
    private struct Slot {
        var pair: UInt64
        var value: UInt64
    }

    /// No merge. Greater than every packed merge, so that the least value is the next merge.
    static let none = UInt64.max

    private var slots: [Slot]
    private(set) var count = 0

    init(minimumCapacity: Int) {
        var size = 16
        while size < minimumCapacity * 2 { size *= 2 }
        slots = Array(repeating: Slot(pair: .max, value: Self.none), count: size)
    }

    @inline(__always)
    private static func hash(_ pair: UInt64) -> Int {
        let mixed = (pair ^ pair >> 32) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 32)
    }

    /// Adds a merge; a later one for the same pair replaces the earlier.
    mutating func insert(_ left: UInt32, _ right: UInt32, rank: UInt32, product: UInt32) {
        let pair = UInt64(left) << 32 | UInt64(right)
        let mask = slots.count - 1
        var index = Self.hash(pair) & mask
        while slots[index].pair != .max, slots[index].pair != pair { index = (index + 1) & mask }
        if slots[index].pair == .max { count += 1 }
        slots[index] = Slot(pair: pair, value: UInt64(rank) << 32 | UInt64(product))
    }

    /// Rank in the high half, product in the low half; ``none`` when the pair does not merge.
    @inline(__always)
    func merge(_ left: UInt32, _ right: UInt32) -> UInt64 {
        let pair = UInt64(left) << 32 | UInt64(right)
        let mask = slots.count - 1
        return slots.withUnsafeBufferPointer { slots in
            var index = Self.hash(pair) & mask
            while true {
                let slot = slots[index]
                if slot.pair == pair { return slot.value }
                if slot.pair == .max { return Self.none }
                index = (index + 1) & mask
            }
        }
    }
}
