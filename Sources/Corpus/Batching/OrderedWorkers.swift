import Foundation

/// Threads that work on tickets 0, 1, 2, … ahead of their use and hand the results out in order.
///
/// The threads are their own, not the cooperative pool's, because decoding blocks. What comes out does not depend
/// on how many there are; at most `ahead` results wait. Without workers the work is done when it is asked for.
final class OrderedWorkers<Output: Sendable> {
    private let state: State
    private let threads: [Thread]

    /// Starts at `ticket` and ends before `end`.
    init(
        count: Int, ahead: Int, from ticket: Int = 0, end: Int = .max,
        work: @escaping @Sendable (_ ticket: Int) -> Output
    ) {
        let state = State(from: ticket, end: end, ahead: max(1, ahead), work: work, running: count)
        self.state = state
        threads = (0..<count).map { number in
            let thread = Thread { state.run() }
            thread.name = "vlsa-data-\(number)"
            thread.stackSize = 4 << 20
            return thread
        }
        for thread in threads { thread.start() }
    }

    /// The next result in order, waiting for it; nil after the last.
    func next() -> Output? {
        threads.isEmpty ? state.workOnce() : state.take()
    }

    deinit { state.stop() }

    /// Unchecked, because every access to what changes holds the condition's lock.
    private final class State: @unchecked Sendable {
        private let condition = NSCondition()
        private let work: @Sendable (Int) -> Output
        private let end: Int
        private let ahead: Int
        private var nextTicket: Int
        private var delivered: Int
        private var results: [Int: Output] = [:]
        private var isStopped = false
        private var running: Int

        init(
            from ticket: Int, end: Int, ahead: Int, work: @escaping @Sendable (Int) -> Output,
            running: Int
        ) {
            (nextTicket, delivered, self.end, self.ahead) = (ticket, ticket, end, ahead)
            (self.work, self.running) = (work, running)
        }

        func run() {
            condition.lock()
            while true {
                while !isStopped, nextTicket < end, nextTicket - delivered >= ahead {
                    condition.wait()
                }
                if isStopped || nextTicket >= end { break }
                let ticket = nextTicket
                nextTicket += 1
                condition.unlock()
                let result = work(ticket)
                condition.lock()
                results[ticket] = result
                condition.broadcast()
            }
            running -= 1
            condition.broadcast()
            condition.unlock()
        }

        func take() -> Output? {
            condition.lock()
            defer { condition.unlock() }
            guard delivered < end else { return nil }
            while results[delivered] == nil { condition.wait() }
            let result = results.removeValue(forKey: delivered)
            delivered += 1
            condition.broadcast()
            return result
        }

        func workOnce() -> Output? {
            guard delivered < end else { return nil }
            defer { delivered += 1 }
            return work(delivered)
        }

        func stop() {
            condition.lock()
            isStopped = true
            condition.broadcast()
            while running > 0 { condition.wait() }
            condition.unlock()
        }
    }
}
