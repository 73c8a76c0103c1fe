import Glibc

/// A file of named tensors, memory-mapped: opening reads the header only, and a tensor whose bytes are
/// aligned for its type is a view of the mapping, without a copy.
///
/// The mapping is private: a tensor changed in place changes the process's copy of the touched pages,
/// never the file.
public struct SafetensorsFile: Sendable {
    /// Where the file is.
    public let path: String
    /// Strings the writer added, such as `format`.
    public let metadata: [String: String]
    /// Names of all tensors in the order of their bytes.
    public let names: [String]

    private let entries: [String: SafetensorsHeader.Entry]
    private let mapping: FileMapping
    private let dataStart: Int

    /// Opens and checks the file at `path`, reading only its header.
    ///
    /// - Throws: ``SafetensorsError``, naming the file and the tensor; memory use stays below a few times
    ///   the header's size, whatever the file claims.
    public init(path: String) throws(SafetensorsError) {
        let mapping = try FileMapping(path: path)
        let bytes = mapping.bytes
        guard bytes.count >= 8 else { throw .tooShort(path: path, bytes: bytes.count) }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= SafetensorsHeader.limit else {
            throw .headerTooLarge(path: path, length: length)
        }
        guard length <= UInt64(bytes.count - 8) else {
            throw .headerPastEnd(path: path, length: length, bytes: bytes.count)
        }
        let start = 8 + Int(length)
        let header = try SafetensorsHeader(
            json: UnsafeRawBufferPointer(rebasing: bytes[8..<start]),
            dataBytes: bytes.count - start, path: path)
        self.path = path
        self.mapping = mapping
        dataStart = start
        metadata = header.metadata
        names = header.entries.sorted {
            ($0.range.lowerBound, $0.name) < ($1.range.lowerBound, $1.name)
        }.map(\.name)
        entries = Dictionary(header.entries.map { ($0.name, $0) }) { first, _ in first }
    }

    /// Whether the file has a tensor of this name.
    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// A tensor's shape, without touching its bytes; nil when there is none of this name.
    public func shape(of name: String) -> [Int]? { entries[name]?.shape }

    /// A tensor's element type, without touching its bytes; nil when there is none of this name.
    public func dtype(of name: String) -> DType? { entries[name]?.dtype }

    /// Bytes of all tensors together.
    public var dataBytes: Int { mapping.bytes.count - dataStart }

    /// The tensor of this name, on the CPU, in the file's type.
    public func tensor(_ name: String) throws(SafetensorsError) -> Tensor {
        guard let entry = entries[name] else { throw .missing(path: path, name: name) }
        if entry.range.isEmpty { return .zeros(entry.shape, dtype: entry.dtype) }
        let start = mapping.bytes.baseAddress.map { $0 + dataStart + entry.range.lowerBound }
        guard let start else { throw .missing(path: path, name: name) }
        if UInt(bitPattern: start) % UInt(entry.dtype.size) == 0 {
            return Tensor(
                memory: UnsafeMutableRawPointer(mutating: start), owner: mapping,
                shape: entry.shape, dtype: entry.dtype)
        }
        return withExtendedLifetime(mapping) {
            Tensor(
                bytes: UnsafeRawBufferPointer(start: start, count: entry.range.count),
                shape: entry.shape, dtype: entry.dtype)
        }
    }

    /// All tensors with their names, in the order of their bytes.
    public func tensors() throws(SafetensorsError) -> [(String, Tensor)] {
        var all: [(String, Tensor)] = []
        for name in names { all.append((name, try tensor(name))) }
        return all
    }
}

/// A whole file in memory, privately mapped, given back with the last tensor that looks into it.
///
/// Sendable because it never changes after it was made; tensors over it belong to their own tasks.
final class FileMapping: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws(SafetensorsError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: lastSystemError()) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .unreadable(path: path, reason: lastSystemError())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: "not a file")
        }
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        // Private and writable: training a loaded weight in place copies the pages it touches.
        let address = mmap(
            nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            throw .unreadable(path: path, reason: lastSystemError())
        }
        bytes = UnsafeRawBufferPointer(start: address, count: count)
    }

    deinit {
        if let base = bytes.baseAddress {
            munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
        }
    }
}

/// What the system says about the call that just failed.
func lastSystemError() -> String { String(cString: strerror(errno)) }
