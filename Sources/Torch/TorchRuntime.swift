import CTorch
import Glibc

/// The libtorch in use and the resources it takes.
public enum TorchRuntime {
    /// libtorch's version, such as "2.13.0".
    public static var version: String { String(cString: ct_version()) }

    /// What the CPU kernels were chosen for, such as "AVX512".
    public static var capability: String { String(cString: ct_cpu_capability()) }

    /// The folder of the libtorch in use.
    public static var libraryFolder: String { String(cString: ct_library_folder()) }

    /// Threads that one operation may use. Results are bit-equal only for the same number.
    public static var threads: Int {
        get { Int(ct_threads()) }
        set { ct_set_threads(Int32(clamping: newValue)) }
    }

    /// Lets matrix products of fp32 tensors round their factors to bf16 (CPU) or TF32 (CUDA) where that is
    /// faster; not allowed at first.
    public static func allowReducedPrecisionProducts(_ allowed: Bool) {
        check(
            ct_set_reduced_precision_products(allowed), "allowReducedPrecisionProducts",
            "\(allowed)")
    }

    /// Bytes of large CPU tensors, and bytes of freed ones that are kept for the next, whose pages need then
    /// not be asked of the system again.
    public static var hostMemory: (used: Int, kept: Int) {
        var (used, kept) = (0, 0)
        ct_host_memory(&used, &kept)
        return (used, kept)
    }

    /// Gives kept memory back to the system, as far as it is in whole stretches of 32 MiB or more: after work
    /// that took much more than what follows.
    public static func releaseHostMemory() { ct_release_host_memory() }

    /// Bytes of this process in memory now, 0 where the system does not say.
    public static var residentBytes: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
        let text = String(
            decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return 0 }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// The most bytes this process had in memory since it began, or since ``resetPeakResidentBytes()``; 0 where
    /// the system does not say.
    public static var peakResidentBytes: Int {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(
                decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            let fields = text.split { $0 == " " || $0 == "\t" || $0 == "\n" }
            if fields.first == "VmHWM:", fields.count > 1 { return (Int(fields[1]) ?? 0) << 10 }
        }
        return 0
    }

    /// Starts ``peakResidentBytes`` over; false where the system does not allow it.
    public static func resetPeakResidentBytes() -> Bool {
        guard let file = fopen("/proc/self/clear_refs", "w") else { return false }
        defer { fclose(file) }
        return fputs("5", file) >= 0 && fflush(file) == 0
    }
}
