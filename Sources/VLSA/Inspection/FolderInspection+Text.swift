import Torch
import TorchNN

extension FolderInspection {
    /// The folder for people: configuration, parameters by part with their layers put together, tokenizer,
    /// faults.
    public var text: String {
        var lines = ["\(path): \(family?.rawValue ?? "no family known here") (\(kind))", ""]
        lines.append("configuration")
        lines += configuration.sorted { isNaturallyBefore($0.key, $1.key) }
            .map { "  \($0.key): \($0.value)" }
        lines += ["", "parameters"]
        let parts = Dictionary(grouping: parameters, by: \.part)
        for part in parts.keys.sorted() {
            let members = parts[part] ?? []
            lines.append("  \(part): \(Self.total(members))")
            lines += Self.table(members).map { "    " + $0 }
        }
        lines.append("  together: \(Self.total(parameters))")
        for (name, target) in tied.sorted(by: { $0.key < $1.key }) {
            lines.append("  tied: \(name) is \(target)")
        }
        if !passedOver.isEmpty {
            let parts = Set(
                passedOver.map { $0.split(separator: ".").first.map(String.init) ?? $0 })
            lines.append(
                "  passed over, not used by this model: \(passedOver.count) tensors of "
                    + parts.sorted().joined(separator: ", "))
        }
        if let tokenizer { lines += ["", "tokenizer"] + tokenizer.lines.map { "  " + $0 } }
        lines.append("")
        lines += faults.isEmpty ? ["it loads: nothing to object to"] : faults.map { "fault: \($0)" }
        return lines.joined(separator: "\n")
    }

    /// One line for every tensor whose name matches `pattern` (`*` stands for anything).
    public func listing(of pattern: String) -> [String] {
        let pattern = NamePattern(pattern)
        let found = parameters.filter { pattern.matches($0.name) }
        return alignedColumns(
            found.map { parameter in
                [
                    parameter.name, "\(parameter.shape)", parameter.dtype?.rawValue ?? "not stored",
                    groupedDigits(parameter.count), byteText(parameter.byteCount),
                ]
            })
    }

    private static func total(_ parameters: [ListedParameter]) -> String {
        let count = groupedDigits(parameters.reduce(0) { $0 + $1.count })
        let bytes = byteText(parameters.reduce(0) { $0 + $1.byteCount })
        return "\(count) in \(parameters.count) tensors, \(bytes)"
    }

    private static func table(_ parameters: [ListedParameter]) -> [String] {
        alignedColumns(
            CollapsedParameters.collapsing(parameters).compactMap { group in
                guard let first = group.members.first else { return nil }
                return [
                    group.name, "\(first.shape)", first.dtype?.rawValue ?? "not stored",
                    group.members.count == 1 ? "" : "\(group.members.count) x",
                    groupedDigits(group.members.count * first.count),
                    byteText(group.members.reduce(0) { $0 + $1.byteCount }),
                ]
            })
    }
}

extension TokenizerFacts {
    var lines: [String] {
        let named = [("begins", beginning), ("ends", end), ("fills", padding)]
        let shown = special.sorted { $0.key < $1.key }.prefix(12).map { "\($0.key) \($0.value)" }
        return [
            "\(groupedDigits(tokenCount)) tokens, ids below \(groupedDigits(idLimit))",
            named.map { "\($0): \($1 ?? "none")" }.joined(separator: "; "),
            "\(special.count) special: " + shown.joined(separator: ", ")
                + (special.count > shown.count ? ", …" : ""),
        ]
    }
}
