import Codecs
import Foundation

/// Where the records of a file lie.
struct RecordIndex: Equatable {
    /// First byte of each record.
    var starts: [UInt64] = []
    /// Bytes of each record.
    var lengths: [UInt32] = []
    /// Hash of the text of each record's `id`; 0 where there is none.
    var ids: [UInt64] = []

    mutating func append(_ range: Range<Int>, id: UInt64, path: String) throws(CorpusError) {
        guard let length = UInt32(exactly: range.count) else {
            throw .file(path: path, problem: "record \(starts.count) is over 4 GB")
        }
        starts.append(UInt64(range.lowerBound))
        lengths.append(length)
        ids.append(id)
    }
}

/// Finds the records of a JSON array or JSONL file by one pass over its bytes, without decoding them.
///
/// Only quotes, brackets and commas count, so a record may be broken inside and the next is still found.
struct RecordScanner {
    private let bytes: UnsafeRawBufferPointer
    private let path: String
    private let passed: (Int) -> Void
    private var position = 0
    private var reported = 0

    /// Scans a whole file. `passed` is told now and then which offset nothing more before is looked at.
    static func scan(
        _ bytes: UnsafeRawBufferPointer, path: String, passed: @escaping (Int) -> Void = { _ in }
    ) throws(CorpusError) -> RecordIndex {
        var scanner = RecordScanner(bytes: bytes, path: path, passed: passed)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { scanner.position = 3 }
        scanner.skipSpace()
        guard let first = scanner.next else { throw .file(path: path, problem: "holds no records") }
        return first == UInt8(ascii: "[") ? try scanner.array() : try scanner.lines()
    }

    private init(bytes: UnsafeRawBufferPointer, path: String, passed: @escaping (Int) -> Void) {
        (self.bytes, self.path, self.passed) = (bytes, path, passed)
    }

    private mutating func report() {
        guard position - reported > 32 << 20 else { return }
        reported = position
        passed(position)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            position += 1
        }
    }

    // MARK: JSONL

    private mutating func lines() throws(CorpusError) -> RecordIndex {
        var index = RecordIndex()
        while true {
            skipSpace()
            guard position < bytes.count else { return index }
            let start = position
            let end = find(UInt8(ascii: "\n"), from: start, to: bytes.count) ?? bytes.count
            var last = end
            while bytes[last - 1] == 0x20 || bytes[last - 1] == 0x0D || bytes[last - 1] == 0x09 {
                last -= 1
            }
            var id: UInt64 = 0
            if bytes[start] == UInt8(ascii: "{") {
                _ = skipNested(limit: last, id: &id, stopsAtID: true)
            }
            try index.append(start..<last, id: id, path: path)
            position = end
            report()
        }
    }

    // MARK: JSON array

    private mutating func array() throws(CorpusError) -> RecordIndex {
        var index = RecordIndex()
        func bad(_ problem: String, at offset: Int) -> CorpusError {
            .file(
                path: path,
                problem: "byte \(offset), after \(index.starts.count) records: \(problem)")
        }
        position += 1
        skipSpace()
        if next != UInt8(ascii: "]") {
            while true {
                skipSpace()
                let start = position
                var id: UInt64 = 0
                switch next {
                case nil: throw bad("the file ends inside its list; it is incomplete", at: start)
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    guard skipNested(limit: bytes.count, id: &id, stopsAtID: false) else {
                        throw bad("the record that starts here never ends", at: start)
                    }
                case UInt8(ascii: "\""):
                    guard skipString(limit: bytes.count) else {
                        throw bad("the string that starts here never ends", at: start)
                    }
                default:
                    while let byte = next, byte != UInt8(ascii: ","), byte != UInt8(ascii: "]") {
                        position += 1
                    }
                }
                try index.append(start..<position, id: id, path: path)
                report()
                skipSpace()
                if next == UInt8(ascii: "]") { break }
                guard next == UInt8(ascii: ",") else {
                    guard next != nil else {
                        throw bad("the file ends inside its list; it is incomplete", at: position)
                    }
                    throw bad("',' or ']' should be here", at: position)
                }
                position += 1
            }
        }
        position += 1
        skipSpace()
        guard position >= bytes.count else { throw bad("text after the list", at: position) }
        return index
    }

    // MARK: Values

    /// Moves past a string's closing quote; false where there is none before `limit`.
    private mutating func skipString(limit: Int) -> Bool {
        var from = position + 1
        while let quote = find(UInt8(ascii: "\""), from: from, to: limit) {
            var backslashes = 0
            while bytes[quote - 1 - backslashes] == UInt8(ascii: "\\") { backslashes += 1 }
            if backslashes % 2 == 0 {
                position = quote + 1
                return true
            }
            from = quote + 1
        }
        return false
    }

    /// Moves past the object or list that starts here, noting its own `id`; false where it does not end
    /// before `limit`.
    private mutating func skipNested(limit: Int, id: inout UInt64, stopsAtID: Bool) -> Bool {
        var depth = 0
        while position < limit {
            switch bytes[position] {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                position += 1
                if depth == 0 { return true }
            case UInt8(ascii: "\""):
                let start = position
                guard skipString(limit: limit) else { return false }
                if depth == 1, id == 0, position == start + 4,
                    bytes[start + 1] == UInt8(ascii: "i"),
                    bytes[start + 2] == UInt8(ascii: "d"), let hash = valueHash(limit: limit)
                {
                    id = hash
                    if stopsAtID { return true }
                }
            default: position += 1
            }
        }
        return false
    }

    /// Hash of the string or number after a key and its colon; nil where no colon follows.
    private func valueHash(limit: Int) -> UInt64? {
        var ahead = self
        ahead.skipSpace()
        guard ahead.next == UInt8(ascii: ":") else { return nil }
        ahead.position += 1
        ahead.skipSpace()
        let start = ahead.position
        if ahead.next == UInt8(ascii: "\"") {
            guard ahead.skipString(limit: limit) else { return nil }
            let spelling = UnsafeRawBufferPointer(rebasing: bytes[start..<ahead.position])
            if spelling.contains(UInt8(ascii: "\\")),
                case .string(let text)? = try? JSONParser.parse(spelling, depthLimit: 1)
            {
                return stableHash(text)
            }
            return stableHash(UnsafeRawBufferPointer(rebasing: spelling.dropFirst().dropLast()))
        }
        while let byte = ahead.next, byte != UInt8(ascii: ","), byte != UInt8(ascii: "}"),
            byte > 0x20
        {
            ahead.position += 1
        }
        let value = bytes[start..<min(ahead.position, limit)]
        return value.elementsEqual("null".utf8)
            ? nil : stableHash(UnsafeRawBufferPointer(rebasing: value))
    }

    private func find(_ byte: UInt8, from: Int, to: Int) -> Int? {
        guard from < to, let base = bytes.baseAddress,
            let found = memchr(base + from, Int32(byte), to - from)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
