import Foundation

/// Holds a run folder for one process; the lock goes with the process, however it ends.
public final class RunLock {
    private let descriptor: Int32

    /// Takes the lock file at `path`, made if need be.
    ///
    /// - Throws: ``RunError/inUse(folder:holder:)`` while a live process holds it.
    public init(path: String) throws {
        // Not the property yet: an initializer that throws with all properties set runs `deinit`, too.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            var text = [UInt8](repeating: 0, count: 200)
            let length = pread(descriptor, &text, text.count, 0)
            close(descriptor)
            guard code == EWOULDBLOCK else {
                throw RunError.cannotWrite(path: path, reason: String(cString: strerror(code)))
            }
            let holder = String(decoding: text.prefix(max(0, length)), as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            throw RunError.inUse(
                folder: PlanPath.folder(of: path),
                holder: holder.isEmpty ? "process unknown" : holder)
        }
        let note = Array("process \(getpid()) on \(ProcessInfo.processInfo.hostName)\n".utf8)
        self.descriptor = descriptor
        ftruncate(descriptor, 0)
        _ = pwrite(descriptor, note, note.count, 0)
    }

    deinit { close(descriptor) }
}
