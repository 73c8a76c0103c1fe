import Codecs
import Foundation
import Synchronization

/// Values kept on disk under keys that name everything they were computed from: picture bytes, network, size.
///
/// One file an entry, `FOLDER/ab/cdef…`, named by a hash of its key. An entry holds its key and a checksum: a
/// torn, damaged or foreign one counts as absent and is made anew, so a value never depends on the store. Any
/// number of threads and processes may read and write one folder; entries appear whole, by renaming. When the
/// entries outgrow ``limit``, those unused for longest are removed; what other processes write between two looks
/// at the folder can go beyond it for a while.
public final class ContentStore: Sendable {
    /// What a store was good for since it was opened.
    public struct Use: Equatable, Sendable {
        /// Values found.
        public var hits = 0
        /// Values asked for that were not there.
        public var misses = 0
        /// Entries found damaged, also counted as misses.
        public var damaged = 0
        /// Entries removed to stay within the limit.
        public var evicted = 0
        /// Why an entry could not be written, the first such reason; the value itself was not affected.
        public var problem: String?
    }

    private struct State {
        var use = Use()
        /// Bytes of disk under the folder at the last look; nil before the first.
        var size: Int?
        /// Bytes written since the last look.
        var written = 0
    }

    /// The folder, made where it is missing.
    public let folder: String
    /// Most bytes of disk for all entries; a small entry takes one block of the file system, often 4 KiB.
    public let limit: Int
    private let state = Mutex(State())

    /// Opens or makes the store in `folder`.
    public init(folder: String, limit: Int) throws(CorpusError) {
        guard limit > 0 else {
            throw .setting(name: "limit", problem: "\(limit) bytes is no room for a cache")
        }
        self.folder = folder
        self.limit = limit
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw .file(path: folder, problem: "cannot be made a cache folder")
        }
        guard access(folder, R_OK | W_OK | X_OK) == 0 else {
            throw .file(
                path: folder,
                problem: "cannot be used as a cache: \(String(cString: strerror(errno)))")
        }
    }

    /// How the store was used so far.
    public var use: Use { state.withLock { $0.use } }

    /// The value under `key`, made and stored where it is not there.
    public func value(
        of key: String, making make: () throws -> [UInt8]
    ) rethrows -> [UInt8] {
        if let known = value(of: key) { return known }
        let value = try make()
        insert(value, for: key)
        return value
    }

    /// The value under `key`; nil where there is none, or a damaged one.
    public func value(of key: String) -> [UInt8]? {
        let found = read(key)
        state.withLock { state in
            switch found {
            case .value: state.use.hits += 1
            case .absent: state.use.misses += 1
            case .damaged:
                state.use.misses += 1
                state.use.damaged += 1
            }
        }
        if case .value(let value) = found { return value }
        return nil
    }

    /// Stores a value. Where the disk refuses, ``use`` says why and nothing is stored.
    public func insert(_ value: [UInt8], for key: String) {
        let serial = Self.serials.withLock {
            $0 += 1
            return $0
        }
        let path = path(of: key)
        let temporary = "\(folder)/\(Self.temporaryPrefix)\(getpid())-\(serial)"
        do {
            try write(Self.entry(value, key: key), to: temporary, then: path)
        } catch {
            state.withLock { if $0.use.problem == nil { $0.use.problem = "\(error)" } }
            unlink(temporary)
            return
        }
        let isDue = state.withLock { state in
            state.written += Self.blocks(value.count + key.utf8.count + Self.overhead)
            guard let size = state.size else { return true }
            return size + state.written > limit
        }
        if isDue { sweep() }
    }

    // MARK: Entries

    // An entry is the mark, the key's length, the key, the value's length, the value, and a checksum of all before.
    private static let mark = Array("vlsakv01".utf8)
    private static let overhead = 32
    private static let temporaryPrefix = ".new-"
    // Of the process: several stores may be open on one folder.
    private static let serials = Mutex(0)

    private enum Found {
        case value([UInt8])
        case absent
        case damaged
    }

    private static func bytes(_ number: UInt64) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    private static func entry(_ value: [UInt8], key: String) -> [UInt8] {
        var entry = mark
        entry.reserveCapacity(value.count + key.utf8.count + overhead)
        entry += bytes(UInt64(key.utf8.count)) + Array(key.utf8)
        entry += bytes(UInt64(value.count))
        entry += value
        return entry + bytes(entry.withUnsafeBytes { stableHash($0) })
    }

    /// The value in an entry's bytes; nil where they are not an entry of `key`.
    private static func value(in entry: [UInt8], key: String) -> [UInt8]? {
        let name = Array(key.utf8)
        let start = mark.count + 8 + name.count + 8
        guard entry.count >= start + 8 else { return nil }
        let head =
            mark + bytes(UInt64(name.count)) + name
            + bytes(UInt64(entry.count - start - 8))
        guard entry.starts(with: head),
            entry.suffix(8).elementsEqual(
                bytes(entry.withUnsafeBytes { stableHash(.init(rebasing: $0.dropLast(8))) }))
        else { return nil }
        return Array(entry[start..<entry.count - 8])
    }

    private func path(of key: String) -> String {
        let name = [stableHash(key), stableHash(key, seed: 1)].map { hash in
            let digits = String(hash, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
        return "\(folder)/\(name.prefix(2))/\(name.dropFirst(2))"
    }

    private func read(_ key: String) -> Found {
        let descriptor = open(path(of: key), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .absent }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return .damaged
        }
        let size = Int(status.st_size)
        let entry = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let got = Foundation.read(descriptor, buffer.baseAddress! + count, size - count)
                if got < 0 && errno == EINTR { continue }
                guard got > 0 else { return }
                count += got
            }
        }
        guard let value = Self.value(in: entry, key: key) else { return .damaged }
        // The time says when it was last of use; once a minute is often enough.
        if time(nil) - status.st_mtim.tv_sec > 60 { futimens(descriptor, nil) }
        return .value(value)
    }

    private func write(_ entry: [UInt8], to temporary: String, then path: String)
        throws(CorpusError)
    {
        func failure() -> CorpusError {
            .file(path: folder, problem: "cannot be written: \(String(cString: strerror(errno)))")
        }
        let parent = (path as NSString).deletingLastPathComponent
        guard mkdir(parent, 0o755) == 0 || errno == EEXIST else { throw failure() }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure() }
        let isWhole = entry.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let count = Foundation.write(
                    descriptor, bytes.baseAddress! + offset, bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                offset += count
            }
            return true
        }
        let problem = isWhole ? nil : failure()
        close(descriptor)
        if let problem { throw problem }
        guard rename(temporary, path) == 0 else { throw failure() }
    }

    // MARK: Keeping within the limit

    private static func blocks(_ bytes: Int) -> Int { (bytes + 4095) / 4096 * 4096 }

    private struct Entry {
        let path: String
        let size: Int
        let used: (Int, Int)
    }

    /// Measures the folder, and removes the entries unused for longest down to nine tenths of the limit where it
    /// is over it. One process at a time; the others look again later.
    private func sweep() {
        let lock = open("\(folder)/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { return }
        defer { close(lock) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            state.withLock { state in
                // About as full as it was; to be looked at again after a tenth more.
                state.size = min(state.size ?? 0, limit - limit / 10)
                state.written = 0
            }
            return
        }
        var entries = entries()
        var size = entries.reduce(0) { $0 + $1.size }
        var evicted = 0
        if size > limit {
            entries.sort { $0.used < $1.used }
            for entry in entries where size > limit - limit / 10 {
                unlink(entry.path)
                size -= entry.size
                evicted += 1
            }
        }
        state.withLock { state in
            state.size = size
            state.written = 0
            state.use.evicted += evicted
        }
    }

    /// All entries. Temporary files of writers that died long ago are removed on the way.
    private func entries() -> [Entry] {
        var found: [Entry] = []
        for name in names(in: folder) {
            let path = "\(folder)/\(name)"
            if name.hasPrefix(Self.temporaryPrefix) {
                var status = stat()
                if stat(path, &status) == 0, time(nil) - status.st_mtim.tv_sec > 3600 {
                    unlink(path)
                }
            }
            guard name.count == 2, !name.hasPrefix(".") else { continue }
            for file in names(in: path) {
                var status = stat()
                guard stat("\(path)/\(file)", &status) == 0, status.st_mode & S_IFMT == S_IFREG
                else { continue }
                found.append(
                    Entry(
                        path: "\(path)/\(file)",
                        size: max(Int(status.st_blocks) * 512, Int(status.st_size)),
                        used: (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)))
            }
        }
        return found
    }

    private func names(in folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
}
