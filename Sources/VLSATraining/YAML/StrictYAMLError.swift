/// Errors that stand for a wrong command, plan or file carry the status a command ends with.
public protocol ExitCoded: Error {
    /// 64 for a usage error found before anything was changed, 1 for a failure.
    var exitCode: Int32 { get }
}

/// Where a value of a YAML document came from.
public enum YAMLPlace: Hashable, Sendable, CustomStringConvertible {
    /// A place in the file; line and column count from 1.
    case file(String, line: Int, column: Int)
    /// An override, with its text as it was given (`a.b=c`).
    case override(String)

    public var description: String {
        switch self {
        case .file(let file, let line, let column): "\(file):\(line):\(column)"
        case .override(let text): "--set \(text)"
        }
    }
}

/// A YAML file that cannot be taken as what it should be, with the place and the fix.
public enum StrictYAMLError: ExitCoded, Equatable, CustomStringConvertible {
    /// The file cannot be read.
    case unreadable(file: String, reason: String)
    /// The text is not YAML, or is YAML this reader refuses (aliases, tags, size, depth).
    case malformed(place: YAMLPlace, reason: String)
    /// A key that nothing asks for.
    case unknownKey(place: YAMLPlace, key: String, nearest: String?, known: [String])
    /// A key that must be there.
    case missingKey(place: YAMLPlace, key: String, misspelling: String?)
    /// A value of another type than the one wanted.
    case wrongType(place: YAMLPlace, key: String, expected: String, found: String)
    /// A value of the right type that makes no sense.
    case badValue(place: YAMLPlace, key: String, reason: String)
    /// An override that is not of the form `a.b=c`, or whose way is blocked.
    case badOverride(text: String, reason: String)

    public var exitCode: Int32 { 64 }

    public var description: String {
        switch self {
        case .unreadable(let file, let reason): return "\(file): \(reason)"
        case .malformed(let place, let reason): return "\(place): \(reason)"
        case .unknownKey(let place, let key, let nearest, let known):
            if let nearest {
                return "\(place): unknown key \"\(key)\"; did you mean \"\(nearest)\"?"
            }
            return "\(place): unknown key \"\(key)\"; the keys here are "
                + known.joined(separator: ", ")
        case .missingKey(let place, let key, let misspelling):
            return "\(place): the key \"\(key)\" is missing"
                + (misspelling.map { "; is \"\($0)\" a misspelling of it?" } ?? "")
        case .wrongType(let place, let key, let expected, let found):
            return "\(place): \"\(key)\" must be \(expected), but it is \(found)"
        case .badValue(let place, let key, let reason):
            return "\(place): \(key.isEmpty ? "" : "\"\(key)\": ")\(reason)"
        case .badOverride(let text, let reason): return "--set \(text): \(reason)"
        }
    }
}

/// Thrown from an `init(from:)` to refuse a value; ``StrictYAML`` adds file, line and column.
public struct PlanValueError: Error, CustomStringConvertible {
    /// What is wrong with the value and what to write instead.
    public let reason: String
    /// The key whose value is refused; nil stands for the whole section.
    public let key: String?

    public init(_ reason: String, key: (any CodingKey)? = nil) {
        self.reason = reason
        self.key = key?.stringValue
    }

    public var description: String { (key.map { "\"\($0)\": " } ?? "") + reason }
}
