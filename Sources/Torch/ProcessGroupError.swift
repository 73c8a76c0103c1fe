/// Why processes that train together cannot start, or cannot go on.
public enum ProcessGroupError: Error, Equatable, CustomStringConvertible {
    /// This build cannot connect processes.
    case noBackend(String)
    /// The first process cannot listen for the others.
    case cannotListen(address: String, reason: String)
    /// The first process does not answer.
    case unreachable(address: String, seconds: Double, reason: String)
    /// Some processes did not come in time.
    case missing(ranks: [Int], size: Int, address: String, seconds: Double)
    /// Several processes came as the same one.
    case taken(ranks: [Int])
    /// The processes found, but could not reach, each other.
    case cannotConnect(reason: String)
    /// A process ended, or did not answer in time.
    case lost(ranks: [Int], size: Int, seconds: Double, reason: String)

    public var description: String {
        switch self {
        case .noBackend(let reason): return reason
        case .cannotListen(let address, let reason):
            return
                "MASTER_ADDR, MASTER_PORT: process 0 cannot listen at \(address) (\(reason)); the address must be "
                + "its machine's and the port free (another run may have it), the same for every process"
        case .unreachable(let address, let seconds, let reason):
            return "MASTER_ADDR, MASTER_PORT: process 0 does not answer at \(address) within "
                + "\(brief(seconds)) s (\(reason)); start it with RANK=0, on the machine of that address"
        case .missing(let ranks, let size, let address, let seconds):
            return
                "\(named(ranks)) of \(size) did not come to \(address) within \(brief(seconds)) s; start "
                + "one for each RANK from 0 to \(size - 1), all with WORLD_SIZE=\(size), and look at "
                + "what those that are missing printed"
        case .taken(let ranks):
            return "RANK: \(named(ranks)) came more than once; each process needs a rank of its own"
        case .cannotConnect(let reason):
            return
                "the processes cannot reach each other (\(reason)); where a machine has several networks, "
                + "name the one to use with GLOO_SOCKET_IFNAME"
        case .lost(let ranks, let size, let seconds, let reason):
            let who =
                ranks.isEmpty
                ? "the connection to the other processes of \(size) was lost"
                : "\(named(ranks)) of \(size) ended, or did not answer within \(brief(seconds)) s"
            return
                "\(who) (\(reason)); look at what it printed, and start all processes again with --resume"
        }
    }

    private func named(_ ranks: [Int]) -> String {
        (ranks.count == 1 ? "process " : "processes ")
            + ranks.map(String.init).joined(separator: ", ")
    }

    private func brief(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
    }
}
