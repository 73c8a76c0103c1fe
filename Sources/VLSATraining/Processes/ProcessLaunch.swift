import Torch

/// How this process was started together with others: the variables that `torchrun` sets, or whoever starts
/// processes by hand.
public struct ProcessLaunch: Equatable, Sendable {
    /// This process' number among all, from 0 (`RANK`).
    public let rank: Int
    /// How many processes there are (`WORLD_SIZE`).
    public let size: Int
    /// This process' number on its machine, which is its GPU's (`LOCAL_RANK`).
    public let localRank: Int
    /// Processes on this machine (`LOCAL_WORLD_SIZE`; where it is not set, all of them if `MASTER_ADDR` is this
    /// machine's own, else 1).
    public let localSize: Int
    /// Where they meet (`MASTER_ADDR`, `MASTER_PORT`).
    public let place: ProcessGroup.MeetingPoint

    /// Nil for a process on its own: where neither `RANK` nor `WORLD_SIZE` is set, or there is only one process.
    ///
    /// - Throws: ``ProcessLaunchError`` for variables that are missing or do not fit each other.
    public init?(_ environment: [String: String]) throws(ProcessLaunchError) {
        func number(_ name: String, _ range: ClosedRange<Int>, else rest: Int? = nil)
            throws(ProcessLaunchError) -> Int
        {
            guard let text = environment[name], !text.isEmpty else {
                if let rest { return rest }
                throw .missing(name: name)
            }
            guard let value = Int(text), range.contains(value) else {
                throw .unusable(
                    name: name, value: text,
                    expected: range.upperBound == .max
                        ? "a whole number from \(range.lowerBound) on"
                        : "a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        let isSet = ["RANK", "WORLD_SIZE"].contains { environment[$0].map { !$0.isEmpty } ?? false }
        guard isSet else { return nil }
        size = try number("WORLD_SIZE", 1...(.max))
        rank = try number("RANK", 0...(size - 1))
        guard size > 1 else { return nil }
        guard let host = environment["MASTER_ADDR"], !host.isEmpty else {
            throw .missing(name: "MASTER_ADDR")
        }
        let port = try number("MASTER_PORT", 1...65_535)
        let isHere = host == "localhost" || host == "::1" || host.hasPrefix("127.")
        localSize = try number("LOCAL_WORLD_SIZE", 1...size, else: isHere ? size : 1)
        localRank = try number("LOCAL_RANK", 0...(size - 1))
        // torchrun's agent listens at the address itself, over all restarts.
        let isServed = environment["TORCHELASTIC_USE_AGENT_STORE"] == "True"
        place = ProcessGroup.MeetingPoint(
            host: host, port: UInt16(port), isServedByFirst: !isServed,
            attempt: "vlsa/\(environment["TORCHELASTIC_RESTART_COUNT"] ?? "0")")
    }
}

/// What is wrong with the variables that several processes are started with.
public enum ProcessLaunchError: ExitCoded, Equatable, CustomStringConvertible {
    case missing(name: String)
    case unusable(name: String, value: String, expected: String)
    /// The samples of a step cannot be shared out evenly.
    case unevenBatch(samples: Int, size: Int)
    /// Another process was started with another stage.
    case plansDiffer(rank: Int, changes: [String])
    /// Another process found other weights.
    case weightsDiffer(rank: Int)

    public var exitCode: Int32 { 64 }

    public var description: String {
        switch self {
        case .missing(let name):
            return
                "\(name) is not set; several processes need RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and "
                + "MASTER_PORT, as torchrun sets them; a single one neither RANK nor WORLD_SIZE"
        case .unusable(let name, let value, let expected):
            return "\(name) is \"\(value)\"; it must be \(expected)"
        case .unevenBatch(let samples, let size):
            let (lower, upper) = (samples / size * size, (samples / size + 1) * size)
            return
                "batch.samples: \(samples) samples a step cannot be shared out evenly to WORLD_SIZE=\(size) "
                + "processes; write " + (lower > 0 ? "\(lower) or \(upper)" : "\(upper)")
        case .plansDiffer(let rank, let changes):
            return "process \(rank) was started with another stage than process 0:"
                + changes.map { "\n  \($0)" }.joined()
        case .weightsDiffer(let rank):
            return
                "model: process \(rank) begins with other weights than process 0; the folder that model: or "
                + "--resume names must hold the same files for every process"
        }
    }
}
