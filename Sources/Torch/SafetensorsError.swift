/// Why a safetensors file could not be read or written.
public enum SafetensorsError: Error, CustomStringConvertible, Equatable {
    /// The file cannot be opened, mapped, or has no bytes to map; `reason` is the system's.
    case unreadable(path: String, reason: String)
    /// The file is shorter than the eight bytes that say how long the header is.
    case tooShort(path: String, bytes: Int)
    /// The header's stated length is above the format's limit of 100,000,000 bytes.
    case headerTooLarge(path: String, length: UInt64)
    /// The header's stated length goes past the end of the file.
    case headerPastEnd(path: String, length: UInt64, bytes: Int)
    /// The header is not UTF-8 text or not the JSON object that the format asks for.
    case malformedHeader(path: String, reason: String)
    /// One tensor's entry is incomplete or has a value of the wrong kind.
    case malformedEntry(path: String, name: String, reason: String)
    /// One tensor has an element type that is unknown or not supported.
    case unknownDType(path: String, name: String, dtype: String)
    /// One tensor's bytes do not match its shape and type.
    case sizeMismatch(path: String, name: String, reason: String)
    /// The tensors' bytes overlap, leave a hole, or do not end where the file ends.
    case badLayout(path: String, name: String, reason: String)
    /// No tensor of that name is in the file.
    case missing(path: String, name: String)
    /// The file could not be written; what was there before is unchanged.
    case unwritable(path: String, reason: String)

    /// The file, the tensor, and what is wrong with it.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path): cannot be read: \(reason)"
        case .tooShort(let path, let bytes):
            "\(path): \(bytes) bytes are too few for a safetensors file; it is empty or was cut off"
        case .headerTooLarge(let path, let length):
            "\(path): header of \(length) bytes, more than the format's 100000000; not a safetensors file?"
        case .headerPastEnd(let path, let length, let bytes):
            "\(path): header of \(length) bytes in a file of \(bytes); it was cut off, fetch it again"
        case .malformedHeader(let path, let reason): "\(path): bad header: \(reason)"
        case .malformedEntry(let path, let name, let reason):
            "\(path): tensor \"\(name)\": \(reason)"
        case .unknownDType(let path, let name, let dtype):
            "\(path): tensor \"\(name)\": unknown dtype \"\(dtype)\""
        case .sizeMismatch(let path, let name, let reason):
            "\(path): tensor \"\(name)\": \(reason)"
        case .badLayout(let path, let name, let reason):
            "\(path): tensor \"\(name)\": \(reason); the file is damaged or was cut off"
        case .missing(let path, let name): "\(path): no tensor named \"\(name)\""
        case .unwritable(let path, let reason):
            "\(path): cannot be written: \(reason); the previous file, if any, is unchanged"
        }
    }
}
