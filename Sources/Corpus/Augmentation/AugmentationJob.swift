import AnyRes
import Codecs
import Foundation

/// How far an augmentation has come.
public struct AugmentationProgress: Sendable, Equatable {
    /// Records looked at, those of an earlier, interrupted run included.
    public var done: Int
    /// Records to look at.
    public var total: Int
    /// Records left out.
    public var rejected: Int
    /// Records that got turns.
    public var augmented: Int
    /// Records that an earlier, interrupted run had done; 0 in a fresh one.
    public var resumedAt: Int
}

/// What an augmentation did.
public struct AugmentationReport: Sendable, Equatable {
    /// Records written.
    public var written: Int
    /// Records among them that got turns.
    public var augmented: Int
    /// Records left out, with their reasons.
    public var ledger: RejectionLedger
    /// Records at which an interrupted run was taken up again; 0 for a fresh one.
    public var resumedAt: Int
}

/// Writes a copy of a collection of records with cognition turns slipped in.
///
/// Records stream through threads in blocks and come out in their order, so memory does not grow with their number.
/// The output, its list of rejects (`OUTPUT.rejects.jsonl`) and a journal are on disk after every few seconds; a
/// killed run taken up again gives the very bytes of an unbroken one, and the output has its name only when it is
/// complete.
public struct AugmentationJob: Sendable {
    /// Where a shard lies in the records: consecutive ranges, so that JSONL shards put together are the whole.
    public struct Shard: Sendable, Equatable {
        /// From 0.
        public var index: Int
        public var count: Int

        public init(index: Int, count: Int) { (self.index, self.count) = (index, count) }

        /// Reads `i/n`, i from 1 to n; nil where it is none.
        public init?(_ text: String) {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let index = parts[0], let count = parts[1], index >= 1,
                index <= count
            else { return nil }
            self.init(index: index - 1, count: count)
        }
    }

    /// What happens to records whose id an earlier record of the same file has.
    public enum DuplicateRule: String, Codable, CaseIterable, Sendable {
        /// Left out and counted.
        case skip
        /// Kept; both get the same random choices.
        case keep
    }

    /// Which epoch's turns are made.
    public var epoch = 0
    /// The part of the records to do.
    public var shard = Shard(index: 0, count: 1)
    /// Threads; 0 does all on the caller's.
    public var workers = 2
    /// Stop at the first record that cannot be used.
    public var isStrict = false
    /// Share of records that may be left out; unless it is 0, 20 may in any case.
    public var maxRejectedShare = 0.05
    /// What happens to records with an id already seen.
    public var duplicates = DuplicateRule.skip
    /// Go on from the journal of an interrupted run, if there is one for the same job.
    public var resumes = true
    /// How large a record may be.
    public var limits = RecordLimits()
    /// A journal entry covers so many records, or so many seconds, whichever end first.
    var recordsBetweenFlushes = 2048
    var secondsBetweenFlushes = 5.0

    private let records: RecordCollection
    private let augmenter: Augmenter
    private let folder: PictureFolder?
    private let reader: PictureReader

    /// A job over `records` whose pictures lie in `folder`.
    public init(
        _ records: RecordCollection, augmenter: Augmenter, folder: PictureFolder?,
        reader: PictureReader = PictureReader()
    ) {
        self.records = records
        self.augmenter = augmenter
        self.folder = folder
        self.reader = reader
    }

    private enum Outcome: Sendable {
        case written([UInt8], isAugmented: Bool)
        case rejected(Rejection)
    }

    private struct Journal: Codable {
        var job: String
        var done: Int
        var written: Int
        var augmented: Int
        var outputBytes: Int
        var rejectBytes: Int
        var rejected: [String: Int]
    }

    /// Does the job and puts the result at `path`, laid out as its name asks (`.jsonl` or `.json`).
    ///
    /// `progress` is called every few records; what it throws ends the run, which may be taken up again. `note` is told
    /// what becomes of the files of an interrupted run.
    public func run(
        to path: String, progress: ((AugmentationProgress) throws -> Void)? = nil,
        note: ((String) -> Void)? = nil
    ) throws -> AugmentationReport {
        if let real = realPath(path), records.paths.contains(where: { realPath($0) == real }) {
            throw CorpusError.setting(
                name: path, problem: "is what the records are read from; write to another file")
        }
        let range =
            records.count * shard.index / shard.count..<records.count * (shard.index + 1)
            / shard.count
        let job = identity(range)
        let journalPath = path + ".progress"
        let rejectsPath = path + ".rejects.jsonl"
        var journal = Journal(
            job: job, done: 0, written: 0, augmented: 0, outputBytes: 0, rejectBytes: 0,
            rejected: [:])
        if resumes, let data = FileManager.default.contents(atPath: journalPath) {
            if let kept = try? JSONDecoder().decode(Journal.self, from: data), kept.job == job,
                AtomicFile.hasPartial(of: path, bytes: kept.outputBytes),
                AtomicFile.hasPartial(of: rejectsPath, bytes: kept.rejectBytes)
            {
                journal = kept
                note?("goes on at record \(kept.done) of \(range.count)")
            } else {
                note?("\(journalPath) is of other records or settings; starting afresh")
            }
        }
        let resumedAt = journal.done
        let writer = try RecordWriter(
            path: path, layout: RecordLayout(path: path), resumingAt: journal.outputBytes,
            count: journal.written)
        let rejects = try AtomicFile(path: rejectsPath, resumingAt: journal.rejectBytes)
        var ledger = RejectionLedger(maxShare: isStrict ? 0 : maxRejectedShare)
        ledger.restore(
            seen: journal.done,
            counts: Dictionary(
                uniqueKeysWithValues: journal.rejected.compactMap { entry in
                    RejectionKind(rawValue: entry.key).map { ($0, entry.value) }
                }))

        let duplicates = duplicates == .skip ? duplicateIndices(range) : []
        let block = 16
        let blocks = (range.count - journal.done + block - 1) / block
        let first = range.lowerBound + journal.done
        let pool = OrderedWorkers(count: workers, ahead: 8 * max(1, workers), end: blocks) {
            ticket in
            let start = first + ticket * block
            return (start..<min(start + block, range.upperBound)).map {
                outcome(of: $0, isDuplicate: duplicates.contains($0))
            }
        }
        var flushed = journal.done
        var flushTime = ContinuousClock.now
        while let outcomes = pool.next() {
            for outcome in outcomes {
                switch outcome {
                case .written(let bytes, let isAugmented):
                    try writer.write(encoded: bytes)
                    journal.augmented += isAugmented ? 1 : 0
                    ledger.accept()
                case .rejected(let rejection):
                    let encoder = JSONEncoder()
                    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                    try rejects.write([UInt8](encoder.encode(rejection)) + [UInt8(ascii: "\n")])
                    do {
                        try ledger.reject(rejection)
                    } catch {
                        try rejects.flush()
                        throw tooMany("\(error)", ledger, rejects)
                    }
                }
            }
            journal.done += outcomes.count
            if journal.done - flushed >= recordsBetweenFlushes
                || flushTime.duration(to: .now) >= .seconds(secondsBetweenFlushes)
            {
                try writer.flush()
                try rejects.flush()
                journal.written = writer.count
                journal.outputBytes = writer.size
                journal.rejectBytes = rejects.size
                journal.rejected = Dictionary(
                    uniqueKeysWithValues: ledger.counts.map { ($0.key.rawValue, $0.value) })
                try AtomicFile.write([UInt8](JSONEncoder().encode(journal)), to: journalPath)
                flushed = journal.done
                flushTime = .now
            }
            try progress?(
                AugmentationProgress(
                    done: journal.done, total: range.count, rejected: ledger.rejected,
                    augmented: journal.augmented, resumedAt: resumedAt))
        }
        if writer.count == 0, !range.isEmpty {
            try rejects.flush()
            throw tooMany(
                "none of the \(range.count) records can be used (\(ledger.summary))", ledger,
                rejects)
        }
        try rejects.finish()
        try writer.finish()
        try? FileManager.default.removeItem(atPath: journalPath)
        return AugmentationReport(
            written: writer.count, augmented: journal.augmented, ledger: ledger,
            resumedAt: resumedAt)
    }

    /// Why the run stops, where its rejects are listed, and how duplicates can be kept where they are most of them.
    private func tooMany(
        _ problem: String, _ ledger: RejectionLedger, _ rejects: AtomicFile
    ) -> CorpusError {
        let keeping =
            2 * (ledger.counts[.duplicate] ?? 0) > ledger.rejected
            ? "; --duplicates keep takes records whose id has been seen" : ""
        return .tooManyRejected(
            "\(problem); all are listed in \(AtomicFile.partialPath(of: rejects.path))\(keeping)")
    }

    private func outcome(of index: Int, isDuplicate: Bool) -> Outcome {
        let (file, position) = records.location(of: index)
        do throws(Rejection) {
            let record = try file.record(at: position)
            do {
                if isDuplicate {
                    throw RecordProblem(
                        kind: .duplicate, reason: "an earlier record has the same id")
                }
                try record.check(limits)
                let files = try paths(of: record).map { FilePicture(path: $0, reader: reader) }
                for file in files { _ = try file.size() }  // whatever the dice ask about
                let result = try augmenter.augmented(record, epoch: epoch) { files[$0] }
                return .written(
                    result.encoded(), isAugmented: result.turns.count > record.turns.count)
            } catch {
                return .rejected(
                    RecordProblem(error).rejection(
                        file: file.path, index: position, id: record.id))
            }
        } catch {
            return .rejected(error)
        }
    }

    private func paths(of record: Record) throws -> [String] {
        guard !record.images.isEmpty else { return [] }
        guard let folder else {
            throw RecordProblem(
                kind: .missingPicture,
                reason: "the record has pictures, but no picture folder is given")
        }
        return try record.images.map { try folder.resolve($0) }
    }

    /// Records of the range whose id an earlier record of the whole collection has, in the same file.
    private func duplicateIndices(_ range: Range<Int>) -> Set<Int> {
        var duplicates: Set<Int> = []
        var seen: [ObjectIdentifier: Set<UInt64>] = [:]
        for index in 0..<range.upperBound {
            let (file, position) = records.location(of: index)
            let id = file.idHash(at: position)
            guard id != 0 else { continue }
            let isNew = seen[ObjectIdentifier(file), default: []].insert(id).inserted
            if !isNew, range.contains(index) { duplicates.insert(index) }
        }
        return duplicates
    }

    /// What must be the same for an interrupted run to be taken up again.
    private func identity(_ range: Range<Int>) -> String {
        let parts = [
            records.fingerprint, augmenter.fingerprint, "\(range)", "\(epoch)", "\(duplicates)",
            "\(limits)", folder.flatMap { realPath($0.path) } ?? "",
        ]
        return String(
            parts.reduce(stableHash("augmentation")) { stableHash($1, seed: $0) }, radix: 16)
    }
}
