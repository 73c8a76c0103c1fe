import Glibc

extension SafetensorsFile {
    /// Writes named tensors so that the file at `path` is either the old one or complete.
    ///
    /// The bytes go to a temporary file in the same folder, which is synchronised and renamed; then the
    /// folder is synchronised. Tensors are laid out in the given order, widest type first so that all of
    /// them are aligned.
    ///
    /// - Throws: ``SafetensorsError/unwritable(path:reason:)``; the temporary file is then removed.
    public static func write(
        _ tensors: [(String, Tensor)], metadata: [String: String] = ["format": "pt"],
        to path: String
    ) throws(SafetensorsError) {
        var seen: Set<String> = []
        for (name, _) in tensors {
            guard name != "__metadata__", seen.insert(name).inserted else {
                throw .unwritable(path: path, reason: "the tensor name \"\(name)\" is used twice")
            }
        }
        // The order within one width is the given one.
        let ordered = tensors.enumerated().sorted {
            ($1.element.1.dtype.size, $0.offset) < ($0.element.1.dtype.size, $1.offset)
        }.map(\.element)
        let header = headerBytes(ordered, metadata: metadata)
        guard UInt64(header.count) <= SafetensorsHeader.limit else {
            throw .unwritable(path: path, reason: "the header would have \(header.count) bytes")
        }
        let file = try AtomicFile(path: path)
        let length = UInt64(header.count)
        try file.write((0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + header)
        // One tensor at a time, so that saving from a GPU needs no second copy of all.
        for (_, tensor) in ordered { try file.write(tensor) }
        try file.commit()
    }

    private static func headerBytes(
        _ tensors: [(String, Tensor)], metadata: [String: String]
    ) -> [UInt8] {
        var fields: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0)):\(quoted($1))" }
            fields.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for (name, tensor) in tensors {
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            let end = offset + tensor.byteCount
            let dtype = SafetensorsHeader.name(of: tensor.dtype)
            fields.append(
                "\(quoted(name)):{\"dtype\":\"\(dtype)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var bytes = Array("{\(fields.joined(separator: ","))}".utf8)
        while bytes.count % 8 != 0 { bytes.append(0x20) }
        return bytes
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\0"..<" ":
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

/// A file that appears under its name only when it is complete and on disk.
final class AtomicFile {
    private let path: String
    private let temporary: String
    private var descriptor: Int32

    init(path: String) throws(SafetensorsError) {
        self.path = path
        temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max)).tmp"
        descriptor = Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: lastSystemError()) }
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporary)
        }
    }

    func write(_ bytes: [UInt8]) throws(SafetensorsError) {
        try finish(bytes.withUnsafeBytes { write($0) })
    }

    func write(_ tensor: Tensor) throws(SafetensorsError) {
        try finish(tensor.detached().withBytes { write($0) })
    }

    private func finish(_ code: Int32) throws(SafetensorsError) {
        guard code != 0 else { return }
        throw .unwritable(path: path, reason: String(cString: strerror(code)))
    }

    /// Zero, or the system's error code.
    private func write(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        var rest = bytes
        while !rest.isEmpty {
            // The system takes at most 2 GiB at once.
            let written = Glibc.write(descriptor, rest.baseAddress, Swift.min(rest.count, 1 << 30))
            if written >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }

    /// Puts the complete file in place.
    func commit() throws(SafetensorsError) {
        guard fsync(descriptor) == 0 else {
            throw .unwritable(path: path, reason: lastSystemError())
        }
        guard rename(temporary, path) == 0 else {
            throw .unwritable(path: path, reason: lastSystemError())
        }
        close(descriptor)
        descriptor = -1
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
        let name = folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder
        let directory = Glibc.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw .unwritable(path: path, reason: lastSystemError()) }
        defer { close(directory) }
        guard fsync(directory) == 0 || errno == EINVAL else {
            throw .unwritable(path: path, reason: lastSystemError())
        }
    }
}
