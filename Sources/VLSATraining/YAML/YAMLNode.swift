import Foundation
import Yams

/// One value of a YAML document with its place; mappings remember which keys were asked for.
final class YAMLNode {
    enum Content {
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    struct Entry {
        let key: String
        let place: YAMLPlace
        var value: YAMLNode
    }

    var content: Content
    let place: YAMLPlace
    /// Keys that decoding asked this mapping for; nil while nobody decoded it as a mapping.
    var askedKeys: Set<String>?

    init(_ content: Content, place: YAMLPlace) {
        self.content = content
        self.place = place
    }

    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return ["", "~", "null"].contains(text)
    }

    /// What the value is, for messages.
    var kind: String {
        switch content {
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .scalar where isNull: "empty"
        case .scalar(let text, isPlain: true): text
        case .scalar(let text, isPlain: false): "the text \"\(text)\""
        }
    }

    subscript(key: String) -> Entry? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }
    }
}

/// What a YAML document may cost before it is refused.
struct YAMLBudget {
    var bytes = 1 << 20
    var nodes = 20_000
    var depth = 64
}

extension YAMLNode {
    /// Reads one YAML document under a budget; anchors, aliases, tags and duplicate keys are refused.
    ///
    /// - Parameter place: where line and column of the text are, made a ``YAMLPlace``.
    static func parsed(
        _ text: String, budget: YAMLBudget = YAMLBudget(), place: (Int, Int) -> YAMLPlace
    ) throws(StrictYAMLError) -> YAMLNode {
        guard text.utf8.count <= budget.bytes else {
            let reason = "the document has \(text.utf8.count) bytes, more than \(budget.bytes)"
            throw .malformed(place: place(1, 1), reason: reason)
        }
        // Yams expands aliases while composing and hashes mapping keys, so a document that uses one has to be
        // refused before it is composed.
        if let (line, column) = firstUsedAlias(in: text) {
            throw .malformed(
                place: place(line, column),
                reason: "aliases (&name, *name) are not supported; write the value out")
        }
        do {
            let parser = try Parser(yaml: text, encoding: .utf8)
            // The parser owns the anchors, which the nodes only refer to weakly.
            return try withExtendedLifetime(parser) {
                guard let root = try parser.singleRoot() else {
                    return YAMLNode(.mapping([]), place: place(1, 1))
                }
                var left = budget.nodes
                return try converted(root, depth: budget.depth, nodes: &left, place: place)
            }
        } catch let error as StrictYAMLError {
            throw error
        } catch let error as YamlError {
            throw described(error, place: place)
        } catch {
            throw .malformed(place: place(1, 1), reason: "\(error)")
        }
    }

    private static func converted(
        _ node: Node, depth: Int, nodes: inout Int, place: (Int, Int) -> YAMLPlace
    ) throws(StrictYAMLError) -> YAMLNode {
        let here = place(node.mark?.line ?? 1, node.mark?.column ?? 1)
        nodes -= 1
        guard nodes >= 0 else {
            throw .malformed(place: here, reason: "the document has too many values")
        }
        guard depth > 0 else {
            throw .malformed(place: here, reason: "the document is nested too deeply")
        }
        guard node.anchor == nil else {
            throw .malformed(
                place: here, reason: "anchors (&name) are not supported; write the value out")
        }
        switch node {
        case .scalar(let scalar):
            let isPlain = scalar.style == .plain || scalar.style == .any
            // Yams itself marks quoted scalars as texts.
            guard
                hasNoTag(scalar.tag)
                    || (!isPlain && scalar.tag.description == Tag.Name.str.rawValue)
            else { throw tagged(here) }
            return YAMLNode(.scalar(scalar.string, isPlain: isPlain), place: here)
        case .sequence(let sequence):
            guard hasNoTag(sequence.tag) else { throw tagged(here) }
            var values: [YAMLNode] = []
            for value in sequence {
                values.append(
                    try converted(value, depth: depth - 1, nodes: &nodes, place: place))
            }
            return YAMLNode(.sequence(values), place: here)
        case .mapping(let mapping):
            guard hasNoTag(mapping.tag) else { throw tagged(here) }
            var entries: [Entry] = []
            for (key, value) in mapping {
                let at = place(key.mark?.line ?? 1, key.mark?.column ?? 1)
                guard case .scalar(let name) = key else {
                    throw .malformed(place: at, reason: "a key must be a word")
                }
                guard !entries.contains(where: { $0.key == name.string }) else {
                    throw .malformed(place: at, reason: "the key \"\(name.string)\" is there twice")
                }
                let value = try converted(value, depth: depth - 1, nodes: &nodes, place: place)
                entries.append(Entry(key: name.string, place: at, value: value))
            }
            return YAMLNode(.mapping(entries), place: here)
        case .alias:
            throw .malformed(
                place: here, reason: "aliases (*name) are not supported; write the value out")
        }
    }

    private static func hasNoTag(_ tag: Tag) -> Bool {
        tag.description.isEmpty || tag.description == "!"
    }

    private static func tagged(_ place: YAMLPlace) -> StrictYAMLError {
        .malformed(place: place, reason: "tags (!name) are not supported; write the plain value")
    }

    /// The first `*name` whose `&name` is in the text too, wherever both stand.
    private static func firstUsedAlias(in text: String) -> (line: Int, column: Int)? {
        var anchors: Set<[UInt8]> = []
        var aliases: [(name: [UInt8], line: Int, column: Int)] = []
        let bytes = Array(text.utf8)
        var (line, lineStart) = (1, 0)
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "\n") { (line, lineStart) = (line + 1, index + 1) }
            guard byte == UInt8(ascii: "&") || byte == UInt8(ascii: "*") else { continue }
            let name = bytes[(index + 1)...].prefix {
                switch $0 {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
            guard !name.isEmpty else { continue }
            if byte == UInt8(ascii: "&") {
                anchors.insert(Array(name))
            } else {
                aliases.append((Array(name), line, index - lineStart + 1))
            }
        }
        return aliases.first { anchors.contains($0.name) }.map { ($0.line, $0.column) }
    }

    private static func described(
        _ error: YamlError, place: (Int, Int) -> YAMLPlace
    ) -> StrictYAMLError {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return .malformed(place: place(mark.line, mark.column), reason: problem)
        case .duplicatedKeysInMapping(let keys, let context):
            return .malformed(
                place: place(context.mark.line, context.mark.column),
                reason: "the key \"\(keys.first ?? "")\" is there twice")
        case .reader(let problem, _, _, _):
            return .malformed(place: place(1, 1), reason: problem)
        default:
            return .malformed(place: place(1, 1), reason: "\(error)")
        }
    }
}

extension YAMLNode {
    /// Replaces, or adds, the value that an override `a.b=c` names; list elements go by number.
    func apply(override text: String, budget: YAMLBudget = YAMLBudget()) throws(StrictYAMLError) {
        guard let equals = text.firstIndex(of: "=") else {
            throw .badOverride(
                text: text, reason: "write key=value, for example optimizer.rate=1e-4")
        }
        let segments = text[..<equals].split(separator: ".", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }
        guard !segments.contains("") else {
            throw .badOverride(
                text: text, reason: "write key=value, for example optimizer.rate=1e-4")
        }
        let value: YAMLNode
        let written = String(text[text.index(after: equals)...])
        if written.trimmingCharacters(in: .whitespaces).isEmpty {
            value = YAMLNode(.scalar("", isPlain: true), place: .override(text))
        } else {
            value = try YAMLNode.parsed(written, budget: budget) { _, _ in .override(text) }
        }
        try set(value, at: segments[...], override: text)
    }

    private func set(
        _ value: YAMLNode, at path: ArraySlice<String>, override text: String
    ) throws(StrictYAMLError) {
        guard let segment = path.first else { return }
        let rest = path.dropFirst()
        if isNull { content = .mapping([]) }
        switch content {
        case .mapping(var entries):
            let index = entries.firstIndex { $0.key == segment }
            if rest.isEmpty {
                let entry = Entry(key: segment, place: .override(text), value: value)
                if let index { entries[index] = entry } else { entries.append(entry) }
                content = .mapping(entries)
            } else if let index {
                try entries[index].value.set(value, at: rest, override: text)
            } else {
                let added = YAMLNode(.mapping([]), place: .override(text))
                try added.set(value, at: rest, override: text)
                entries.append(Entry(key: segment, place: .override(text), value: added))
                content = .mapping(entries)
            }
        case .sequence(var values):
            guard let index = Int(segment), values.indices.contains(index) else {
                throw .badOverride(
                    text: text,
                    reason: "\"\(segment)\" is not an index of a list of \(values.count)")
            }
            if rest.isEmpty {
                values[index] = value
                content = .sequence(values)
            } else {
                try values[index].set(value, at: rest, override: text)
            }
        case .scalar:
            throw .badOverride(
                text: text, reason: "there is no \"\(segment)\" in \(kind), which is a single value"
            )
        }
    }
}
