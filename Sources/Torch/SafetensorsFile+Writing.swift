extension SafetensorsFile {
    /// Writes named tensors so that the file at `path` is either the old one or complete.
    ///
    /// The bytes go to a temporary file in the same folder, which is synchronised and renamed; then the
    /// folder is synchronised. Tensors are laid out in the given order, widest type first so that all of
    /// them are aligned. Within ``HeldValues/writing(_:)`` they are written as they were held.
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
