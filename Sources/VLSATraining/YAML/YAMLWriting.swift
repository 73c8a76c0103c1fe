import Yams

/// `value` as YAML, keys in the order they are encoded and numbers as people write them (0.03, not 3e-2).
public func yamlText(of value: some Encodable) throws -> String {
    let encoder = YAMLEncoder()
    encoder.options = YAMLEncoder.Options(indent: 2, width: -1, allowUnicode: true)
    let text = try encoder.encode(value)
    guard let node = try Yams.compose(yaml: text) else { return text }
    return try Yams.serialize(
        node: withPlainNumbers(node), indent: 2, width: -1, allowUnicode: true)
}

private func withPlainNumbers(_ node: Node) -> Node {
    switch node {
    case .scalar(var scalar):
        guard scalar.style == .plain, scalar.string.contains("e"),
            scalar.string.allSatisfy({ "0123456789+-.e".contains($0) }),
            let value = Double(scalar.string)
        else { return node }
        scalar.string = "\(value)".hasSuffix(".0") ? String("\(value)".dropLast(2)) : "\(value)"
        return .scalar(scalar)
    case .sequence(let sequence):
        return .sequence(.init(sequence.map(withPlainNumbers), sequence.tag, sequence.style))
    case .mapping(let mapping):
        return .mapping(
            .init(mapping.map { ($0, withPlainNumbers($1)) }, mapping.tag, mapping.style))
    case .alias:
        return node
    }
}
