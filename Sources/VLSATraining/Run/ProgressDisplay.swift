import Foundation
import Synchronization

/// How progress is shown.
public enum ProgressStyle: String, Sendable {
    /// A bar on a terminal, lines elsewhere.
    case automatic
    /// One line that is redrawn in place.
    case bar
    /// Lines, at most one in two seconds and one at the end.
    case lines
    /// Nothing but messages.
    case silent
    /// Nothing at all.
    case mute
}

/// Progress of a long job on standard error: bar, count, speed, time left, and notes of the caller's.
///
/// On a terminal the line is redrawn in place, in colour unless `NO_COLOR` is set; elsewhere plain lines.
public final class ProgressDisplay: Sendable {
    private struct State {
        var drawn = false
        var lastShown = -Double.infinity
        var recent: [(time: Double, done: Int)] = []
    }

    private let title: String
    private let total: Int
    private let unit: String
    private let isBar: Bool
    private let isSilent: Bool
    private let isMute: Bool
    private let colored: Bool
    private let started: Double
    private let first: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - total: units of the whole job; 0 when unknown.
    ///   - unit: what is counted, in the plural.
    ///   - first: units that were done before, by a run that is resumed.
    public init(
        title: String, total: Int, unit: String, style: ProgressStyle = .automatic, first: Int = 0
    ) {
        self.title = title
        self.total = total
        self.unit = unit
        self.first = first
        let environment = ProcessInfo.processInfo.environment
        let isTerminal = isatty(STDERR_FILENO) == 1 && environment["TERM"] != "dumb"
        isBar = style == .bar || (style == .automatic && isTerminal)
        isSilent = style == .silent || style == .mute
        isMute = style == .mute
        colored = isBar && (environment["NO_COLOR"] ?? "").isEmpty
        started = ProgressDisplay.now()
    }

    /// Shows that `done` units are done; `notes` follow the count. Cheap enough to call at every unit.
    ///
    /// - Parameter forced: shows it even right after another; for the lines one wants to keep.
    public func update(_ done: Int, notes: String = "", forced: Bool = false) {
        let time = ProgressDisplay.now()
        let line: String? = state.withLock { state in
            if state.recent.isEmpty { state.recent.append((started, first)) }
            state.recent.append((time, done))
            if state.recent.count > 64 { state.recent.removeFirst() }
            guard !isSilent, forced || time - state.lastShown >= (isBar ? 0.1 : 2) else {
                return nil
            }
            state.lastShown = time
            state.drawn = isBar
            return text(done, notes: notes, recent: state.recent)
        }
        guard let line else { return }
        ProgressDisplay.write(isBar ? "\r\(line)\u{1b}[K" : line + "\n")
    }

    /// Prints a line that stays, above the bar.
    public func message(_ text: String) {
        guard !isMute else { return }
        let wasDrawn = state.withLock { state in
            defer { state.drawn = false }
            return state.drawn
        }
        ProgressDisplay.write((wasDrawn ? "\r\u{1b}[K" : "") + text + "\n")
    }

    /// Ends the bar's line.
    public func finish() {
        let wasDrawn = state.withLock { state in
            defer { state.drawn = false }
            return state.drawn
        }
        if wasDrawn { ProgressDisplay.write("\n") }
    }

    private func text(_ done: Int, notes: String, recent: [(time: Double, done: Int)]) -> String {
        var parts: [String] = []
        if let oldest = recent.first, let newest = recent.last, newest.time > oldest.time,
            newest.done > oldest.done
        {
            let speed = Double(newest.done - oldest.done) / (newest.time - oldest.time)
            if total > done {
                parts.append("\(duration(Double(total - done) / speed)) left")
            }
        }
        if total > 0, done >= total, let newest = recent.last {
            parts.append("\(duration(newest.time - started)) in all")
        }
        if !notes.isEmpty { parts.insert(notes, at: 0) }
        let share = total > 0 ? min(1, Double(done) / Double(total)) : 0
        let count =
            total > 0
            ? "\(done)/\(total) \(unit) \(Int((share * 100).rounded(.down)))%" : "\(done) \(unit)"
        guard isBar else { return ([title, count] + parts).joined(separator: " · ") }

        let columns = ProgressDisplay.columns()
        let tail = ([" " + count] + parts).joined(separator: " · ")
        let width = total > 0 ? max(0, min(30, columns - title.count - tail.count - 4)) : 0
        let filled = Int((share * Double(width)).rounded())
        let full = String(repeating: "━", count: filled)
        let rest = String(repeating: "─", count: width - filled)
        let plain = "\(title) \(full)\(rest)\(tail)"
        guard plain.count < columns else { return String(plain.prefix(max(1, columns - 1))) }
        guard colored else { return plain }
        return "\u{1b}[1m\(title)\u{1b}[0m \u{1b}[32m\(full)\u{1b}[90m\(rest)\u{1b}[0m\(tail)"
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private static func columns() -> Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else {
            return 100
        }
        return Int(size.ws_col)
    }

    private static func write(_ text: String) {
        // A closed standard error must not end the job.
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}

/// `seconds` as `42 s`, `3:07` or `2:03:07`.
func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0 else { return "?" }
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return String(format: "%d:%02d", whole / 60, whole % 60) }
    return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
}
