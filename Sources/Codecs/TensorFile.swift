import Foundation

/// A safetensors file of `F32` tensors: what a codec saves beside its `config.json`.
///
/// Read whole and checked strictly: the header's size, the dtype, every shape, and that the tensors' bytes
/// lie end to end without gap or overlap up to the end of the file.
struct TensorFile {
    struct Values: Equatable {
        var shape: [Int]
        var values: [Float]
    }

    private(set) var tensors: [String: Values] = [:]
    private let path: String

    private struct Entry: Codable {
        var dtype: String
        var shape: [Int]
        var offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case offsets = "data_offsets"
        }
    }

    private struct Header: Decodable {
        var entries: [String: Entry] = [:]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            for key in container.allKeys where key.stringValue != "__metadata__" {
                entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
            }
        }

        struct Name: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
    }

    /// Reads and checks the file at `path`.
    init(path: String) throws {
        self.path = path
        func bad(_ problem: String) -> CodecError { .file(path: path, problem: problem) }
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw bad("cannot be read")
        }
        guard data.count >= 8 else { throw bad("is too short to be a safetensors file") }
        let length = data.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))
        }
        guard length <= 1 << 20, Int(length) <= data.count - 8 else {
            throw bad("has a header of \(length) bytes in a file of \(data.count)")
        }
        let start = 8 + Int(length)
        let text = data[8..<start]
        guard text.first == UInt8(ascii: "{"),
            let header = try? JSONDecoder().decode(Header.self, from: Data(text))
        else { throw bad("has a header that is not the JSON of a safetensors file") }
        var end = 0
        for (name, entry) in header.entries.sorted(by: {
            $0.value.offsets < $1.value.offsets
        }) {
            guard entry.dtype == "F32" else {
                throw bad("tensor \(name) is \(entry.dtype), not F32")
            }
            var count = 1
            for size in entry.shape {
                let (product, overflow) = count.multipliedReportingOverflow(by: size)
                guard size >= 0, !overflow else {
                    throw bad("tensor \(name) has shape \(entry.shape)")
                }
                count = product
            }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: 4)
            guard !overflow, entry.offsets.count == 2, entry.offsets[0] == end,
                entry.offsets[1] >= end, entry.offsets[1] - end == bytes,
                entry.offsets[1] <= data.count - start
            else {
                throw bad(
                    "tensor \(name) \(entry.shape) does not fit its offsets \(entry.offsets)")
            }
            let offset = start + end
            let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
                _ = data.copyBytes(
                    to: UnsafeMutableRawBufferPointer(buffer), from: offset..<offset + bytes)
                initialized = count
            }
            tensors[name] = Values(shape: entry.shape, values: values)
            end = entry.offsets[1]
        }
        guard start + end == data.count else {
            throw bad("has \(data.count - start - end) bytes beyond its last tensor")
        }
    }

    /// The finite values of the tensor `name`, which must have `shape`.
    func values(_ name: String, shape: [Int]) throws -> [Float] {
        guard let tensor = tensors[name] else {
            let known = tensors.keys.sorted().joined(separator: ", ")
            throw CodecError.file(path: path, problem: "has no tensor \(name), only \(known)")
        }
        guard tensor.shape == shape else {
            throw CodecError.file(
                path: path,
                problem: "tensor \(name) has shape \(tensor.shape), the config says \(shape)")
        }
        guard tensor.values.allSatisfy(\.isFinite) else {
            throw CodecError.file(
                path: path, problem: "tensor \(name) holds values that are not finite")
        }
        return tensor.values
    }

    /// Writes tensors in the order given, atomically.
    static func write(_ tensors: [(name: String, tensor: Values)], to path: String) throws {
        var entries: [String: Entry] = [:]
        var body = Data()
        for (name, tensor) in tensors {
            let start = body.count
            tensor.values.withUnsafeBytes { body.append(contentsOf: $0) }
            entries[name] = Entry(
                dtype: "F32", shape: tensor.shape, offsets: [start, body.count])
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var header = try encoder.encode(entries)
        while (8 + header.count) % 8 != 0 { header.append(UInt8(ascii: " ")) }
        var file = Data()
        withUnsafeBytes(of: UInt64(header.count).littleEndian) { file.append(contentsOf: $0) }
        file.append(header)
        file.append(body)
        try writeAtomically(file, to: path)
    }
}

extension [Int] {
    fileprivate static func < (left: [Int], right: [Int]) -> Bool {
        left.lexicographicallyPrecedes(right)
    }
}

/// Writes `data` under a temporary name in the same folder, syncs it and renames it to `path`.
func writeAtomically(_ data: Data, to path: String) throws {
    let temporary = "\(path).\(ProcessInfo.processInfo.processIdentifier).tmp"
    func fail(_ what: String) -> CodecError {
        let reason = String(cString: strerror(errno))
        unlink(temporary)
        return .file(path: path, problem: "cannot be \(what): \(reason)")
    }
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw fail("created") }
    let written = data.withUnsafeBytes { bytes in
        var offset = 0
        while offset < bytes.count {
            let count = write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            offset += count
        }
        return fsync(descriptor) == 0
    }
    guard written else {
        let error = fail("written")
        close(descriptor)
        throw error
    }
    guard close(descriptor) == 0, rename(temporary, path) == 0 else {
        throw fail("renamed into place")
    }
}
