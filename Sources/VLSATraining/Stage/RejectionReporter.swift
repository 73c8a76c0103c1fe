import Corpus
import Foundation
import VLSA

/// Says which records a run leaves out: the first ones on the terminal, all that are known in `rejected.jsonl`,
/// a line each however often they come up.
final class RejectionReporter: TrainingObserver {
    private struct Place: Hashable {
        let file: String
        let index: Int
    }

    private var lines = Data()
    private var listed: Set<Place> = []
    private var read = 0
    private var said = 0
    private let shown = 5

    /// Takes up the list of an earlier sitting.
    func runStarted(_ run: TrainingRun<VLSAModel>) throws {
        guard let old = FileManager.default.contents(atPath: run.folder.rejected) else { return }
        for line in old.split(separator: UInt8(ascii: "\n")) {
            guard let entry = try? JSONDecoder().decode(Rejection.self, from: line) else {
                continue
            }
            if listed.insert(Place(file: entry.file, index: entry.index)).inserted {
                lines += line + Data("\n".utf8)
            }
        }
    }

    func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws {
        guard let ledger = (run.training as? SampleLoader)?.ledger, ledger.entries.count > read
        else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        for entry in ledger.entries[read...] {
            guard listed.insert(Place(file: entry.file, index: entry.index)).inserted else {
                continue
            }
            lines += try encoder.encode(entry) + Data("\n".utf8)
            if said < shown { run.progress.message("warning: left out: \(entry)") }
            said += 1
        }
        read = ledger.entries.count
        try AtomicFiles.write(lines, to: run.folder.rejected)
    }

    func runEnded(_ outcome: TrainingOutcome, of run: TrainingRun<VLSAModel>) throws {
        guard let ledger = (run.training as? SampleLoader)?.ledger, ledger.rejected > 0 else {
            return
        }
        run.progress.message(
            "left out \(ledger.rejected) of \(ledger.seen) records (\(ledger.summary)); "
                + "see \(run.folder.rejected)")
    }
}
