import Foundation

/// A file mapped into memory for reading, with what tells whether it changed.
///
/// Unchecked, because the mapping is read-only and lives as long as this object.
final class MappedFile: @unchecked Sendable {
    let path: String
    /// Size in bytes.
    var count: Int { bytes.count }
    private let bytes: UnsafeRawBufferPointer
    /// Modification time in nanoseconds since 1970.
    let modified: Int64

    /// Maps a regular file. Files that shrink while mapped end the process, as with every mapping.
    init(path: String) throws(CorpusError) {
        self.path = path
        func bad(_ what: String) -> CorpusError {
            .file(path: path, problem: "\(what): \(String(cString: strerror(errno)))")
        }
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw bad("cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw bad("cannot be looked at") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .file(path: path, problem: "is not a regular file")
        }
        modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
        let size = Int(status.st_size)
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0),
            start != MAP_FAILED
        else { throw bad("cannot be mapped into memory") }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    /// Calls `body` with the bytes, which are there only so long.
    func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(bytes)
    }

    /// Gives back the memory of the pages before `offset`, all of them by default; they are read again when they
    /// are asked for.
    func release(upTo offset: Int? = nil) {
        guard let start = bytes.baseAddress else { return }
        let length = min(offset ?? count, count) / Int(getpagesize()) * Int(getpagesize())
        if length > 0 {
            madvise(UnsafeMutableRawPointer(mutating: start), length, MADV_DONTNEED)
        }
    }

    deinit {
        if let start = bytes.baseAddress {
            munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
        }
    }
}
