import Foundation

/// What can stop a run, with the place and the way on.
public enum RunError: ExitCoded, CustomStringConvertible {
    /// Another live process holds the run folder.
    case inUse(folder: String, holder: String)
    /// The folder holds a run already, and resuming was not asked for.
    case alreadyThere(folder: String)
    /// Nothing to resume from.
    case nothingToResume(folder: String, problems: [String])
    /// The run was started with another plan.
    case planChanged(folder: String, changes: [String])
    /// A checkpoint that is whole but not of this run.
    case foreignCheckpoint(checkpoint: String, reasons: [String])
    /// A prefix of `train:` names no parameter.
    case trainsNothing(prefix: String, nearest: String?, parts: [String])
    /// An adapter on a layer whose own weight would be trained as well.
    case adaptsTrained(layer: String)
    /// A rate or decay for a prefix under which nothing is trained.
    case setsNothing(key: String, prefix: String)
    /// A checkpoint that is not what was saved.
    case damaged(checkpoint: String, reason: String)
    /// A checkpoint could not be saved; the earlier ones are untouched.
    case checkpointFailed(step: Int, reason: String, last: String)
    /// A file or folder cannot be written.
    case cannotWrite(path: String, reason: String)
    /// A file or folder cannot be read.
    case cannotRead(path: String, reason: String)
    /// A loss is NaN or infinite; the weights were not changed.
    case lossNotFinite(
        loss: String, value: Double, step: Int, records: [String], checkpoint: String?)
    /// A gradient is NaN or infinite; the weights were not changed.
    case gradientNotFinite(norm: Double, step: Int, records: [String], checkpoint: String?)
    /// A loss jumped; the weights were not changed.
    case lossSpike(
        loss: Double, median: Double, plan: GuardPlan, step: Int, records: [String],
        checkpoint: String?)
    /// No sample of a step has anything to learn from.
    case nothingSupervised(step: Int, records: [String])
    /// A source has nothing to learn from.
    case noExamples
    /// A saved position in the data that does not belong to the source.
    case foreignPosition(text: String)
    /// A model counted its losses' units otherwise than it had said beforehand.
    case countsDiffer(loss: String, expected: Int, found: Int, records: [String])
    /// Another of the processes that train together ended, for a reason that it printed itself.
    case otherProcess(rank: Int, reason: String, code: Int32)

    /// Whether every process finds this out at once, so that one message is enough.
    public var isCommon: Bool {
        switch self {
        case .lossNotFinite, .gradientNotFinite, .lossSpike, .nothingSupervised, .noExamples,
            .countsDiffer, .otherProcess:
            true
        default: false
        }
    }

    public var exitCode: Int32 {
        switch self {
        case .inUse, .alreadyThere, .nothingToResume, .planChanged, .foreignCheckpoint,
            .trainsNothing,
            .adaptsTrained, .setsNothing:
            64
        case .otherProcess(_, _, let code): code
        default: 1
        }
    }

    public var description: String {
        switch self {
        case .inUse(let folder, let holder):
            return
                "\(folder) is in use by a live run (\(holder)); stop that one or choose another folder"
        case .alreadyThere(let folder):
            return "\(folder) holds a run already; resume it with --resume or choose another folder"
        case .nothingToResume(let folder, let problems):
            return "\(folder) has no complete checkpoint to resume from"
                + problems.map { "\n  \($0)" }.joined()
        case .planChanged(let folder, let changes):
            return "\(folder) was started with another plan; it cannot be resumed with this one:"
                + changes.map { "\n  \($0)" }.joined()
        case .foreignCheckpoint(let checkpoint, let reasons):
            return "\(checkpoint) is a checkpoint of another run or model:"
                + reasons.map { "\n  \($0)" }.joined()
        case .trainsNothing(let prefix, let nearest, let parts):
            return "train: \"\(prefix)\" names no parameter"
                + (nearest.map { "; did you mean \"\($0)\"?" }
                    ?? "; the parts are \(parts.joined(separator: ", "))")
        case .adaptsTrained(let layer):
            return
                "lora: \(layer) gets an adapter, but train: has its own weight too; take the layer out of one of them"
        case .setsNothing(let key, let prefix):
            return "\(key): nothing that is trained has a name under \"\(prefix)\""
        case .damaged(let checkpoint, let reason): return "\(checkpoint) is damaged: \(reason)"
        case .checkpointFailed(let step, let reason, let last):
            return "the checkpoint of step \(step) was not saved (\(last)): \(reason)"
        case .cannotWrite(let path, let reason): return "\(path) cannot be written: \(reason)"
        case .cannotRead(let path, let reason): return "\(path) cannot be read: \(reason)"
        case .lossNotFinite(let loss, let value, let step, let records, let checkpoint):
            return
                "the \(loss) loss is \(value.isNaN ? "nan" : "\(value)") at step \(step), before the weights were changed"
                + RunError.trace(records, checkpoint)
        case .gradientNotFinite(let norm, let step, let records, let checkpoint):
            return
                "the gradient's norm is \(norm.isNaN ? "nan" : "\(norm)") at step \(step), before the weights were changed"
                + RunError.trace(records, checkpoint)
        case .lossSpike(let loss, let median, let plan, let step, let records, let checkpoint):
            let reason =
                plan.action == .skip
                ? "after \(plan.patience) skipped steps in a row"
                : "more than guard.factor \(plan.factor) allows"
            return
                "the loss is \(loss) at step \(step), \(loss / median) times the median of the last "
                + "\(plan.window) steps, \(reason); the weights were not changed"
                + RunError.trace(records, checkpoint)
        case .nothingSupervised(let step, let records):
            return
                "no token is supervised in the batch of step \(step): check the chat format and the "
                + "length limit\n  records: \(RunError.listed(records))"
        case .noExamples: return "there is no example to train on"
        case .foreignPosition(let text):
            return "the saved position in the data does not fit the data: \(text)"
        case .countsDiffer(let loss, let expected, let found, let records):
            return
                "the \(loss) loss was summed over \(found) units where \(expected) were announced"
                + "\n  records: \(RunError.listed(records))"
        case .otherProcess(let rank, let reason, _):
            return "process \(rank) ended: \(reason)"
        }
    }

    private static func trace(_ records: [String], _ checkpoint: String?) -> String {
        "\n  records: \(listed(records))\n  "
            + (checkpoint.map { "last good checkpoint: \($0)" } ?? "no checkpoint was saved yet")
    }

    static func listed(_ records: [String]) -> String {
        records.prefix(32).joined(separator: ", ") + (records.count > 32 ? ", …" : "")
    }
}

/// A file operation's error in a few words.
func reason(of error: any Error) -> String {
    let error = error as NSError
    if let underlying = error.userInfo[NSUnderlyingErrorKey] as? any Error {
        return reason(of: underlying)
    }
    if error.domain == NSPOSIXErrorDomain { return String(cString: strerror(Int32(error.code))) }
    return "\(error as any Error)"
}
