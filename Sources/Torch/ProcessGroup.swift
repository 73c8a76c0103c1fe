import CTorch

/// This process' place among several that work together, and what they can do with tensors.
///
/// Every process has to call the same operations in the same order, with tensors of the same shapes. CPU tensors
/// go through c10d's Gloo, CUDA tensors through NCCL. A process that is lost, or does not answer within the
/// time-out, makes the others' operation throw ``ProcessGroupError/lost(ranks:size:seconds:reason:)``.
public final class ProcessGroup {
    /// Where the processes meet.
    public struct MeetingPoint: Equatable, Sendable {
        /// Name or address of the machine of process 0.
        public var host: String
        public var port: UInt16
        /// Whether process 0 listens there itself; else somebody else does, as `torchrun`.
        public var isServedByFirst: Bool
        /// Keeps attempts at the same place apart.
        public var attempt: String

        public init(
            host: String, port: UInt16, isServedByFirst: Bool = true, attempt: String = "vlsa"
        ) {
            self.host = host
            self.port = port
            self.isServedByFirst = isServedByFirst
            self.attempt = attempt
        }
    }

    /// This process' number, from 0.
    public let rank: Int
    /// How many processes there are.
    public let size: Int
    /// Seconds that an operation waits for the others.
    public let timeout: Double

    private let handle: OpaquePointer
    private var cudaDevice: Device?
    private var isLost = false

    /// Whether this build can connect processes: whether Gloo's headers were found.
    public static var isAvailable: Bool { ct_has_gloo() }

    /// The version of NCCL that can be used, such as `2.27.3`; nil without one.
    public static var ncclVersion: String? {
        let code = Int(ct_nccl_version())
        // Since 2.9 the code has two digits more for the minor version.
        return code == 0 ? nil : "\(code / 10_000).\(code / 100 % 100).\(code % 100)"
    }

    /// Waits for all processes and connects them.
    public init(
        rank: Int, size: Int, at place: MeetingPoint, timeout: Double = 600
    ) throws(ProcessGroupError) {
        guard (0..<size).contains(rank) else {
            fatalError("ProcessGroup: rank \(rank) of \(size)")
        }
        guard Self.isAvailable else {
            throw .noBackend(
                "this build cannot train with several processes, because Gloo's headers were not found: install "
                    + "them (Debian: libgloo-dev) and build again")
        }
        self.rank = rank
        self.size = size
        self.timeout = timeout
        let address = "\(place.host):\(place.port)"
        let serves = rank == 0 && place.isServedByFirst
        var out: OpaquePointer?
        let status = ct_group_new(
            place.host, place.port, serves, place.attempt, Int32(rank), Int32(size), timeout, &out)
        guard status == CT_OK, let out else {
            let reason = Self.reason()
            if serves { throw .cannotListen(address: address, reason: reason) }
            throw .unreachable(address: address, seconds: timeout, reason: reason)
        }
        handle = out
        var counts = [Int32](repeating: 0, count: size)
        guard ct_group_join(handle, &counts) == CT_OK else {
            throw .unreachable(address: address, seconds: timeout, reason: Self.reason())
        }
        let missing = counts.indices.filter { counts[$0] == 0 }
        guard missing.isEmpty else {
            throw .missing(ranks: missing, size: size, address: address, seconds: timeout)
        }
        let taken = counts.indices.filter { counts[$0] > 1 }
        guard taken.isEmpty else { throw .taken(ranks: taken) }
        guard ct_group_connect(handle, place.host) == CT_OK else {
            throw .cannotConnect(reason: Self.reason())
        }
    }

    deinit { ct_group_release(handle) }

    /// Connects the processes' GPUs, this one's being `device`; before the first operation on CUDA tensors.
    public func connect(_ device: Device) throws(ProcessGroupError) {
        guard cudaDevice == nil else { return }
        guard Self.ncclVersion != nil else {
            throw .noBackend(
                "device: several processes on GPUs need NCCL, and libnccl.so.2 cannot be opened; build with the "
                    + "CUDA build of PyTorch, which brings it (LIBTORCH_USE_PYTORCH=1), or install it"
            )
        }
        guard ct_group_open_nccl(handle, device.index) == CT_OK else {
            throw .cannotConnect(reason: Self.reason())
        }
        cudaDevice = device
    }

    /// Adds `tensor` up over all processes, in place; the result is the same in each, to the bit.
    public func sum(_ tensor: Tensor) throws(ProcessGroupError) {
        try run(withExtendedLifetime(tensor) { ct_group_all_reduce(handle, tensor.handle) })
    }

    /// The part of the sum over all processes that falls to this one.
    ///
    /// - Parameter tensor: a part for each process, `[size * n]`.
    /// - Returns: this process' part of the sum, `[n]`.
    public func scatteredSum(_ tensor: Tensor) throws(ProcessGroupError) -> Tensor {
        let part = Tensor.uninitialized(
            [tensor.count / size], dtype: tensor.dtype, device: tensor.device)
        try run(
            withExtendedLifetime((tensor, part)) {
                ct_group_reduce_scatter(handle, tensor.handle, part.handle)
            })
        return part
    }

    /// Every process' `part`, `[n]`, one after the other: `[size * n]`.
    public func gathered(_ part: Tensor) throws(ProcessGroupError) -> Tensor {
        let whole = Tensor.uninitialized(
            [part.count * size], dtype: part.dtype, device: part.device)
        try run(
            withExtendedLifetime((part, whole)) {
                ct_group_all_gather(handle, part.handle, whole.handle)
            })
        return whole
    }

    /// Every process' bytes, in the order of their ranks; they may be of different lengths.
    public func gathered(_ bytes: [UInt8]) throws(ProcessGroupError) -> [[UInt8]] {
        let lengths = try gathered(Tensor([bytes.count], shape: [1])).ints()
        let longest = lengths.max() ?? 0
        guard longest > 0 else { return lengths.map { _ in [] } }
        let padded = bytes + [UInt8](repeating: 0, count: longest - bytes.count)
        let all = try gathered(Tensor(padded, shape: [longest])).bytes()
        return lengths.indices.map {
            Array(all[$0 * longest..<$0 * longest + lengths[$0]])
        }
    }

    /// Waits a little for the others to end their operations as well; the last call before the process ends.
    ///
    /// After a failed operation it returns at once.
    public func leave() {
        guard !isLost else { return }
        // Whether they come or not: this process' work is done.
        _ = ct_group_leave(handle, 5)
    }

    private static func reason() -> String {
        let text = String(cString: ct_last_error())
        // Of a socket's failure only the system's own words help.
        if let end = text.firstRange(of: "message: ")?.upperBound { return String(text[end...]) }
        // Gloo puts its source line before the reason, and advice behind it.
        let line = text.split(separator: "\n").first.map(String.init) ?? text
        guard line.hasPrefix("["), let end = line.firstIndex(of: "]") else { return line }
        let reason = line[line.index(after: end)...].drop { $0 == " " }
        guard let stop = reason.firstRange(of: ". ") else { return String(reason) }
        return String(reason[..<stop.lowerBound])
    }

    private func run(_ status: ct_status) throws(ProcessGroupError) {
        guard status != CT_OK else { return }
        let reason = Self.reason()
        isLost = true
        // Those that noticed, as this process did, say so to each other; who does not is the one that is lost.
        var survives = [Bool](repeating: false, count: size)
        // Process 0 serves these questions, so it stays the longest.
        let grace = rank == 0 ? 3.0 : 2.0
        guard ct_group_survivors(handle, grace, &survives) == CT_OK else {
            throw .lost(ranks: rank == 0 ? [] : [0], size: size, seconds: timeout, reason: reason)
        }
        throw .lost(
            ranks: survives.indices.filter { !survives[$0] }, size: size, seconds: timeout,
            reason: reason)
    }
}
