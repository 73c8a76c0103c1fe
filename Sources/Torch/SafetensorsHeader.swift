/// The table at the start of a safetensors file, checked completely: types, sizes, layout.
struct SafetensorsHeader {
    struct Entry {
        var name: String
        var dtype: DType
        var shape: [Int]
        /// Offsets from the start of the data.
        var range: Range<Int>
    }

    static let limit: UInt64 = 100_000_000

    var entries: [Entry]
    var metadata: [String: String]

    static let dtypes: [String: DType] = [
        "F64": .float64, "F32": .float32, "F16": .float16, "BF16": .bfloat16, "I64": .int64,
        "I32": .int32, "I16": .int16, "I8": .int8, "U64": .uint64, "U32": .uint32, "U16": .uint16,
        "U8": .uint8, "BOOL": .bool, "F8_E4M3": .float8E4M3, "F8_E5M2": .float8E5M2,
    ]

    static func name(of dtype: DType) -> String {
        switch dtype {
        case .float64: "F64"
        case .float32: "F32"
        case .float16: "F16"
        case .bfloat16: "BF16"
        case .int64: "I64"
        case .int32: "I32"
        case .int16: "I16"
        case .int8: "I8"
        case .uint64: "U64"
        case .uint32: "U32"
        case .uint16: "U16"
        case .uint8: "U8"
        case .bool: "BOOL"
        case .float8E4M3: "F8_E4M3"
        case .float8E5M2: "F8_E5M2"
        }
    }

    /// - Parameters:
    ///   - json: the header's bytes.
    ///   - dataBytes: how many bytes follow the header in the file.
    init(json: UnsafeRawBufferPointer, dataBytes: Int, path: String) throws(SafetensorsError) {
        var reader = HeaderReader(bytes: json)
        entries = []
        metadata = [:]
        let fields: [(String, HeaderValue)]
        do throws(HeaderReader.Failure) {
            guard case .object(let found) = try reader.document() else {
                throw HeaderReader.Failure(reason: "the top level is not an object")
            }
            fields = found
        } catch {
            throw .malformedHeader(path: path, reason: error.reason)
        }
        var seen: Set<String> = []
        for (name, value) in fields {
            guard seen.insert(name).inserted else {
                throw .malformedEntry(path: path, name: name, reason: "the name is there twice")
            }
            if name == "__metadata__" {
                metadata = try Self.metadata(value, path: path)
            } else {
                entries.append(try Self.entry(name, value, path: path))
            }
        }
        try checkLayout(dataBytes: dataBytes, path: path)
    }

    private static func metadata(
        _ value: HeaderValue, path: String
    ) throws(SafetensorsError) -> [String: String] {
        if case .null = value { return [:] }
        guard case .object(let fields) = value else {
            throw .malformedHeader(path: path, reason: "__metadata__ is not an object")
        }
        var metadata: [String: String] = [:]
        for (key, value) in fields {
            guard case .string(let text) = value else {
                throw .malformedHeader(
                    path: path, reason: "__metadata__ \"\(key)\" is not a string")
            }
            metadata[key] = text
        }
        return metadata
    }

    private static func entry(
        _ name: String, _ value: HeaderValue, path: String
    ) throws(SafetensorsError) -> Entry {
        func bad(_ reason: String) -> SafetensorsError {
            .malformedEntry(path: path, name: name, reason: reason)
        }
        guard case .object(let pairs) = value else { throw bad("its entry is not an object") }
        let fields = Dictionary(pairs) { _, last in last }
        guard case .string(let typeName)? = fields["dtype"] else { throw bad("no dtype") }
        guard let dtype = dtypes[typeName] else {
            throw .unknownDType(path: path, name: name, dtype: typeName)
        }
        guard let shape = integers(fields["shape"]) else {
            throw bad("its shape is not a list of non-negative integers")
        }
        guard let offsets = integers(fields["data_offsets"]), offsets.count == 2 else {
            throw bad("its data_offsets are not two non-negative integers")
        }
        guard offsets[0] <= offsets[1] else { throw bad("its data_offsets run backwards") }
        var bytes = dtype.size
        for size in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
            guard !overflow else {
                throw .sizeMismatch(
                    path: path, name: name, reason: "shape \(shape) is larger than any memory")
            }
            bytes = product
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw .sizeMismatch(
                path: path, name: name,
                reason: "shape \(shape) of \(typeName) needs \(bytes) bytes, "
                    + "data_offsets give \(offsets[1] - offsets[0])")
        }
        return Entry(name: name, dtype: dtype, shape: shape, range: offsets[0]..<offsets[1])
    }

    private static func integers(_ value: HeaderValue?) -> [Int]? {
        guard case .array(let items)? = value else { return nil }
        var integers: [Int] = []
        for item in items {
            guard case .integer(let integer) = item else { return nil }
            integers.append(integer)
        }
        return integers
    }

    private func checkLayout(dataBytes: Int, path: String) throws(SafetensorsError) {
        let ordered = entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        var end = 0
        for entry in ordered {
            guard entry.range.upperBound <= dataBytes else {
                throw .badLayout(
                    path: path, name: entry.name,
                    reason: "its bytes end at \(entry.range.upperBound) of \(dataBytes)")
            }
            guard entry.range.lowerBound == end else {
                let kind =
                    entry.range.lowerBound < end ? "overlap the tensor before" : "follow a hole"
                throw .badLayout(path: path, name: entry.name, reason: "its bytes \(kind)")
            }
            end = entry.range.upperBound
        }
        guard end == dataBytes else {
            throw .badLayout(
                path: path, name: ordered.last?.name ?? "",
                reason: "\(dataBytes - end) bytes after the last tensor belong to none")
        }
    }
}
