import Codecs
import Foundation

/// The index kept beside a record file.
struct RecordIndexFile {
    /// What must be the same for a kept index to be used.
    struct Key: Equatable {
        var size: UInt64
        var modified: Int64
        var sample: UInt64

        /// Size, time, and a hash of 64 blocks of 4 KiB spread over the file with its end.
        init(_ file: MappedFile) {
            size = UInt64(file.count)
            modified = file.modified
            sample = file.withBytes { Self.sample($0) }
        }

        private static func sample(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
            let block = 4096
            let step = max(block, bytes.count / 64)
            var hash: UInt64 = 0
            for start in Swift.stride(from: 0, to: bytes.count, by: step) + [
                max(0, bytes.count - block)
            ] {
                let part = bytes[start..<min(bytes.count, start + block)]
                hash = stableHash(UnsafeRawBufferPointer(rebasing: part), seed: hash)
            }
            return hash
        }

        /// Independent of the time, so that a copy of a file counts as the same.
        var fingerprint: String { String(stableHash("\(size)", seed: sample), radix: 16) }
    }

    private let path: String
    private static let mark: [UInt64] = [0x32_78_64_69_61_73_6C_76]  // "vlsaidx2"

    init(path: String) {
        let folder = (path as NSString).deletingLastPathComponent
        let name = ".\((path as NSString).lastPathComponent).vlsa-index"
        self.path = folder.isEmpty ? name : "\(folder)/\(name)"
    }

    /// The kept index, if it was made for `key` and is whole.
    func read(_ key: Key) -> RecordIndex? {
        guard let file = try? MappedFile(path: path), file.count % 8 == 0 else { return nil }
        let words = file.withBytes { bytes in
            stride(from: 0, to: bytes.count, by: 8).map {
                bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self)
            }
        }
        let header = Self.header(key, count: 0).count
        guard words.count > header, let count = Int(exactly: words[header - 1]),
            count < words.count,
            words.count == header + 3 * count + 1,
            Array(words[..<header]) == Self.header(key, count: count),
            words.last == words.dropLast().withUnsafeBytes({ stableHash($0) })
        else { return nil }
        let index = RecordIndex(
            starts: Array(words[header..<header + count]),
            lengths: words[header + count..<header + 2 * count].map {
                UInt32(truncatingIfNeeded: $0)
            },
            ids: Array(words[header + 2 * count..<header + 3 * count]))
        let isInside = zip(index.starts, index.lengths).allSatisfy { start, length in
            UInt64(length) <= key.size && start <= key.size - UInt64(length)
        }
        return isInside ? index : nil
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
