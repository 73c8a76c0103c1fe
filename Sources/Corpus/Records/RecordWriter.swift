import Foundation

/// How a record file lays out its records.
public enum RecordLayout: String, Codable, Sendable {
    /// One JSON list.
    case array = "json"
    /// One record a line.
    case lines = "jsonl"

    /// The layout that a file's name asks for: lines for `.jsonl`, else a list.
    public init(path: String) {
        self = path.lowercased().hasSuffix(".jsonl") ? .lines : .array
    }
}

/// Writes records one after the other; the file appears when ``finish()`` returns.
public final class RecordWriter {
    private let file: AtomicFile
    private let layout: RecordLayout
    /// Records written.
    public private(set) var count: Int

    /// Starts `path`, laid out as its name asks.
    public convenience init(path: String) throws {
        try self.init(path: path, layout: RecordLayout(path: path))
    }

    /// Starts `path`, or goes on with its partial file after `count` records and `offset` bytes.
    init(path: String, layout: RecordLayout, resumingAt offset: Int = 0, count: Int = 0) throws {
        file = try AtomicFile(path: path, resumingAt: offset)
        self.layout = layout
        self.count = count
        if layout == .array && offset == 0 { try file.write(Array("[".utf8)) }
    }

    /// Appends a record.
    public func write(_ record: Record) throws { try write(encoded: record.encoded()) }

    /// Appends a record that is JSON on one line already.
    func write(encoded record: [UInt8]) throws {
        let lead = layout == .lines ? "" : count == 0 ? "\n" : ",\n"
        try file.write(Array(lead.utf8) + record + (layout == .lines ? [UInt8(ascii: "\n")] : []))
        count += 1
    }

    /// Bytes of the partial file so far.
    var size: Int { file.size }

    /// Puts all records so far on disk, still under the partial name.
    func flush() throws { try file.flush() }

    /// Completes the file and puts it under its name.
    public func finish() throws {
        if layout == .array { try file.write(Array("\n]\n".utf8)) }
        try file.finish()
    }
}
