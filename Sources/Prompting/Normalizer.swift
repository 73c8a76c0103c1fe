/// What a tokenizer does to text before cutting it: the `normalizer` part of its file.
struct Normalizer: Sendable {
    enum Step: Equatable, Sendable {
        case nfc
        case prepend([UInt8])
        case replace([UInt8], with: [UInt8])
    }

    let steps: [Step]

    init(_ node: JSONNode?) throws {
        steps = try node.map(Self.steps) ?? []
    }

    private static func steps(_ node: JSONNode) throws -> [Step] {
        switch try node.member("type").text() {
        case "Sequence":
            return try node.member("normalizers").elements().flatMap(steps)
        case "NFC": return [.nfc]
        case "Prepend": return [.prepend(try node.member("prepend").bytes())]
        case "Replace":
            let pattern = try node.member("pattern")
            guard let text = try pattern.optional("String")?.bytes() else {
                throw pattern.unsupported("a Replace by regular expression", supported: "String")
            }
            guard !text.isEmpty else { throw pattern.failure("the pattern is empty") }
            return [.replace(text, with: try node.member("content").bytes())]
        case let type:
            throw node.unsupported(
                "the normalizer \(type)", supported: "NFC, Prepend, Replace, Sequence")
        }
    }

    /// The normalized text.
    ///
    /// - Parameter continuing: the text goes on where other text ended, so nothing is put before it.
    func normalized(_ text: [UInt8], continuing: Bool) -> [UInt8] {
        var text = text
        for step in steps {
            switch step {
            case .nfc:
                if !text.withUnsafeBufferPointer(Self.isPlainlyComposed) {
                    text = CanonicalComposition.composed(text)
                }
            case .prepend(let prefix):
                if !continuing, !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
            case .replace(let pattern, let content):
                text = Self.replacing(pattern, with: content, in: text)
            }
        }
        return text
    }

    /// True when every scalar is of a block in which nothing composes with what surrounds it.
    private static func isPlainlyComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        let view = ScalarView(bytes: text)
        var index = 0
        while index < text.count {
            if text[index] < 0x80 {
                index += 1
                continue
            }
            let (value, length) = view.scalar(at: index)
            switch value {
            case 0..<0x300,  // Latin
                0x400..<0x483,  // Cyrillic
                0x2010..<0x2028,  // punctuation
                0x3041..<0x3097, 0x30A1..<0x30FB,  // kana
                0x4E00..<0xA000,  // CJK ideographs
                0xFF01..<0xFF5F:  // full-width forms
                index += length
            default: return false
            }
        }
        return true
    }

    static func replacing(
        _ pattern: [UInt8], with content: [UInt8], in text: [UInt8]
    ) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 2)
        var index = 0
        while index < text.count {
            if text[index] == pattern[0],
                pattern.count == 1 || text[index...].starts(with: pattern)
            {
                result.append(contentsOf: content)
                index += pattern.count
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return result
    }
}
