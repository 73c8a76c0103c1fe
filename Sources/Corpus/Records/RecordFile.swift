import Foundation
import Synchronization

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
    /// Bytes of records decoded so far: now and then the pages they came from are given back, so that a file
    /// larger than memory can be read from end to end.
    private let decoded = Atomic<Int>(0)
    private static let keptBytes = 64 << 20

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
        if file.count >= bytes, let kept = cache.read(key) {
            index = kept
        } else {
            let file = file
            index = try file.withBytes { (bytes) throws(CorpusError) in
                try RecordScanner.scan(bytes, path: path) { file.release(upTo: $0) }
            }
            file.release()
            if file.count >= bytes { cache.write(index, key) }
        }
    }

    /// The record at a position below ``count``; throws a ``Rejection`` that names it.
    public func record(at position: Int) throws(Rejection) -> Record {
        guard index.starts.indices.contains(position) else {
            fatalError("RecordFile: record \(position) of \(count) in \(path)")
        }
        do throws(RecordProblem) {
            return try Record(try json(at: position), index: position)
        } catch {
            throw error.rejection(file: path, index: position, id: nil)
        }
    }

    private func json(at position: Int) throws(RecordProblem) -> JSONValue {
        let (start, length) = (Int(index.starts[position]), Int(index.lengths[position]))
        guard length <= limits.bytes else {
            throw RecordProblem(
                kind: .malformed, reason: "\(length) bytes, over the limit of \(limits.bytes)")
        }
        let total = decoded.add(length, ordering: .relaxed)
        if total.newValue / Self.keptBytes != total.oldValue / Self.keptBytes { file.release() }
        do {
            return try file.withBytes { (bytes) throws(JSONProblem) in
                try JSONParser.parse(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]),
                    depthLimit: limits.depth)
            }
        } catch {
            throw RecordProblem(
                kind: .malformed,
                reason: "\(error.text) (byte \(start + error.offset) of the file)")
        }
    }

    /// Hash of the text of a record's id, without decoding the record; 0 where it has none.
    func idHash(at position: Int) -> UInt64 { index.ids[position] }

    /// Positions whose id an earlier record already has.
    public func duplicatePositions() -> [Int] {
        var seen = Set<UInt64>(minimumCapacity: count)
        return (0..<count).filter { index.ids[$0] != 0 && !seen.insert(index.ids[$0]).inserted }
    }
}
