import Codecs
import Foundation

/// Which records of a file a mixture takes: `all`, `first:N`, `end:N` or `random:N`, N a number or a
/// percentage (rounded up).
public enum SamplingStrategy: Equatable, Sendable, CustomStringConvertible {
    case all
    case first(Amount)
    case end(Amount)
    /// Drawn without repetition by the mixture's seed.
    case random(Amount)

    /// How many records.
    public enum Amount: Equatable, Sendable {
        case records(Int)
        /// 0...100.
        case percent(Int)

        func count(of total: Int) -> Int {
            switch self {
            case .records(let count): min(count, total)
            case .percent(let percent): (percent * total + 99) / 100
            }
        }
    }

    /// Reads the notation above; nil where it is none.
    public init?(_ text: String) {
        if text == "all" {
            self = .all
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let isPercent = parts[1].hasSuffix("%")
        let digits = parts[1].dropLast(isPercent ? 1 : 0)
        guard !digits.isEmpty, digits.allSatisfy({ ("0"..."9").contains($0) }),
            let number = Int(digits),
            !isPercent || number <= 100
        else { return nil }
        let amount: Amount = isPercent ? .percent(number) : .records(number)
        switch parts[0] {
        case "first": self = .first(amount)
        case "end": self = .end(amount)
        case "random": self = .random(amount)
        default: return nil
        }
    }

    public var description: String {
        func text(_ amount: Amount) -> String {
            switch amount {
            case .records(let count): "\(count)"
            case .percent(let percent): "\(percent)%"
            }
        }
        return switch self {
        case .all: "all"
        case .first(let amount): "first:\(text(amount))"
        case .end(let amount): "end:\(text(amount))"
        case .random(let amount): "random:\(text(amount))"
        }
    }
}

/// Several record files, or parts of them, as one long list.
public struct RecordCollection: Sendable {
    /// One record file with what is taken of it.
    public struct Source: Equatable, Sendable {
        /// A JSON array or JSONL file.
        public var path: String
        /// What is taken of it.
        public var strategy: SamplingStrategy

        public init(path: String, strategy: SamplingStrategy = .all) {
            (self.path, self.strategy) = (path, strategy)
        }
    }

    private struct Part: Sendable {
        let file: RecordFile
        let start: Int
        let count: Int
        let order: SeededPermutation?
    }

    private let parts: [Part]
    private let ends: [Int]

    /// Number of records, broken ones included.
    public var count: Int { ends.last ?? 0 }
    /// A hexadecimal hash of the files and of what is taken of them.
    public let fingerprint: String
    /// The files that are read: those of records, and a mixture's own.
    private(set) var paths: [String]

    /// The records of the sources, one source after the other. `seed` decides what `random` takes.
    public init(_ sources: [Source], seed: UInt64 = 0, limits: RecordLimits = RecordLimits()) throws
    {
        var parts: [Part] = []
        var ends: [Int] = []
        var hash = stableHash("records", seed: seed)
        for (number, source) in sources.enumerated() {
            let file = try RecordFile(path: source.path, limits: limits)
            let part: Part
            switch source.strategy {
            case .all: part = Part(file: file, start: 0, count: file.count, order: nil)
            case .first(let amount):
                part = Part(file: file, start: 0, count: amount.count(of: file.count), order: nil)
            case .end(let amount):
                let count = amount.count(of: file.count)
                part = Part(file: file, start: file.count - count, count: count, order: nil)
            case .random(let amount):
                let order = SeededPermutation(
                    count: file.count, seed: stableHash("mixture/\(number)", seed: seed))
                part = Part(file: file, start: 0, count: amount.count(of: file.count), order: order)
            }
            parts.append(part)
            ends.append((ends.last ?? 0) + part.count)
            hash = stableHash("\(file.fingerprint)/\(source.strategy)", seed: hash)
        }
        self.parts = parts
        self.ends = ends
        fingerprint = String(hash, radix: 16)
        paths = sources.map(\.path)
    }

    /// A record file, several in braces (`dir/{a,b}.json`), or a mixture's YAML file.
    public init(path: String, seed: UInt64 = 0, limits: RecordLimits = RecordLimits()) throws {
        let isMixture = path.hasSuffix(".yaml") || path.hasSuffix(".yml")
        let sources =
            try isMixture ? Mixture.sources(path) : Self.expanded(path).map { Source(path: $0) }
        try self.init(sources, seed: seed, limits: limits)
        if isMixture { paths.append(path) }
    }

    /// The file and the position in it of a record below ``count``.
    public func location(of index: Int) -> (file: RecordFile, position: Int) {
        guard (0..<count).contains(index) else {
            fatalError("RecordCollection: record \(index) of \(count)")
        }
        var (low, high) = (0, ends.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if index < ends[middle] { high = middle } else { low = middle + 1 }
        }
        let part = parts[low]
        let local = part.start + index - (low == 0 ? 0 : ends[low - 1])
        return (part.file, part.order.map { $0[local] } ?? local)
    }

    /// A record below ``count``; throws a ``Rejection`` that names it.
    public func record(at index: Int) throws(Rejection) -> Record {
        let (file, position) = location(of: index)
        return try file.record(at: position)
    }

    /// `dir/{a,b}.json` as its several paths.
    static func expanded(_ path: String) -> [String] {
        guard let open = path.firstIndex(of: "{"), let close = path[open...].firstIndex(of: "}")
        else {
            return [path]
        }
        return path[path.index(after: open)..<close]
            .split(separator: ",", omittingEmptySubsequences: false)
            .map { path[..<open] + $0 + path[path.index(after: close)...] }
            .map(String.init)
    }
}
