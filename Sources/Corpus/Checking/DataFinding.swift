/// How much a finding of a data check matters.
public enum FindingSeverity: String, Codable, CaseIterable, Sendable {
    /// The record can be used, but perhaps not as its author thinks.
    case warning
    /// The record would be left out.
    case error
}

/// What a data check warns of.
public enum DataWarning: String, CaseIterable, Sendable {
    /// An earlier record of the same file has the same id.
    case duplicate
    /// An earlier record has the same pictures and the same words.
    case repeated
    /// Turns that training drops: an opening of the model's, a question without an answer.
    case droppedTurns = "dropped_turns"
    /// Longer than the longest sample; what is beyond is cut off.
    case cut
    /// A code or colour token, such as `<vq_17>`, that the tokenizer does not have.
    case unknownToken = "unknown_token"
}

/// One thing that a data check found: a line of its ledger.
public struct DataFinding: Codable, Equatable, Sendable {
    /// The record file.
    public var file: String
    /// The record's index in it, from 0.
    public var index: Int
    /// The record's id, where it could be read.
    public var id: String?
    /// How much it matters.
    public var severity: FindingSeverity
    /// ``RejectionKind`` of an error, ``DataWarning`` of a warning.
    public var kind: String
    /// What is wrong, in words.
    public var reason: String
}

/// What a data check found in all.
public struct DataCheckReport: Equatable, Sendable {
    /// Records looked at.
    public var records = 0
    /// Records with an error.
    public var unusable = 0
    /// Records without pictures.
    public var textOnly = 0
    /// Turns of the records that could be read.
    public var turns = 0
    /// Pictures that records name, with repetitions.
    public var pictures = 0
    /// Findings by severity and kind.
    public var counts: [FindingSeverity: [String: Int]] = [:]
    /// Length in tokens of every record that was tokenised, before any cut, pictures in full.
    public var lengths: [Int] = []
    /// Tokens of those records that are trained on, after the cut.
    public var supervised = 0
    /// The first three findings of every kind, errors before warnings.
    public var first: [DataFinding] = []

    /// The gravest severity found; nil where nothing was.
    public var worst: FindingSeverity? {
        counts[.error] != nil ? .error : counts[.warning] != nil ? .warning : nil
    }

    /// The length below or at which a share of the tokenised records lie; nil where none were.
    public func length(atShare share: Double) -> Int? {
        guard !lengths.isEmpty else { return nil }
        let sorted = lengths.sorted()
        return sorted[
            min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
    }

    mutating func add(_ finding: DataFinding) {
        counts[finding.severity, default: [:]][finding.kind, default: 0] += 1
        guard counts[finding.severity]?[finding.kind] ?? 0 <= 3 else { return }
        let firstWarning = first.firstIndex { $0.severity == .warning } ?? first.count
        first.insert(finding, at: finding.severity == .error ? firstWarning : first.count)
    }
}
