import Foundation

/// One piece of work on a thread of its own whose outcome is asked for later.
///
/// Unchecked, because the outcome is only touched under the condition's lock.
final class BackgroundJob: @unchecked Sendable {
    /// Carries the work to its thread: it is called once, there, and nobody else has it.
    private final class Work: @unchecked Sendable {
        let body: () throws -> Void
        init(_ body: @escaping () throws -> Void) { self.body = body }
    }

    private let condition = NSCondition()
    private var outcome: Result<Void, any Error>?

    /// Starts `body`, which must share nothing that changes with the threads that go on.
    ///
    /// - Parameter isPatient: lets the other threads come first.
    init(name: String, isPatient: Bool, _ body: @escaping () throws -> Void) {
        let work = Work(body)
        let thread = Thread { [self] in
            // On Linux this is the thread's own. Not SCHED_IDLE, which may get no time at all on a busy machine.
            if isPatient { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19) }
            finish(Result { try work.body() })
        }
        thread.name = name
        thread.stackSize = 4 << 20
        thread.start()
    }

    private func finish(_ result: Result<Void, any Error>) {
        condition.withLock {
            outcome = result
            condition.broadcast()
        }
    }

    /// Whether the work has ended, well or not.
    var isDone: Bool { condition.withLock { outcome != nil } }

    /// Waits for the end of the work and throws what it threw.
    func wait() throws {
        try condition.withLock {
            while outcome == nil { condition.wait() }
            try outcome?.get()
        }
    }
}
