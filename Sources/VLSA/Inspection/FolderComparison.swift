import Torch

/// What differs between two model folders.
public struct FolderComparison: Encodable, Equatable {
    /// Something that both have, otherwise.
    public struct Difference: Encodable, Equatable, Sendable {
        /// A configuration key or a parameter.
        public let name: String
        /// In the first folder; nil where it is not there.
        public let here: String?
        /// In the second.
        public let there: String?
    }

    /// How far a parameter's values lie apart.
    public struct Distance: Encodable, Equatable, Sendable {
        public let name: String
        /// Greatest absolute difference of two values; not a number where one of them is none.
        public let largest: Double
    }

    /// Keys of `config.json` that differ or are in one folder only.
    public let configuration: [Difference]
    /// Parameters of the first folder alone.
    public let onlyHere: [String]
    /// Parameters of the second alone.
    public let onlyThere: [String]
    /// Parameters with another shape or type.
    public let parameters: [Difference]
    /// Distances of all parameters of equal shape, 0 for equal ones; nil where values were not compared.
    public let values: [Distance]?

    /// Compares two folders by this package's names, so the same network in two layouts is the same.
    ///
    /// - Parameter comparingValues: reads every tensor of both folders, a piece at a time.
    public init(
        _ here: FolderInspection, _ there: FolderInspection, comparingValues: Bool = false
    ) throws {
        let keys = Set(here.configuration.keys).union(there.configuration.keys)
        configuration = keys.sorted(by: isNaturallyBefore).compactMap { key in
            let (a, b) = (here.configuration[key], there.configuration[key])
            return a == b ? nil : Difference(name: key, here: a, there: b)
        }
        let others = Dictionary(there.parameters.map { ($0.name, $0) }) { first, _ in first }
        let own = Set(here.parameters.map(\.name))
        onlyHere = here.parameters.map(\.name).filter { others[$0] == nil }
        onlyThere = there.parameters.map(\.name).filter { !own.contains($0) }
        parameters = here.parameters.compactMap { parameter in
            guard let other = others[parameter.name],
                (other.shape, other.dtype) != (parameter.shape, parameter.dtype)
            else { return nil }
            return Difference(
                name: parameter.name, here: Self.form(parameter), there: Self.form(other))
        }
        values =
            comparingValues
            ? try here.parameters.filter { others[$0.name]?.shape == $0.shape }.compactMap {
                parameter in
                guard let a = try here.tensor(parameter.name),
                    let b = try there.tensor(parameter.name)
                else { return nil }
                return Distance(name: parameter.name, largest: largestDifference(a, b))
            } : nil
    }

    /// Whether nothing was found to differ.
    public var isEmpty: Bool {
        configuration.isEmpty && onlyHere.isEmpty && onlyThere.isEmpty && parameters.isEmpty
            && (values ?? []).allSatisfy { $0.largest == 0 }
    }

    private static func form(_ parameter: ListedParameter) -> String {
        "\(parameter.shape) \(parameter.dtype?.rawValue ?? "not stored")"
    }

    /// The differences for people; layers that differ alike share a line.
    public var text: String {
        guard !isEmpty else {
            return values == nil ? "no difference; values not compared" : "no difference"
        }
        var lines: [String] = []
        if !configuration.isEmpty {
            lines.append("configuration")
            lines += configuration.map { "  \($0.name): \($0.here ?? "–") | \($0.there ?? "–")" }
        }
        for (title, names) in [("only here", onlyHere), ("only there", onlyThere)]
        where !names.isEmpty {
            lines.append("\(title): \(names.count) tensors")
            lines += collapsed(names).map { "  " + $0.name }
        }
        if !parameters.isEmpty {
            lines.append("shape or type: \(parameters.count) tensors")
            let forms = Dictionary(grouping: parameters) { "\($0.here ?? "") | \($0.there ?? "")" }
            for (form, members) in forms.sorted(by: { $0.key < $1.key }) {
                lines += collapsed(members.map(\.name)).map { "  \($0.name): \(form)" }
            }
        }
        if let values {
            let distances = Dictionary(values.map { ($0.name, $0.largest) }) { first, _ in first }
            let apart = values.filter { $0.largest != 0 }
            lines.append("values: \(values.count - apart.count) tensors equal, \(apart.count) not")
            lines += alignedColumns(
                collapsed(apart.map(\.name)).map { group in
                    let largest = group.members.map { distances[$0.name] ?? 0 }
                    let worst = largest.contains(where: \.isNaN) ? .nan : largest.max() ?? 0
                    return ["  " + group.name, "\(Float(worst))"]
                })
        }
        return lines.joined(separator: "\n")
    }

    private func collapsed(_ names: [String]) -> [CollapsedParameters] {
        CollapsedParameters.collapsing(
            names.map { ListedParameter(name: $0, shape: [], dtype: nil) })
    }
}

/// Greatest absolute difference of two tensors of equal shape, in fp32, a few rows at a time.
private func largestDifference(_ a: Tensor, _ b: Tensor) -> Double {
    guard a.count > 0 else { return 0 }
    return withoutGradients {
        let (a, b) = (a.reshaped([-1]), b.reshaped([-1]))
        let piece = 1 << 24
        var largest = 0.0
        for start in stride(from: 0, to: a.count, by: piece) {
            let length = min(piece, a.count - start)
            let (x, y) = (
                a.narrowed(axis: 0, start: start, length: length).to(.float32),
                b.narrowed(axis: 0, start: start, length: length).to(.float32)
            )
            let found = (x - y).abs().max().item()
            if found.isNaN { return .nan }
            largest = max(largest, found)
        }
        return largest
    }
}
