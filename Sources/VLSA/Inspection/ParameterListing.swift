import Torch

/// One tensor of a folder, as its file has it.
public struct ListedParameter: Codable, Equatable, Sendable {
    /// Under the name this package uses: one name for every layout of a family.
    public let name: String
    public let shape: [Int]
    /// nil where no file has it.
    public let dtype: DType?

    public init(name: String, shape: [Int], dtype: DType?) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
    }

    /// First segment of the name.
    public var part: String { String(name.prefix { $0 != "." }) }
    /// Number of values.
    public var count: Int { shape.reduce(1, *) }
    /// Bytes in its file; 0 where no file has it.
    public var byteCount: Int { count * (dtype?.size ?? 0) }
}

/// Tensors of one shape and type whose names differ in one number, such as the same weight of every layer.
public struct CollapsedParameters: Equatable, Sendable {
    /// The names, their number as a range: `layers.0-31.mlp.up_proj.weight`.
    public let name: String
    public let members: [ListedParameter]

    /// Puts the layers of a list together, in natural order (2 before 10).
    public static func collapsing(_ parameters: [ListedParameter]) -> [CollapsedParameters] {
        struct Key: Hashable {
            let front: [Substring]
            let back: [Substring]
            let shape: [Int]
            let dtype: DType?
        }
        var order: [Key] = []
        var members: [Key: [(number: Int, parameter: ListedParameter)]] = [:]
        for parameter in parameters.sorted(by: { isNaturallyBefore($0.name, $1.name) }) {
            let segments = parameter.name.split(separator: ".", omittingEmptySubsequences: false)
            let place = segments.firstIndex { Int($0) != nil } ?? segments.count
            let key = Key(
                front: Array(segments[..<place]), back: Array(segments.dropFirst(place + 1)),
                shape: parameter.shape, dtype: parameter.dtype)
            if members[key] == nil { order.append(key) }
            let number = place < segments.count ? Int(segments[place]) ?? 0 : 0
            members[key, default: []].append((number, parameter))
        }
        return order.map { key in
            let found = members[key] ?? []
            guard found.count > 1 else {
                return CollapsedParameters(
                    name: found.first?.parameter.name ?? "", members: found.map(\.parameter))
            }
            let range = Substring(ranges(found.map(\.number)))
            return CollapsedParameters(
                name: (key.front + [range] + key.back).joined(separator: "."),
                members: found.map(\.parameter))
        }
    }
}

/// `[0, 1, 2, 5]` as `0-2,5`; the numbers rise.
func ranges(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
        if let last = runs.last, number == last.upperBound + 1 {
            runs[runs.count - 1] = last.lowerBound...number
        } else {
            runs.append(number...number)
        }
    }
    return runs.map { run in
        run.count == 1 ? "\(run.lowerBound)" : "\(run.lowerBound)-\(run.upperBound)"
    }.joined(separator: ",")
}

/// Order of dotted names in which numbers go by their value.
func isNaturallyBefore(_ a: String, _ b: String) -> Bool {
    for (x, y) in zip(a.split(separator: "."), b.split(separator: ".")) where x != y {
        if let x = Int(x), let y = Int(y) { return x < y }
        return x < y
    }
    return a.utf8.count < b.utf8.count
}
