import Synchronization

/// Values that one thread writes to files while another goes on and changes the tensors in time.
///
/// ``hold(_:changes:)`` names the tensors; ``writing(_:)`` is the scope in which a thread writes them, from where they
/// are; and ``settle()``, before they change, copies those that are not written yet. So what reaches the disk in
/// time is never copied. The files' checksums are taken on the way.
///
/// Unchecked, because what it holds is only touched under the lock.
public final class HeldValues: @unchecked Sendable {
    private struct Place {
        /// The tensor, or a copy of its values.
        let values: Tensor
        var isCopied = false
    }

    private let lock = Mutex(())
    /// What is not written yet, by handle.
    private var places: [ObjectIdentifier: Place] = [:]
    /// Handles of what will change, in the order in which they were held, which is about that of writing.
    private var changing: [Tensor] = []
    private var copied = 0
    private var sums: [String: WrittenSum] = [:]

    @TaskLocal static var current: HeldValues?

    public init() {}

    /// A handle for the values that the tensor has now.
    ///
    /// Only ``SafetensorsFile/write(_:metadata:to:)`` within ``writing(_:)`` finds these values by it.
    ///
    /// - Parameter changes: whether ``settle()`` is to copy them; false for what stays as it is.
    public func hold(_ tensor: Tensor, changes: Bool = true) -> Tensor {
        let handle = tensor.detached()
        lock.withLock { _ in
            places[ObjectIdentifier(handle)] = Place(values: handle)
            if changes { changing.append(handle) }
        }
        return handle
    }

    /// Calls `body`, in which tensors are written as they were held, and only such; afterwards nothing is held.
    public func writing<Result>(_ body: () throws -> Result) rethrows -> Result {
        defer { lock.withLock { _ in (places, changing) = ([:], []) } }
        return try HeldValues.$current.withValue(self, operation: body)
    }

    /// Copies to main memory what is not written yet, the last first; afterwards the tensors may change.
    ///
    /// Several threads may call it; each returns when everything is copied.
    public func settle() {
        while lock.withLock({ _ in copyLast() }) {}
    }

    /// Whether there is nothing that ``settle()`` would have to look at.
    public var isSettled: Bool { lock.withLock { _ in changing.isEmpty } }

    /// False when nothing was left.
    private func copyLast() -> Bool {
        guard let handle = changing.popLast() else { return false }
        let id = ObjectIdentifier(handle)
        if let place = places[id], !place.isCopied {
            places[id] = Place(values: place.values.snapshot(), isCopied: true)
            copied += handle.byteCount
        }
        return true
    }

    /// Size and checksum of each file that was written, by the path that was given.
    public var written: [String: WrittenSum] { lock.withLock { _ in sums } }

    func note(_ path: String, _ sum: WrittenSum) { lock.withLock { _ in sums[path] = sum } }

    /// Bytes that ``settle()`` had to copy so far.
    public var copiedBytes: Int { lock.withLock { _ in copied } }

    /// Calls `body` with the values held by `handle`, in main memory and row by row, which do not change meanwhile;
    /// nil where it is none.
    func reading<Result>(_ handle: Tensor, _ body: (Tensor) -> Result) -> Result? {
        lock.withLock { _ in
            let id = ObjectIdentifier(handle)
            guard let place = places[id] else { return nil }
            let values = place.values.to(.cpu).contiguous()
            if values !== place.values { places[id] = Place(values: values, isCopied: true) }
            return body(values)
        }
    }

    /// Lets go of values that are written.
    func release(_ handle: Tensor) {
        lock.withLock { _ in places[ObjectIdentifier(handle)] = nil }
    }
}
