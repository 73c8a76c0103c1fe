import AnyRes
import Codecs
import Foundation
import Prompting
import Synchronization

/// Looks at every record of a collection as augmentation and training will, and says what is wrong.
public struct DataCheck: Sendable {
    /// Threads; 0 does all on the caller's.
    public var workers = 2
    /// Decode every picture, which finds those that are cut off; else only headers are read.
    public var decodesPictures = true
    /// How large a record may be.
    public var limits = RecordLimits()

    private let records: RecordCollection
    private let folder: PictureFolder?
    private let reader: PictureReader
    private let builder: SampleBuilder?
    private let tokenizer: Tokenizer?

    /// - Parameters:
    ///   - folder: where pictures lie; nil where records are text alone.
    ///   - builder: tokenises the records; nil leaves lengths out.
    public init(
        _ records: RecordCollection, folder: PictureFolder?,
        reader: PictureReader = PictureReader(), builder: SampleBuilder? = nil
    ) {
        self.records = records
        self.folder = folder
        self.reader = reader
        self.builder = builder
        tokenizer = builder?.tokenizer
    }

    private struct Verdict: Sendable {
        var id: String?
        var error: RecordProblem?
        var warnings: [(DataWarning, String)] = []
        var pictures = 0
        var turns = 0
        var words: UInt64?
        var length: Int?
        var supervised = 0
    }

    /// Sizes of pictures known to be good, by a hash of their path.
    private final class KnownPictures: Sendable {
        private let sizes = Mutex<[UInt64: PictureSize]>([:])

        func size(of path: String, look: () throws -> PictureSize) throws -> PictureSize {
            let key = stableHash(path)
            if let known = sizes.withLock({ $0[key] }) { return known }
            let size = try look()
            sizes.withLock { $0[key] = size }
            return size
        }
    }

    /// Checks all records; findings go, one a line of JSON, to `ledger`, which appears when all are there.
    public func run(
        ledger path: String? = nil, progress: ((_ done: Int, _ findings: Int) -> Void)? = nil
    ) throws -> DataCheckReport {
        let ledger = try path.map { path throws(CorpusError) in try AtomicFile(path: path) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var report = DataCheckReport()
        var ids: [ObjectIdentifier: Set<UInt64>] = [:]
        var words: [UInt64: Int] = [:]
        let known = KnownPictures()
        let block = 16
        let pool = OrderedWorkers(
            count: workers, ahead: 8 * max(1, workers), end: (records.count + block - 1) / block
        ) { ticket in
            (ticket * block..<min((ticket + 1) * block, records.count)).map {
                verdict(of: $0, known)
            }
        }
        while let verdicts = pool.next() {
            for verdict in verdicts {
                let (file, position) = records.location(of: report.records)
                var warnings = verdict.warnings
                let id = file.idHash(at: position)
                if id != 0, !ids[ObjectIdentifier(file), default: []].insert(id).inserted {
                    warnings.append((.duplicate, "an earlier record of the file has the same id"))
                }
                if let hash = verdict.words {
                    if let earlier = words[hash] {
                        let place = records.location(of: earlier)
                        warnings.append(
                            (
                                .repeated,
                                "record \(place.position) of \(place.file.path) has the same pictures and words"
                            ))
                    } else {
                        words[hash] = report.records
                    }
                }
                var findings = warnings.map { ($0.rawValue, FindingSeverity.warning, $1) }
                if let error = verdict.error {
                    findings.insert((error.kind.rawValue, .error, error.reason), at: 0)
                    report.unusable += 1
                }
                for (kind, severity, reason) in findings {
                    let finding = DataFinding(
                        file: file.path, index: position, id: verdict.id, severity: severity,
                        kind: kind, reason: reason)
                    report.add(finding)
                    try ledger?.write([UInt8](encoder.encode(finding)) + [UInt8(ascii: "\n")])
                }
                report.records += 1
                report.turns += verdict.turns
                report.pictures += verdict.pictures
                report.textOnly += verdict.error == nil && verdict.pictures == 0 ? 1 : 0
                report.supervised += verdict.supervised
                if let length = verdict.length { report.lengths.append(length) }
            }
            progress?(
                report.records, report.counts.values.reduce(0) { $0 + $1.values.reduce(0, +) })
        }
        try ledger?.finish()
        return report
    }

    private func verdict(of index: Int, _ known: KnownPictures) -> Verdict {
        var verdict = Verdict()
        do {
            let record = try records.record(at: index)
            verdict.id = record.id
            verdict.turns = record.turns.count
            verdict.pictures = record.images.count
            try check(record, known, &verdict)
        } catch {
            verdict.error = RecordProblem(error)
        }
        return verdict
    }

    private func check(
        _ record: Record, _ known: KnownPictures, _ verdict: inout Verdict
    ) throws {
        try record.check(limits)
        verdict.words = (record.images + record.turns.map { "\($0.from) \($0.value)" })
            .reduce(stableHash("\(record.images.count)")) { stableHash($1, seed: $0) }
        let turns = SampleBuilder.turns(of: record)
        if turns.count < record.turns.count {
            let opening = record.turns.first { $0.from != .system }?.from == .gpt
            verdict.warnings.append(
                (
                    .droppedTurns,
                    opening
                        ? "the conversation opens with the model, whose first turn training drops"
                        : "the last question has no answer, and training drops it"
                ))
        }
        do {
            _ = try ChatFormat.vicunaV1.render(turns)
        } catch {
            throw RecordProblem(kind: .prompt, reason: "\(error)")
        }
        let sizes = try record.images.map { name in
            guard let folder else {
                throw RecordProblem(
                    kind: .missingPicture,
                    reason: "the record has pictures, but no picture folder is given")
            }
            let file = FilePicture(path: try folder.resolve(name), reader: reader)
            return try known.size(of: file.path) {
                try decodesPictures ? file.picture().original : file.size()
            }
        }
        guard let builder else { return }
        if let token = unknownToken(in: record) {
            verdict.warnings.append(
                (.unknownToken, "the tokenizer has no token \(token), which is read as plain text"))
        }
        let measure = try builder.measured(record, sizes: sizes)
        verdict.length = measure.length
        verdict.supervised = measure.supervisedCount
        if let limit = builder.settings.maxLength, measure.length > limit {
            verdict.warnings.append(
                (.cut, "\(measure.length) tokens, cut to \(limit)"))
        }
    }

    /// A code or colour token of the record's answers that the tokenizer lacks.
    private func unknownToken(in record: Record) -> String? {
        for turn in record.turns where turn.value.contains("<vq_") || turn.value.contains("<px_") {
            for match in turn.value.matches(of: #/<(?:vq|px_[rgb])_\d+>/#)
            where tokenizer?.id(of: String(match.output)) == nil {
                return String(match.output)
            }
        }
        return nil
    }
}
