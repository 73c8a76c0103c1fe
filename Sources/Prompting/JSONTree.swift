import Foundation

/// A JSON value whose strings are UTF-8 bytes.
///
/// Swift strings compare by canonical equivalence, under which two entries of a vocabulary can be
/// equal; bytes keep them apart. Members keep their order, so that a file can be written back.
enum JSONTree: Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case real(Double)
    case string([UInt8])
    case array([JSONTree])
    case object([Member])

    struct Member: Sendable {
        var key: [UInt8]
        var value: JSONTree

        init(_ key: String, _ value: JSONTree) {
            self.init(key: Array(key.utf8), value: value)
        }

        init(key: [UInt8], value: JSONTree) {
            self.key = key
            self.value = value
        }
    }

    static func text(_ string: String) -> JSONTree { .string(Array(string.utf8)) }

    /// The member called `key`, if this is an object that has one.
    subscript(_ key: String) -> JSONTree? {
        get {
            guard case .object(let members) = self else { return nil }
            return members.last { $0.key.elementsEqual(key.utf8) }?.value
        }
        set {
            guard case .object(var members) = self else { return }
            let index = members.lastIndex { $0.key.elementsEqual(key.utf8) }
            switch (index, newValue) {
            case (let index?, let value?): members[index].value = value
            case (let index?, nil): members.remove(at: index)
            case (nil, let value?): members.append(Member(key, value))
            case (nil, nil): return
            }
            self = .object(members)
        }
    }
}

// MARK: - Reading

extension JSONTree {
    /// Parses a whole file. Throws ``PromptingError/malformed(file:key:problem:)`` with the line.
    init(parsing data: Data, file: String) throws {
        let bytes = [UInt8](data)
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw PromptingError.malformed(
                file: file, key: "the file", problem: "not UTF-8 text; is it a JSON file?")
        }
        self = try bytes.withUnsafeBufferPointer { buffer in
            var parser = JSONParser(bytes: buffer, file: file)
            return try parser.parseFile()
        }
    }
}

private struct JSONParser {
    let bytes: UnsafeBufferPointer<UInt8>
    let file: String
    var position = 0

    static let depthLimit = 128

    init(bytes: UnsafeBufferPointer<UInt8>, file: String) {
        self.bytes = bytes
        self.file = file
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    mutating func parseFile() throws -> JSONTree {
        let value = try parseValue(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("text after the end of the value") }
        return value
    }

    func failure(_ problem: String) -> PromptingError {
        let line = 1 + bytes[..<min(position, bytes.count)].reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
        let end = position >= bytes.count ? "the file ends too early; " : ""
        return .malformed(file: file, key: "line \(line)", problem: end + problem)
    }

    mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    mutating func accept(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    mutating func parseValue(depth: Int) throws -> JSONTree {
        guard depth < Self.depthLimit else {
            throw failure("nested deeper than \(Self.depthLimit) levels")
        }
        skipSpace()
        guard position < bytes.count else { throw failure("a value is missing") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try parseObject(depth: depth)
        case UInt8(ascii: "["): return try parseArray(depth: depth)
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        default: return try parseNumber()
        }
    }

    mutating func parseWord(_ word: String, _ value: JSONTree) throws -> JSONTree {
        guard bytes[position...].starts(with: word.utf8) else { throw failure("expected \(word)") }
        position += word.utf8.count
        return value
    }

    mutating func parseObject(depth: Int) throws -> JSONTree {
        position += 1
        var members: [JSONTree.Member] = []
        skipSpace()
        if accept(UInt8(ascii: "}")) { return .object([]) }
        repeat {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw failure("expected a key in quotes")
            }
            let key = try parseString()
            skipSpace()
            guard accept(UInt8(ascii: ":")) else { throw failure("expected ':' after a key") }
            members.append(.init(key: key, value: try parseValue(depth: depth + 1)))
            skipSpace()
        } while accept(UInt8(ascii: ","))
        guard accept(UInt8(ascii: "}")) else { throw failure("expected ',' or '}'") }
        return .object(members)
    }

    mutating func parseArray(depth: Int) throws -> JSONTree {
        position += 1
        var elements: [JSONTree] = []
        skipSpace()
        if accept(UInt8(ascii: "]")) { return .array([]) }
        repeat {
            elements.append(try parseValue(depth: depth + 1))
            skipSpace()
        } while accept(UInt8(ascii: ","))
        guard accept(UInt8(ascii: "]")) else { throw failure("expected ',' or ']'") }
        return .array(elements)
    }

    mutating func parseNumber() throws -> JSONTree {
        let start = position
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
                position += 1
                continue
            default: break
            }
            break
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if let integer = Int(text) { return .integer(integer) }
        guard let real = Double(text) else {
            position = start
            throw failure("expected a value")
        }
        return .real(real)
    }

    mutating func parseString() throws -> [UInt8] {
        position += 1
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "\""),
            bytes[position] != UInt8(ascii: "\\"), bytes[position] >= 0x20
        {
            position += 1
        }
        var result = Array(bytes[start..<position])
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                return result
            } else if byte == UInt8(ascii: "\\") {
                try parseEscape(into: &result)
            } else if byte < 0x20 {
                throw failure("a control character inside a string")
            } else {
                result.append(byte)
                position += 1
            }
        }
        throw failure("a string is not closed")
    }

    mutating func parseEscape(into result: inout [UInt8]) throws {
        guard position + 1 < bytes.count else { throw failure("a string is not closed") }
        let letter = bytes[position + 1]
        position += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(letter)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            var value = try parseHex()
            if (0xD800..<0xDC00).contains(value), bytes[position...].starts(with: [0x5C, 0x75]) {
                position += 2
                let low = try parseHex()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("half a \\u pair") }
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw failure("half a \\u pair") }
            result.append(contentsOf: UTF8.encode(scalar)!)
        default: throw failure("an unknown escape in a string")
        }
    }

    mutating func parseHex() throws -> UInt32 {
        guard position + 4 <= bytes.count else { throw failure("a \\u escape is cut off") }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("a \\u escape without four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}

// MARK: - Writing

extension JSONTree {
    /// Compact JSON in UTF-8, with the elements of the outermost object and array on own lines.
    func serialized() -> Data {
        var out: [UInt8] = []
        write(into: &out, depth: 0)
        out.append(0x0A)
        return Data(out)
    }

    private func write(into out: inout [UInt8], depth: Int) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): out.append(contentsOf: String(value).utf8)
        case .real(let value): out.append(contentsOf: "\(value)".utf8)
        case .string(let bytes): Self.write(string: bytes, into: &out)
        case .array(let elements):
            out.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                if depth < 2 { out.append(0x0A) }
                element.write(into: &out, depth: depth + 1)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let members):
            out.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                if depth < 2 { out.append(0x0A) }
                Self.write(string: member.key, into: &out)
                out.append(contentsOf: ": ".utf8)
                member.value.write(into: &out, depth: depth + 1)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func write(string bytes: [UInt8], into out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                out.append(UInt8(ascii: "\\"))
                out.append(byte)
            case 0x0A: out.append(contentsOf: "\\n".utf8)
            case 0..<0x20, 0x7F:
                let digits = String(byte, radix: 16)
                out.append(contentsOf: ("\\u00" + (digits.utf8.count < 2 ? "0" : "") + digits).utf8)
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
