import Codecs
import Foundation

/// A file of records, JSON array or JSONL, of any size.
///
/// Opening it maps the file and finds the records by one pass over the bytes; a record is decoded when it is
/// asked for. A broken record is that record's error alone. Safe to share between threads.
public final class RecordFile: Sendable {
    /// The file.
    public let path: String
    /// Number of records, broken ones included.
    public var count: Int { index.starts.count }
    /// A hexadecimal hash of the file's size, time and samples of its bytes.
    public let fingerprint: String
    /// How large a record may be.
    public let limits: RecordLimits

    private let file: MappedFile
    private let index: RecordIndex

    /// Opens a file. Where it is large, its index is kept beside it in `.NAME.vlsa-index` (quietly not, in a
    /// folder that cannot be written to) and used again while size, time and sampled bytes are the same.
    public init(
        path: String, limits: RecordLimits = RecordLimits(), keepsIndexFrom bytes: Int = 8 << 20
    ) throws {
        self.path = path
        self.limits = limits
        file = try MappedFile(path: path)
        let key = RecordIndexFile.Key(file)
        fingerprint = key.fingerprint
        let cache = RecordIndexFile(path: path)
        if file.bytes.count >= bytes, let kept = cache.read(key) {
            index = kept
        } else {
            index = try RecordScanner.scan(file.bytes, path: path)
            if file.bytes.count >= bytes { cache.write(index, key) }
        }
    }

    /// The record at a position below ``count``; throws a ``Rejection`` that names it.
    public func record(at position: Int) throws(Rejection) -> Record {
        let bytes = bytes(at: position)
        do throws(RecordProblem) {
            guard bytes.count <= limits.bytes else {
                throw RecordProblem(
                    kind: .malformed,
                    reason: "\(bytes.count) bytes, over the limit of \(limits.bytes)")
            }
            let value: JSONValue
            do {
                value = try JSONParser.parse(bytes, depthLimit: limits.depth)
            } catch {
                let offset = Int(index.starts[position]) + error.offset
                throw RecordProblem(
                    kind: .malformed, reason: "\(error.text) (byte \(offset) of the file)")
            }
            return try Record(value, index: position)
        } catch {
            throw error.rejection(file: path, index: position, id: nil)
        }
    }

    /// The record's JSON as it stands in the file; valid as long as this object.
    func bytes(at position: Int) -> UnsafeRawBufferPointer {
        guard index.starts.indices.contains(position) else {
            fatalError("RecordFile: record \(position) of \(count) in \(path)")
        }
        let start = Int(index.starts[position])
        return UnsafeRawBufferPointer(
            rebasing: file.bytes[start..<start + Int(index.lengths[position])])
    }

    /// Hash of the id of a record as the file spells it, without decoding it; 0 where it has none.
    func idHash(at position: Int) -> UInt64 { index.ids[position] }

    /// Positions whose id an earlier record already has.
    public func duplicatePositions() -> [Int] {
        var seen = Set<UInt64>(minimumCapacity: count)
        return (0..<count).filter { index.ids[$0] != 0 && !seen.insert(index.ids[$0]).inserted }
    }
}

/// The index kept beside a record file.
struct RecordIndexFile {
    /// What must be the same for a kept index to be used.
    struct Key: Equatable {
        var size: UInt64
        var modified: Int64
        var sample: UInt64

        /// Size, time, and a hash of 64 blocks of 4 KiB spread over the file with its end.
        init(_ file: MappedFile) {
            let bytes = file.bytes
            size = UInt64(bytes.count)
            modified = file.modified
            let block = 4096
            let step = max(block, bytes.count / 64)
            var hash: UInt64 = 0
            for start in Swift.stride(from: 0, to: bytes.count, by: step) + [
                max(0, bytes.count - block)
            ] {
                let part = bytes[start..<min(bytes.count, start + block)]
                hash = stableHash(UnsafeRawBufferPointer(rebasing: part), seed: hash)
            }
            sample = hash
        }

        /// Independent of the time, so that a copy of a file counts as the same.
        var fingerprint: String { String(stableHash("\(size)", seed: sample), radix: 16) }
    }

    private let path: String
    private static let mark: [UInt64] = [0x31_78_64_69_61_73_6C_76]  // "vlsaidx1"

    init(path: String) {
        let folder = (path as NSString).deletingLastPathComponent
        let name = ".\((path as NSString).lastPathComponent).vlsa-index"
        self.path = folder.isEmpty ? name : "\(folder)/\(name)"
    }

    /// The kept index, if it was made for `key` and is whole.
    func read(_ key: Key) -> RecordIndex? {
        guard let file = try? MappedFile(path: path) else { return nil }
        let words = file.bytes.count / 8
        let header = Self.header(key, count: 0).count
        guard words > header, file.bytes.count % 8 == 0 else { return nil }
        func word(_ position: Int) -> UInt64 {
            file.bytes.loadUnaligned(fromByteOffset: 8 * position, as: UInt64.self)
        }
        guard let count = Int(exactly: word(header - 1)), count < words,
            words == header + 3 * count + 1,
            (0..<header).map(word) == Self.header(key, count: count),
            word(words - 1)
                == stableHash(UnsafeRawBufferPointer(rebasing: file.bytes[..<(8 * (words - 1))]))
        else { return nil }
        var index = RecordIndex()
        index.starts = (0..<count).map { word(header + $0) }
        index.lengths = (0..<count).map { UInt32(truncatingIfNeeded: word(header + count + $0)) }
        index.ids = (0..<count).map { word(header + 2 * count + $0) }
        guard zip(index.starts, index.lengths).allSatisfy({ $0 + UInt64($1) <= key.size }) else {
            return nil
        }
        return index
    }

    /// Keeps an index; a folder that cannot be written to keeps none.
    func write(_ index: RecordIndex, _ key: Key) {
        var words = Self.header(key, count: index.starts.count)
        words += index.starts
        words += index.lengths.map(UInt64.init)
        words += index.ids
        words.append(words.withUnsafeBytes { stableHash($0) })
        try? AtomicFile.write(words.withUnsafeBytes { Array($0) }, to: path)
    }

    private static func header(_ key: Key, count: Int) -> [UInt64] {
        mark + [key.size, UInt64(bitPattern: key.modified), key.sample, UInt64(count)]
    }
}
