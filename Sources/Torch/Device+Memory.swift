import CTorch
import Glibc

/// Bytes of memory that tensors of a device can take.
public struct DeviceMemory: Equatable, Sendable {
    /// All there is; on the CPU no more than the process' control group may have.
    public let total: Int
    /// What nothing uses now.
    public let free: Int

    public init(total: Int, free: Int) {
        self.total = total
        self.free = free
    }
}

extension Device {
    /// The device's memory; nil for ``meta``, for a GPU that is not there, and where the system does not say.
    public var memory: DeviceMemory? {
        if isCPU { return machineMemory() }
        guard isCUDA, Int(index) < Device.cudaCount else { return nil }
        var (total, free) = (0, 0)
        check(ct_cuda_memory(index, &total, &free), "memory", "\(self)")
        return DeviceMemory(total: total, free: free)
    }
}

private func machineMemory() -> DeviceMemory? {
    guard let text = contents(of: "/proc/meminfo") else { return nil }
    func bytes(_ key: String) -> Int? {
        text.split(separator: "\n").first { $0.hasPrefix(key + ":") }
            .flatMap { $0.split(separator: " ").dropFirst().first }
            .flatMap { Int($0) }.map { $0 << 10 }
    }
    guard let total = bytes("MemTotal"), let free = bytes("MemAvailable") else { return nil }
    // "max" where there is no limit, which is no number.
    guard
        let limit = contents(of: "/sys/fs/cgroup/memory.max").flatMap({ text in
            Int(text.prefix { $0.isNumber })
        }), limit < total
    else { return DeviceMemory(total: total, free: free) }
    let used =
        contents(of: "/sys/fs/cgroup/memory.current")
        .flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
    return DeviceMemory(total: limit, free: min(free, max(0, limit - used)))
}

/// A small file of the system's.
private func contents(of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 14)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
}
