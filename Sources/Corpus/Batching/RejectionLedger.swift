/// The records left out of a run, counted by kind, the first of them in full.
public struct RejectionLedger: Sendable, Equatable {
    /// Records looked at.
    public private(set) var seen = 0
    /// Records left out, by kind.
    public private(set) var counts: [RejectionKind: Int] = [:]
    /// The first ``entryLimit`` of them.
    public private(set) var entries: [Rejection] = []
    /// Entries kept in full.
    public let entryLimit: Int
    /// Share of the records looked at that may be left out, 0...1.
    public let maxShare: Double
    /// So many may be left out whatever their share, unless it is 0.
    public let alwaysAllowed: Int

    /// A ledger that allows `maxShare` of the records, and `alwaysAllowed` in any case, to be left out.
    public init(maxShare: Double = 0.05, alwaysAllowed: Int = 20, entryLimit: Int = 1000) {
        (self.maxShare, self.alwaysAllowed, self.entryLimit) = (maxShare, alwaysAllowed, entryLimit)
    }

    /// Records left out.
    public var rejected: Int { counts.values.reduce(0, +) }

    mutating func accept() { seen += 1 }

    mutating func restore(seen: Int, counts: [RejectionKind: Int]) {
        (self.seen, self.counts) = (seen, counts)
    }

    /// Notes a record; throws when too many have been left out.
    mutating func reject(_ rejection: Rejection) throws(CorpusError) {
        seen += 1
        counts[rejection.kind, default: 0] += 1
        if entries.count < entryLimit { entries.append(rejection) }
        guard maxShare == 0 || rejected > alwaysAllowed,
            Double(rejected) > maxShare * Double(seen)
        else { return }
        throw .tooManyRejected(
            "\(rejected) of \(seen) records cannot be used (\(summary)), over the allowed share of \(maxShare); "
                + "the last: \(rejection)")
    }

    /// Counts by kind, the most frequent first, such as "12 missing_picture, 3 malformed".
    public var summary: String {
        counts.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
            .map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
    }
}
