import CTorch

/// Where a tensor lives: the CPU, one CUDA GPU, or nowhere.
public struct Device: Hashable, Sendable, CustomStringConvertible {
    /// The shim's number for it.
    let index: Int32

    /// The CPU and the machine's memory.
    public static let cpu = Device(index: Int32(CT_CPU.rawValue))

    /// Nowhere: tensors of a shape and a dtype that take no memory and have no values. What depends on
    /// shapes alone (making, reshaping, counting) works; asking for a value traps.
    public static let meta = Device(index: Int32(CT_META.rawValue))

    /// The GPU at `index`, counted from 0; using it where it does not exist traps.
    public static func cuda(_ index: Int = 0) -> Device { Device(index: Int32(index)) }

    /// Whether this machine, with this libtorch, has a CUDA device.
    public static var hasCUDA: Bool { cudaCount > 0 }

    /// How many CUDA devices can be used.
    ///
    /// The first question opens libtorch's CUDA library. Ask it at the start, before any
    /// ``Tensor/backward(_:)``: libtorch looks for CUDA once.
    public static var cudaCount: Int { Int(ct_cuda_count()) }

    /// Whether this is the CPU.
    public var isCPU: Bool { self == .cpu }

    /// Whether this is a GPU.
    public var isCUDA: Bool { index >= 0 }

    /// Reads `cpu`, `cuda` or `cuda:N`; nil for anything else.
    public init?(_ name: String) {
        if name == "cpu" {
            self = .cpu
        } else if name == "cuda" {
            self = .cuda()
        } else if name.hasPrefix("cuda:"), let index = UInt8(name.dropFirst(5)) {
            self = .cuda(Int(index))
        } else {
            return nil
        }
    }

    init(index: Int32) { self.index = index }

    /// `cpu`, `cuda:N` or `meta`.
    public var description: String { isCPU ? "cpu" : isCUDA ? "cuda:\(index)" : "meta" }

    /// Waits until the device has done all work queued on it; returns at once for the CPU.
    public func synchronize() {
        if isCUDA { check(ct_cuda_synchronize(index), "synchronize", "\(self)") }
    }
}
