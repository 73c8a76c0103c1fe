import Foundation
import Synchronization

/// Where a run's time goes, for chrome://tracing or Perfetto: spans as a JSON array of the Trace Event Format.
///
/// Events are written as the run goes; a run that was killed leaves an array without its closing bracket, which
/// the viewers read.
public final class TraceFile: Sendable {
    /// The row a span is shown in.
    public enum Row: Int, CaseIterable, Sendable {
        case step = 1
        case checkpoint
    }

    private struct State {
        var waiting = Data()
        var isFirst = true
    }

    /// Path of the file.
    public let path: String
    private let handle: FileHandle
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    /// Makes the file, over an older one of that name.
    public init(path: String) throws {
        self.path = path
        guard FileManager.default.createFile(atPath: path, contents: Data("[".utf8)),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno))) }
        self.handle = handle
        _ = try handle.seekToEnd()
        for row in Row.allCases {
            add(
                "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":\(row.rawValue),"
                    + "\"args\":{\"name\":\"\(row)\"}}")
        }
    }

    /// Calls `body` and notes when it began and how long it took.
    public func span<Result>(
        _ name: String, step: Int, row: Row = .step, _ body: () throws -> Result
    ) rethrows -> Result {
        let began = ContinuousClock.now
        defer {
            let time = start.duration(to: began) / .microseconds(1)
            let took = began.duration(to: .now) / .microseconds(1)
            add(
                "{\"name\":\(jsonText(name)),\"ph\":\"X\",\"pid\":1,\"tid\":\(row.rawValue),"
                    + String(format: "\"ts\":%.3f,\"dur\":%.3f,", time, took)
                    + "\"args\":{\"step\":\(step)}}")
        }
        return try body()
    }

    private func add(_ event: String) {
        state.withLock { state in
            state.waiting += Data((state.isFirst ? "\n" : ",\n").utf8) + Data(event.utf8)
            state.isFirst = false
        }
    }

    /// Writes what was noted since.
    public func flush() throws { try write(ending: "") }

    /// Writes the rest and the end of the array; nothing may be noted after it.
    public func close() throws {
        try write(ending: "\n]\n")
        try? handle.close()
    }

    private func write(ending: String) throws {
        let data = state.withLock { state in
            defer { state.waiting = Data() }
            return state.waiting + Data(ending.utf8)
        }
        do {
            try handle.write(contentsOf: data)
        } catch {
            throw RunError.cannotWrite(path: path, reason: reason(of: error))
        }
    }
}
