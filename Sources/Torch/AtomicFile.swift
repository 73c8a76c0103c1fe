import CFiles
import Glibc

/// A file that appears under its name only when it is complete and on disk.
///
/// Where the file system can, its blocks go from a buffer here straight to the disk (`O_DIRECT`): through the system's
/// page cache, a checkpoint of gigabytes takes processor time from the training step beside it and pushes out of
/// memory what is read again.
final class AtomicFile {
    private let path: String
    private let temporary: String
    private var descriptor: Int32
    /// What is not written yet: the first `filled` bytes.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 4 << 20, alignment: hugePage)
    private var filled = 0
    private var isDirect = true
    private var sum = WrittenSum()

    /// Places, sizes and addresses of direct writes are multiples of this.
    private static let blockSize = 4096
    /// The system takes memory of whole such pages to the disk in fewer pieces.
    private static let hugePage = 2 << 20

    /// - Throws: ``SafetensorsError/unwritable(path:reason:)``, as all its methods do.
    init(path: String) throws(SafetensorsError) {
        self.path = path
        temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
        descriptor = Glibc.open(temporary, flags | direct_flag, 0o666)
        if descriptor < 0, errno == EINVAL {
            // A file system without direct writes may have made the file.
            unlink(temporary)
            isDirect = false
            descriptor = Glibc.open(temporary, flags, 0o666)
        }
        guard descriptor >= 0 else { throw failure() }
        madvise(buffer.baseAddress, buffer.count, MADV_HUGEPAGE)  // advice: nothing is lost without it
    }

    deinit {
        buffer.deallocate()
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporary)
        }
    }

    func write(_ bytes: [UInt8]) throws(SafetensorsError) {
        guard bytes.withUnsafeBytes(append) else { throw failure() }
    }

    func write(_ tensor: Tensor) throws(SafetensorsError) {
        guard let held = HeldValues.current else {
            guard tensor.detached().withBytes(append) else { throw failure() }
            return
        }
        var place = 0
        while place < tensor.byteCount {
            // As much as the buffer takes, so that who waits for the values does not wait for the disk.
            let count = held.reading(tensor) { $0.withBytes { take($0[place...]) } }
            guard let count else {
                throw .unwritable(
                    path: path, reason: "a tensor of shape \(tensor.shape) was not held")
            }
            place += count
            if filled == buffer.count, !drain() { throw failure() }
        }
        held.release(tensor)
    }

    /// Puts the complete file in place.
    func commit() throws(SafetensorsError) {
        guard drain(), fsync(descriptor) == 0, rename(temporary, path) == 0 else { throw failure() }
        close(descriptor)
        descriptor = -1
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
        let name = folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder
        let directory = Glibc.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failure() }
        defer { close(directory) }
        guard fsync(directory) == 0 || errno == EINVAL else { throw failure() }
        HeldValues.current?.note(path, sum)
    }

    private func failure() -> SafetensorsError {
        .unwritable(path: path, reason: lastSystemError())
    }

    /// False when the system refused, with its reason in `errno`; as the functions below.
    private func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var place = 0
        while place < bytes.count {
            place += take(bytes[place...])
            if filled == buffer.count, !drain() { return false }
        }
        return true
    }

    /// Bytes that found room in the buffer.
    private func take(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int {
        let count = Swift.min(bytes.count, buffer.count - filled)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
        filled += count
        return count
    }

    /// Writes what the buffer holds; what is less than a block, the end of the file, goes through the page cache.
    private func drain() -> Bool {
        sum.update(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        var written = 0
        while written < filled {
            let blocks = (filled - written) / Self.blockSize * Self.blockSize
            if blocks == 0, !writeCached() { return false }
            let count = Glibc.write(
                descriptor, buffer.baseAddress! + written, isDirect ? blocks : filled - written)
            if count >= 0 {
                written += count
            } else if errno == EINVAL, isDirect {
                // Other block sizes, or a limit amid a block.
                guard writeCached() else { return false }
            } else if errno != EINTR {
                return false
            }
        }
        filled = 0
        return true
    }

    private func writeCached() -> Bool {
        guard isDirect else { return true }
        isDirect = false
        let flags = fcntl(descriptor, F_GETFL)
        return flags >= 0 && fcntl(descriptor, F_SETFL, flags & ~direct_flag) == 0
    }
}
