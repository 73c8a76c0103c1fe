/// Why bytes are not the JSON value they should be.
struct JSONProblem: Error, Equatable {
    /// Where, in bytes from the start of the value.
    let offset: Int
    /// What is wrong there.
    let text: String
}

/// Parses one strict JSON value: UTF-8 only, a bounded depth, every key once.
struct JSONParser {
    private let bytes: UnsafeRawBufferPointer
    private let depthLimit: Int
    private var position = 0

    private init(_ bytes: UnsafeRawBufferPointer, depthLimit: Int) {
        (self.bytes, self.depthLimit) = (bytes, depthLimit)
    }

    /// The value that `bytes` hold, with nothing but white space around it.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, depthLimit: Int
    ) throws(JSONProblem) -> JSONValue {
        var parser = JSONParser(bytes, depthLimit: depthLimit)
        let value = try parser.value(depth: 1)
        parser.skipSpace()
        guard parser.position == bytes.count else { throw parser.problem("text after the value") }
        return value
    }

    private func problem(_ text: String, at offset: Int? = nil) -> JSONProblem {
        JSONProblem(offset: offset ?? position, text: text)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    private mutating func accept(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONProblem) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"):
            guard depth <= depthLimit else {
                throw problem("nested deeper than \(depthLimit) levels")
            }
            return .object(try object(depth: depth))
        case UInt8(ascii: "["):
            guard depth <= depthLimit else {
                throw problem("nested deeper than \(depthLimit) levels")
            }
            return .array(try array(depth: depth))
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw problem("the text ends where a value should be")
        default: return .number(try number())
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONProblem) -> JSONValue
    {
        guard bytes[position...].starts(with: word.utf8) else { throw problem("not a JSON value") }
        position += word.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONProblem) -> JSONObject {
        position += 1
        var object = JSONObject()
        skipSpace()
        if accept("}") { return object }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else {
                throw problem("a key in quotes should be here")
            }
            let start = position
            let key = try string()
            skipSpace()
            guard accept(":") else { throw problem("':' should follow a key") }
            let value = try value(depth: depth + 1)
            guard object[key] == nil else {
                throw problem("the key \"\(key)\" comes twice", at: start)
            }
            object.members.append(.init(key, value))
            guard object.members.count <= 4096 else { throw problem("an object of over 4096 keys") }
            skipSpace()
            if accept("}") { return object }
            guard accept(",") else { throw problem("',' or '}' should be here") }
        }
    }

    private mutating func array(depth: Int) throws(JSONProblem) -> [JSONValue] {
        position += 1
        var values: [JSONValue] = []
        skipSpace()
        if accept("]") { return values }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if accept("]") { return values }
            guard accept(",") else { throw problem("',' or ']' should be here") }
        }
    }

    private mutating func number() throws(JSONProblem) -> String {
        let start = position
        func digits(_ parser: inout JSONParser) -> Int {
            let first = parser.position
            while let byte = parser.next, (0x30...0x39).contains(byte) { parser.position += 1 }
            return parser.position - first
        }
        _ = accept("-")
        let leadsWithZero = next == UInt8(ascii: "0")
        let whole = digits(&self)
        guard whole == 1 || (whole > 1 && !leadsWithZero) else {
            throw problem("not a JSON value", at: start)
        }
        if accept(".") {
            guard digits(&self) > 0 else { throw problem("not a number", at: start) }
        }
        if accept("e") || accept("E") {
            if !accept("+") { _ = accept("-") }
            guard digits(&self) > 0 else { throw problem("not a number", at: start) }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func string() throws(JSONProblem) -> String {
        position += 1
        let start = position
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20
        {
            position += 1
        }
        if next == UInt8(ascii: "\"") {  // no escapes: most strings
            position += 1
            return try text(
                UnsafeRawBufferPointer(rebasing: bytes[start..<position - 1]), from: start)
        }
        var unescaped = Array(bytes[start..<position])
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                return try text(unescaped, from: start)
            case UInt8(ascii: "\\"): try escape(into: &unescaped)
            case 0x20...: unescaped.append(byte)
            default: throw problem("a control character inside a string", at: position - 1)
            }
        }
        throw problem("a string without its closing quote", at: start - 1)
    }

    private func text(
        _ raw: some Sequence<UInt8>, from start: Int
    ) throws(JSONProblem) -> String {
        guard let text = String(validating: raw, as: UTF8.self) else {
            throw problem("a string that is not valid UTF-8", at: start - 1)
        }
        return text
    }

    private mutating func escape(into output: inout [UInt8]) throws(JSONProblem) {
        let start = position - 1
        guard let byte = next else { throw problem("the text ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(byte)
        case UInt8(ascii: "b"): output.append(8)
        case UInt8(ascii: "f"): output.append(12)
        case UInt8(ascii: "n"): output.append(10)
        case UInt8(ascii: "r"): output.append(13)
        case UInt8(ascii: "t"): output.append(9)
        case UInt8(ascii: "u"):
            var code = UInt32(try hexadecimal())
            if (0xD800..<0xDC00).contains(code) {
                guard accept("\\"), accept("u") else {
                    throw problem("half a surrogate pair", at: start)
                }
                let low = UInt32(try hexadecimal())
                guard (0xDC00..<0xE000).contains(low) else {
                    throw problem("half a surrogate pair", at: start)
                }
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw problem("half a surrogate pair", at: start)
            }
            output.append(contentsOf: String(Character(scalar)).utf8)
        default: throw problem("an unknown escape", at: start)
        }
    }

    private mutating func hexadecimal() throws(JSONProblem) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
                byte < 0x80
            else { throw problem("\\u needs four hexadecimal digits") }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}
