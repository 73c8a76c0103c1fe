/// The values that occur in a safetensors header.
enum HeaderValue {
    case string(String)
    /// A non-negative whole number written without point or exponent.
    case integer(Int)
    case array([HeaderValue])
    case object([(String, HeaderValue)])
    case null
    /// Any other number, or a boolean: legal JSON, but of no use here.
    case other
}

/// A strict JSON reader for safetensors headers.
///
/// Foundation's decoders take 6.0 for an integer and lose duplicate keys; both must be told apart here.
/// Nothing is allocated beyond what the text itself spells out, and nesting is bounded.
struct HeaderReader {
    struct Failure: Error {
        var reason: String
    }

    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private static let deepest = 16

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The whole text as one value, white space around it allowed.
    mutating func document() throws(Failure) -> HeaderValue {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Failure(reason: "not UTF-8 text")
        }
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("characters after the end") }
        return value
    }

    private func failure(_ reason: String) -> Failure {
        Failure(reason: "not JSON: \(reason) at byte \(position)")
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(Failure) {
        skipSpace()
        guard next == UInt8(ascii: character) else { throw failure("no \"\(character)\"") }
        position += 1
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(Failure) -> HeaderValue {
        guard depth < Self.deepest else { throw failure("too deeply nested") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "t"): return try word("true", .other)
        case UInt8(ascii: "f"): return try word("false", .other)
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(Failure) -> HeaderValue {
        try expect("{")
        var fields: [(String, HeaderValue)] = []
        if take("}") { return .object(fields) }
        repeat {
            skipSpace()
            let key = try string()
            try expect(":")
            fields.append((key, try value(depth: depth + 1)))
        } while take(",")
        try expect("}")
        return .object(fields)
    }

    private mutating func array(depth: Int) throws(Failure) -> HeaderValue {
        try expect("[")
        var items: [HeaderValue] = []
        if take("]") { return .array(items) }
        repeat {
            items.append(try value(depth: depth + 1))
        } while take(",")
        try expect("]")
        return .array(items)
    }

    private mutating func word(_ text: StaticString, _ value: HeaderValue) throws(Failure)
        -> HeaderValue
    {
        for offset in 0..<text.utf8CodeUnitCount {
            guard next == text.utf8Start[offset] else { throw failure("no \(text)") }
            position += 1
        }
        return value
    }

    private mutating func digits() throws(Failure) -> Range<Int> {
        let start = position
        while let byte = next, (0x30...0x39).contains(byte) { position += 1 }
        guard position > start else { throw failure("no value") }
        return start..<position
    }

    private mutating func number() throws(Failure) -> HeaderValue {
        let negative = next == UInt8(ascii: "-")
        if negative { position += 1 }
        let whole = try digits()
        guard whole.count == 1 || bytes[whole.lowerBound] != 0x30 else {
            throw failure("a number with a leading zero")
        }
        var isInteger = !negative
        if next == UInt8(ascii: ".") {
            position += 1
            _ = try digits()
            isInteger = false
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            _ = try digits()
            isInteger = false
        }
        guard isInteger else { return .other }
        let text = String(decoding: bytes[whole], as: UTF8.self)
        guard let integer = Int(text) else { throw failure("a number that is too large") }
        return .integer(integer)
    }

    private mutating func string() throws(Failure) -> String {
        guard next == UInt8(ascii: "\"") else { throw failure("no string") }
        position += 1
        var utf8: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: utf8, as: UTF8.self)
            case UInt8(ascii: "\\"): utf8.append(contentsOf: try escaped())
            case 0..<0x20: throw failure("a control character in a string")
            default: utf8.append(byte)
            }
        }
        throw failure("a string without end")
    }

    private mutating func escaped() throws(Failure) -> [UInt8] {
        guard let kind = next else { throw failure("a string without end") }
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [kind]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return try escapedScalar()
        default: throw failure("an unknown escape")
        }
    }

    private mutating func escapedScalar() throws(Failure) -> [UInt8] {
        var code = try fourHexDigits()
        if (0xD800..<0xDC00).contains(code) {
            guard next == UInt8(ascii: "\\") else { throw failure("half a surrogate pair") }
            position += 1
            guard next == UInt8(ascii: "u") else { throw failure("half a surrogate pair") }
            position += 1
            let low = try fourHexDigits()
            guard (0xDC00..<0xE000).contains(low) else { throw failure("half a surrogate pair") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
        return Array(String(scalar).utf8)
    }

    private mutating func fourHexDigits() throws(Failure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("a bad \\u escape")
            }
            position += 1
            code = code << 4 + UInt32(digit)
        }
        return code
    }
}
