/// Puts the bytes of tokens together as a ``TokenDecoder`` says.
struct TextAssembler: Sendable {
    private let decoder: TokenDecoder
    /// Whether a run of byte tokens becomes text as soon as it is whole, or only when it ends.
    private let endsRunsEarly: Bool
    private var text: [UInt8] = []
    private var run: [UInt8] = []
    private var stripsLeft: Int
    private var isFirst = true

    init(_ decoder: TokenDecoder, endingRunsEarly: Bool) {
        self.decoder = decoder
        endsRunsEarly = endingRunsEarly
        stripsLeft = decoder.strip.limit
    }

    private static let replacementCharacter: [UInt8] = [0xEF, 0xBF, 0xBD]

    mutating func append(_ token: TokenTable.Entry) {
        defer { isFirst = false }
        switch decoder.kind {
        case .byteLevel: text.append(contentsOf: token.bytes)
        case .metaspace(let marker, true) where isFirst:
            let pattern = Array(UTF8.encode(Unicode.Scalar(marker)!)!)
            text.append(contentsOf: Normalizer.replacing(pattern, with: [], in: token.text))
        case .metaspace: text.append(contentsOf: token.bytes)
        case .spaced:
            if !isFirst { text.append(0x20) }
            text.append(contentsOf: token.bytes)
        case .pieces:
            if token.isByte {
                run.append(contentsOf: token.bytes)
                if endsRunsEarly, String(validating: run, as: UTF8.self) != nil { endRun() }
            } else {
                endRun()
                add(token.bytes)
            }
        }
    }

    /// A run that is not UTF-8 as a whole becomes one replacement character per byte.
    private mutating func endRun() {
        if run.isEmpty { return }
        if String(validating: run, as: UTF8.self) != nil {
            add(run)
        } else {
            for _ in run { add(Self.replacementCharacter) }
        }
        run.removeAll(keepingCapacity: true)
    }

    private mutating func add(_ bytes: [UInt8]) {
        var bytes = bytes[...]
        while stripsLeft > 0, !bytes.isEmpty {
            if bytes.starts(with: decoder.strip.content), !decoder.strip.content.isEmpty {
                bytes = bytes.dropFirst(decoder.strip.content.count)
                stripsLeft -= 1
            } else {
                stripsLeft = 0
            }
        }
        text.append(contentsOf: bytes)
    }

    /// All text so far that no later token can change, removed from here.
    mutating func takeComplete() -> String {
        let end = Self.completeEnd(of: text)
        defer { text.removeFirst(end) }
        return String(decoding: text[..<end], as: UTF8.self)
    }

    /// The rest, with a replacement character for a character that was never completed.
    mutating func finish() -> String {
        endRun()
        defer { text.removeAll() }
        return String(decoding: text, as: UTF8.self)
    }

    /// The end of `bytes` without a last character that is still to be completed.
    static func completeEnd(of bytes: [UInt8]) -> Int {
        var index = bytes.count
        while index > 0, bytes.count - index < 3 {
            index -= 1
            let byte = bytes[index]
            if byte < 0x80 { break }
            if byte >= 0xC0 {
                let length = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
                return bytes.count - index < length ? index : bytes.count
            }
        }
        return bytes.count
    }
}

/// Turns generated ids into text one at a time, never giving out a part of a character.
///
/// What it gives out adds up to ``Tokenizer/decode(_:skippingSpecial:)`` of all the ids, except where
/// byte tokens of a SentencePiece vocabulary begin with whole characters and then break off: those
/// characters, once given out, stay.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecial: Bool
    private var assembler: TextAssembler

    init(_ tokenizer: Tokenizer, skippingSpecial: Bool) {
        self.tokenizer = tokenizer
        skipsSpecial = skippingSpecial
        assembler = TextAssembler(tokenizer.textDecoder, endingRunsEarly: true)
    }

    /// Takes the next id and gives out the text it completes, often one word, sometimes none.
    public mutating func append(_ id: Int) -> String {
        if let entry = tokenizer.entry(of: id), !(skipsSpecial && entry.isSpecial) {
            assembler.append(entry)
        }
        return assembler.takeComplete()
    }

    /// The text still held back when generation has ended.
    public mutating func finish() -> String {
        assembler.finish()
    }
}
