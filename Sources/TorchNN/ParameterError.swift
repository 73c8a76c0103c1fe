/// What is wrong between a model's parameters and the checkpoint it is filled from.
public enum ParameterError: Error, CustomStringConvertible, Equatable {
    /// The checkpoint that covers this name has no such tensor.
    case missing(name: String, source: String, nearest: String?)
    /// The checkpoint's tensor has another shape than the model's parameter.
    case misshapen(name: String, source: String, found: [Int], expected: [Int])
    /// The checkpoint's tensor has a type that cannot become a weight.
    case wrongType(name: String, source: String, dtype: String)
    /// Two tensors of the checkpoint, or two parameters of the model, claim one name.
    case duplicate(name: String, source: String)
    /// Tensors of the checkpoint that no parameter asked for; `nearest` belongs to the first.
    case unclaimed(names: [String], source: String, nearest: String?)
    /// A second name was to be given to a parameter that does not exist.
    case unknownTie(name: String, target: String)
    /// An adapter's target that no linear layer matches.
    case unmatchedTarget(String, nearest: String?)
    /// Saved optimizer state that does not belong to the optimizer's parameters.
    case foreignState(reason: String)

    /// The full name, the file, and the nearest name that exists.
    public var description: String {
        switch self {
        case .missing(let name, let source, let nearest):
            "\(source): no tensor for the parameter \"\(name)\"" + Self.hint(nearest)
        case .misshapen(let name, let source, let found, let expected):
            "\(source): tensor \"\(name)\" has shape \(found), the model needs \(expected); "
                + "the configuration is probably not this checkpoint's"
        case .wrongType(let name, let source, let dtype):
            "\(source): tensor \"\(name)\" has dtype \(dtype), which cannot be a weight"
        case .duplicate(let name, let source):
            "\(source): the parameter \"\(name)\" is there twice"
        case .unclaimed(let names, let source, let nearest):
            "\(source): the model has no parameter for "
                + names.prefix(5).map { "\"\($0)\"" }.joined(separator: ", ")
                + (names.count > 5 ? " and \(names.count - 5) more" : "") + Self.hint(nearest)
        case .unknownTie(let name, let target):
            "\"\(name)\" cannot be tied to \"\(target)\": there is no such parameter"
        case .unmatchedTarget(let target, let nearest):
            "lora.targets: no linear layer matches \"\(target)\"" + Self.hint(nearest)
        case .foreignState(let reason): "the optimizer state does not fit: \(reason)"
        }
    }

    private static func hint(_ nearest: String?) -> String {
        nearest.map { "; the nearest name is \"\($0)\"" } ?? ""
    }
}

/// The candidate with the fewest letters changed, added or removed; nil when there is none.
func nearestName(to name: String, among candidates: some Sequence<String>) -> String? {
    let target = Array(name.utf8)
    var best: (distance: Int, name: String)?
    for candidate in candidates {
        let other = Array(candidate.utf8)
        let least = abs(other.count - target.count)
        if let best, (least, candidate) >= (best.distance, best.name) { continue }
        let distance = editDistance(target, other)
        if best.map({ (distance, candidate) < ($0.distance, $0.name) }) ?? true {
            best = (distance, candidate)
        }
    }
    return best?.name
}

private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var row = Array(0...b.count)
    for i in 0..<a.count {
        var diagonal = row[0]
        row[0] = i + 1
        for j in 0..<b.count {
            let substituted = diagonal + (a[i] == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
        }
    }
    return row[b.count]
}
