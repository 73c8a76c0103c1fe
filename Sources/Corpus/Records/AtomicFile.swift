import Foundation

/// A file that appears under its name only when it is complete.
///
/// Bytes go to `NAME.partial` in the same folder; ``finish()`` syncs them and renames the file. One that was
/// never finished leaves the partial file, from which ``init(path:resumingAt:)`` can go on.
public final class AtomicFile {
    let path: String
    private let descriptor: Int32
    private(set) var size: Int
    private var buffer: [UInt8] = []
    private var isOpen = true

    static func partialPath(of path: String) -> String { path + ".partial" }

    /// Whether there is a partial file of at least so many bytes.
    static func hasPartial(of path: String, bytes: Int) -> Bool {
        var status = stat()
        return stat(partialPath(of: path), &status) == 0 && status.st_size >= bytes
    }

    /// Starts the file, keeping the first `offset` bytes of a partial one that is there. Refuses a path where something
    /// else than a regular file is, such as a folder or a device.
    init(path: String, resumingAt offset: Int = 0) throws(CorpusError) {
        self.path = path
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw .file(path: path, problem: "is there and is no regular file; it is not replaced")
        }
        let partial = Self.partialPath(of: path)
        descriptor = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        size = offset
        guard descriptor >= 0 else {
            isOpen = false
            throw Self.failure(partial, "cannot be created")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw .file(path: partial, problem: "is being written by another process")
        }
        guard fstat(descriptor, &status) == 0, status.st_size >= offset,
            ftruncate(descriptor, off_t(offset)) == 0,
            lseek(descriptor, off_t(offset), SEEK_SET) >= 0
        else { throw Self.failure(partial, "cannot be continued at byte \(offset)") }
    }

    deinit { if isOpen { close(descriptor) } }

    /// Appends bytes; they reach the disk by ``flush()`` or ``finish()`` at the latest.
    func write(_ bytes: [UInt8]) throws(CorpusError) {
        buffer += bytes
        size += bytes.count
        if buffer.count >= 1 << 20 { try drain() }
    }

    /// Puts all bytes so far on disk.
    func flush() throws(CorpusError) {
        try drain()
        guard fsync(descriptor) == 0 else { throw Self.failure(path, "cannot be written") }
    }

    /// Puts the file under its name.
    func finish() throws(CorpusError) {
        try flush()
        isOpen = false
        guard close(descriptor) == 0, rename(Self.partialPath(of: path), path) == 0 else {
            throw Self.failure(path, "cannot be renamed into place")
        }
        let folder = (path as NSString).deletingLastPathComponent
        let directory = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
    }

    private func drain() throws(CorpusError) {
        let done = buffer.withUnsafeBytes { bytes in
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
        guard done else { throw Self.failure(Self.partialPath(of: path), "cannot be written") }
        buffer.removeAll(keepingCapacity: true)
    }

    private static func failure(_ path: String, _ what: String) -> CorpusError {
        .file(path: path, problem: "\(what): \(String(cString: strerror(errno)))")
    }

    /// Writes a whole small file.
    public static func write(_ bytes: [UInt8], to path: String) throws(CorpusError) {
        let file = try AtomicFile(path: path)
        try file.write(bytes)
        try file.finish()
    }
}
