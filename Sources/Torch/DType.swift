import CTorch

/// The type of a tensor's elements.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case float64, float32, bfloat16, float16
    case int64, int32, int16, int8, uint8, bool
    /// Storage formats: loaded, saved and cast, without arithmetic of their own.
    case uint16, uint32, uint64, float8E4M3, float8E5M2

    /// Bytes of one element.
    public var size: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .bfloat16, .float16, .int16, .uint16: 2
        case .int8, .uint8, .bool, .float8E4M3, .float8E5M2: 1
        }
    }

    /// Whether elements are floating-point numbers, of any width.
    public var isFloatingPoint: Bool {
        switch self {
        case .float64, .float32, .bfloat16, .float16, .float8E4M3, .float8E5M2: true
        default: false
        }
    }

    var code: ct_dtype {
        switch self {
        case .float64: CT_FLOAT64
        case .float32: CT_FLOAT32
        case .bfloat16: CT_BFLOAT16
        case .float16: CT_FLOAT16
        case .int64: CT_INT64
        case .int32: CT_INT32
        case .int16: CT_INT16
        case .int8: CT_INT8
        case .uint8: CT_UINT8
        case .bool: CT_BOOL
        case .uint16: CT_UINT16
        case .uint32: CT_UINT32
        case .uint64: CT_UINT64
        case .float8E4M3: CT_FLOAT8_E4M3
        case .float8E5M2: CT_FLOAT8_E5M2
        }
    }

    init(code: ct_dtype) {
        switch code {
        case CT_FLOAT64: self = .float64
        case CT_FLOAT32: self = .float32
        case CT_BFLOAT16: self = .bfloat16
        case CT_FLOAT16: self = .float16
        case CT_INT64: self = .int64
        case CT_INT32: self = .int32
        case CT_INT16: self = .int16
        case CT_INT8: self = .int8
        case CT_UINT8: self = .uint8
        case CT_BOOL: self = .bool
        case CT_UINT16: self = .uint16
        case CT_UINT32: self = .uint32
        case CT_UINT64: self = .uint64
        case CT_FLOAT8_E4M3: self = .float8E4M3
        case CT_FLOAT8_E5M2: self = .float8E5M2
        default: fatalError("dtype: a tensor has an element type that this package does not use")
        }
    }
}
