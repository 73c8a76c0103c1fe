import Corpus
import Foundation
import Torch

/// The processes that train one run together, or the one that does so alone.
///
/// Every process takes the same steps through the same code, and each exchange below is a place where all meet. What
/// decides the run's course (losses, counts, norms, signals, records that cannot be used) is exchanged first, so
/// that all decide alike. The first process alone writes and prints.
public final class Processes {
    /// The connection; nil for a single process.
    public let group: ProcessGroup?
    /// How this process was started; nil for a single process.
    public let launch: ProcessLaunch?

    /// Whether the others know that this process ends, or cannot be told.
    private var isTold = false

    /// A single process.
    public init() { (group, launch) = (nil, nil) }

    /// Meets the other processes, if `launch` names some.
    ///
    /// - Parameter plan: the time-out.
    /// - Throws: ``ProcessGroupError`` when they do not come.
    public init(_ launch: ProcessLaunch?, plan: ProcessesPlan) throws {
        self.launch = launch
        // A connection that ends comes as an error of the exchange, not as a deadly signal.
        if launch != nil { signal(SIGPIPE, SIG_IGN) }
        group = try launch.map {
            try ProcessGroup(rank: $0.rank, size: $0.size, at: $0.place, timeout: plan.timeout)
        }
    }

    /// This process' number, from 0.
    public var rank: Int { group?.rank ?? 0 }
    /// How many there are.
    public var count: Int { group?.size ?? 1 }
    /// Whether this one writes and prints.
    public var isFirst: Bool { rank == 0 }

    /// Threads of the tensor engine where a plan leaves their number open: this process' part of the cores.
    var threads: Int {
        max(1, ProcessInfo.processInfo.activeProcessorCount / (launch?.localSize ?? 1))
    }

    /// Waits for the others' last exchange to end as well; before the process ends.
    public func leave() {
        guard let group else { return }
        signal(SIGPIPE, SIG_IGN)
        group.leave()
    }

    /// Every process' bytes for this one's.
    func exchange(_ bytes: [UInt8]) throws -> [[UInt8]] {
        guard let group else { return [bytes] }
        do {
            return try group.gathered(bytes)
        } catch {
            isTold = true
            throw error
        }
    }

    /// What one process says to the others.
    private struct Note<Value: Codable>: Codable {
        var value: Value?
        var failure: String?
        var exitCode: Int32?
    }

    /// Runs `body` in each process and waits for all of them: their results, in the order of the ranks.
    ///
    /// `body` may not exchange anything itself.
    ///
    /// - Throws: what `body` threw here; ``RunError/otherProcess(rank:reason:code:)`` where it threw in another
    ///   process; ``ProcessGroupError`` when a process was lost.
    func together<Value: Codable>(_ body: () throws -> Value) throws -> [Value] {
        guard group != nil else { return [try body()] }
        let outcome = Result { try body() }
        var note = Note<Value>()
        switch outcome {
        case .success(let value): note.value = value
        case .failure(let error):
            note.failure = "\(error)"
            note.exitCode = (error as? any ExitCoded)?.exitCode ?? 1
        }
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let notes = try exchange(Array(encoder.encode(note))).map {
            try decoder.decode(Note<Value>.self, from: Data($0))
        }
        guard let first = notes.firstIndex(where: { $0.failure != nil }) else {
            return notes.compactMap(\.value)
        }
        isTold = true
        // What several found out is said by the first of them.
        let isOwn = note.failure != nil && (first == rank || notes[first].failure != note.failure)
        if isOwn { _ = try outcome.get() }
        throw RunError.otherProcess(
            rank: first, reason: notes[first].failure ?? "", code: notes[first].exitCode ?? 1)
    }

    /// Runs `body` in each process, waits for all of them and gives what this one's returned; throws as ``together(_:)``.
    @discardableResult
    func agree<Result>(_ body: () throws -> Result) throws -> Result {
        var results: [Result] = []
        _ = try together {
            results.append(try body())
            return true
        }
        return results[0]
    }

    /// Norms of what the processes have in parts, as one norm each.
    func norms(
        _ own: [(name: String, value: Double)]
    ) throws -> [(name: String, value: Double)] {
        guard group != nil else { return own }
        struct Norm: Codable {
            let name: String
            let value: Double
        }
        let all = try together { own.map { Norm(name: $0.name, value: $0.value) } }.joined()
        var names: [String] = []
        var squares: [String: Double] = [:]
        for norm in all {
            if squares[norm.name] == nil { names.append(norm.name) }
            squares[norm.name, default: 0] += norm.value * norm.value
        }
        return names.map { ($0, (squares[$0] ?? 0).squareRoot()) }
    }

    /// Tells the others, who are at an ``agree(_:)``, that this process ends with `error`, unless they know.
    func announce(_ error: any Error) {
        guard group != nil, !isTold else { return }
        try? agree { () throws -> Void in throw error }
    }
}

/// Whether `error` is one that all processes of a run find out at once, or that another one has printed: so the first
/// process' message is enough.
public func isCommonToProcesses(_ error: any Error) -> Bool {
    switch error {
    case let error as RunError: error.isCommon
    case ProcessLaunchError.unevenBatch, ProcessLaunchError.plansDiffer,
        ProcessLaunchError.weightsDiffer:
        true
    case CorpusError.tooManyRejected: true
    default: false
    }
}
