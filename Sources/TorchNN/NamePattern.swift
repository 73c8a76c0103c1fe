/// A name in which `*` stands for any characters, or none.
public struct NamePattern: Sendable {
    private let parts: [Substring]

    /// A pattern as it is written, such as `*.q_proj.weight`.
    public init(_ pattern: String) {
        parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    }

    /// Whether the pattern stands for the whole of `name`.
    public func matches(_ name: String) -> Bool {
        guard parts.count > 1, let first = parts.first, let last = parts.last else {
            return parts.first.map { $0 == name } ?? name.isEmpty
        }
        guard name.hasPrefix(first), name.hasSuffix(last), name.count >= first.count + last.count
        else { return false }
        var rest = name.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}
