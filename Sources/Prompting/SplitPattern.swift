/// How a pre-tokenizer cuts text into the pieces that BPE works on.
///
/// Files state the rule as a regular expression. The ones in use are few, so each is recognised by
/// its exact text and run as a hand-written scanner.
enum SplitPattern: Equatable, Sendable {
    /// Llama-3, and Qwen2 with `digits: 1`.
    case words(digits: Int)
    /// GPT-2, which is also what the ByteLevel pre-tokenizer does by itself.
    case gpt2
    /// Numbers apart from the rest: each digit by itself, or whole runs.
    case digits(single: Bool)
    /// Before each scalar that equals `marker`.
    case beforeMarker(UInt32)
    /// Before each run of `marker`, unless the scalar in front of it is one of `except`.
    case beforeMarkerRun(UInt32, except: Set<UInt32>)

    static let known: [(text: String, name: String, pattern: SplitPattern)] = [
        (wordsText(numbers: #"\p{N}{1,3}"#), "Llama-3", .words(digits: 3)),
        (wordsText(numbers: #"\p{N}"#), "Qwen2", .words(digits: 1)),
        (
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
            "GPT-2", .gpt2
        ),
    ]

    /// The regular expression of ``words(digits:)`` with its part for numbers.
    static func wordsText(numbers: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
}

/// Finds the pieces of a text one after another.
struct PieceScanner {
    let view: ScalarView
    let end: Int
    private let table: UnsafeMutablePointer<UInt8>

    /// - Parameter bytes: valid UTF-8; the scanner sees nothing beyond it.
    init(_ bytes: UnsafeBufferPointer<UInt8>, classes: ScalarClasses) {
        view = ScalarView(bytes: bytes)
        end = bytes.count
        table = classes.table
    }

    private static let letter = ScalarClasses.letter
    private static let number = ScalarClasses.number
    private static let space = ScalarClasses.space
    private static let newline = ScalarClasses.newline
    private static let word = ScalarClasses.letter | ScalarClasses.number | ScalarClasses.space

    @inline(__always)
    private func classes(at index: Int) -> (classes: UInt8, length: Int) {
        let first = view.bytes[index]
        if first < 0x80 { return (table[Int(first)], 1) }
        let (value, length) = view.scalar(at: index)
        return (value < UInt32(ScalarClasses.limit) ? table[Int(value)] : 0, length)
    }

    /// The end of the piece that starts at `start`, which must be before the end of the text.
    @inline(__always)
    func pieceEnd(from start: Int, _ pattern: SplitPattern) -> Int {
        switch pattern {
        case .words(let digits): wordsEnd(from: start, digits: digits)
        case .gpt2: gpt2End(from: start)
        case .digits(let single): digitsEnd(from: start, single: single)
        case .beforeMarker(let marker): markerEnd(from: start, marker)
        case .beforeMarkerRun(let marker, let except):
            markerRunEnd(from: start, marker, except: except)
        }
    }

    /// Consumes the scalars that have a class of `mask` (or, with `none`, have none of it).
    @inline(__always)
    private func run(from start: Int, _ mask: UInt8, none: Bool = false) -> Int {
        var index = start
        while index < end {
            let (found, length) = classes(at: index)
            if (found & mask == 0) != none { break }
            index += length
        }
        return index
    }

    private func wordsEnd(from start: Int, digits: Int) -> Int {
        let (first, length) = classes(at: start)
        let next = start + length
        if view.bytes[start] == UInt8(ascii: "'"),
            let end = contractionEnd(from: start, ignoringCase: true)
        {
            return end
        }
        if first & Self.letter != 0 { return run(from: next, Self.letter) }
        if first & Self.number != 0 {
            var (index, count) = (next, 1)
            while count < digits, index < end {
                let (found, length) = classes(at: index)
                if found & Self.number == 0 { break }
                (index, count) = (index + length, count + 1)
            }
            return index
        }
        let following = next < end ? classes(at: next).classes : Self.space
        if first & Self.newline == 0, next < end, following & Self.letter != 0 {
            return run(from: next, Self.letter)
        }
        if first & Self.space == 0
            || (view.bytes[start] == 0x20 && next < end && following & Self.word == 0)
        {
            return run(from: run(from: next, Self.word, none: true), Self.newline)
        }
        return spaceEnd(from: start, keepingNewlines: true)
    }

    private func gpt2End(from start: Int) -> Int {
        if view.bytes[start] == UInt8(ascii: "'"),
            let end = contractionEnd(from: start, ignoringCase: false)
        {
            return end
        }
        // An optional blank belongs to the run that follows it.
        var body = start
        if view.bytes[start] == 0x20, start + 1 < end { body += 1 }
        let (first, length) = classes(at: body)
        if first & Self.letter != 0 { return run(from: body + length, Self.letter) }
        if first & Self.number != 0 { return run(from: body + length, Self.number) }
        if first & Self.space == 0 { return run(from: body + length, Self.word, none: true) }
        return spaceEnd(from: start, keepingNewlines: false)
    }

    /// White space: up to the last line break where those are kept together (`\s*[\r\n]+`), else
    /// all but the blank that belongs to the next word (`\s+(?!\S)`), else all of it.
    private func spaceEnd(from start: Int, keepingNewlines: Bool) -> Int {
        var index = start
        var last = start  // start of the run's last scalar
        var afterNewline = start
        while index < end {
            let (found, length) = classes(at: index)
            if found & Self.space == 0 { break }
            last = index
            index += length
            if found & Self.newline != 0 { afterNewline = index }
        }
        if keepingNewlines, afterNewline > start { return afterNewline }
        return index == end || last == start ? index : last
    }

    /// The end of `'s 't 're 've 'm 'll 'd` at `start`. Ignoring case, the long s is an s too.
    private func contractionEnd(from start: Int, ignoringCase: Bool) -> Int? {
        @inline(__always)
        func byte(_ offset: Int) -> UInt8 {
            guard start + offset < end else { return 0 }
            let byte = view.bytes[start + offset]
            return ignoringCase && (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
        }
        switch (byte(1), byte(2)) {
        case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _),
            (UInt8(ascii: "d"), _):
            return start + 2
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return start + 3
        case (0xC5, 0xBF): return ignoringCase ? start + 3 : nil  // ſ
        default: return nil
        }
    }

    private func digitsEnd(from start: Int, single: Bool) -> Int {
        let (first, length) = classes(at: start)
        if first & Self.number == 0 { return run(from: start + length, Self.number, none: true) }
        return single ? start + length : run(from: start + length, Self.number)
    }

    private func markerEnd(from start: Int, _ marker: UInt32) -> Int {
        var index = start + view.scalar(at: start).length
        while index < end {
            let (value, length) = view.scalar(at: index)
            if value == marker { break }
            index += length
        }
        return index
    }

    private func markerRunEnd(from start: Int, _ marker: UInt32, except: Set<UInt32>) -> Int {
        var (last, index) = view.scalar(at: start)
        index += start
        while index < end {
            let (value, length) = view.scalar(at: index)
            if value == marker, last != marker, except.isEmpty || !except.contains(last) { break }
            last = value
            index += length
        }
        return index
    }
}
