import Foundation
import Torch

/// A TensorBoard event file: scalars and pictures over the steps of a run.
///
/// TFRecord framing (length, masked CRC-32C, data, masked CRC-32C) around `Event` messages; the few fields
/// needed are written by hand. Each event reaches the file before the call returns.
public final class EventFile {
    /// Path of the file.
    public let path: String
    private let handle: FileHandle

    /// Opens a new event file in `folder`.
    ///
    /// - Parameter step: the step a run resumes at; TensorBoard then drops what earlier files say of this and
    ///   later steps. 0 for a new run.
    public init(folder: String, resumingAt step: Int = 0, time: Date = Date()) throws {
        let host = ProcessInfo.processInfo.hostName.filter {
            $0.isLetter || $0.isNumber || $0 == "-"
        }
        let stem = "\(folder)/events.out.tfevents.\(Int(time.timeIntervalSince1970)).\(host)"
        var name = "\(stem).\(getpid())"
        var attempt = 0
        while FileManager.default.fileExists(atPath: name) {
            attempt += 1
            name = "\(stem).\(getpid()).\(attempt)"
        }
        path = name
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno))) }
        self.handle = handle

        var version = ProtobufMessage()
        version.text(3, "brain.Event:2")
        try write(version, step: 0, time: time)
        if step > 0 {
            var session = ProtobufMessage()
            session.integer(1, 1)  // START
            var event = ProtobufMessage()
            event.message(7, session)
            try write(event, step: step, time: time)
        }
    }

    /// Adds one value for each tag.
    public func add(_ scalars: [(tag: String, value: Double)], step: Int, time: Date = Date())
        throws
    {
        var summary = ProtobufMessage()
        for (tag, value) in scalars {
            var entry = ProtobufMessage()
            entry.text(1, tag)
            entry.float(2, Float(value))
            summary.message(1, entry)
        }
        var event = ProtobufMessage()
        event.message(5, summary)
        try write(event, step: step, time: time)
    }

    /// Adds a picture of `width` x `height` pixels, encoded as PNG.
    public func add(
        picture png: [UInt8], tag: String, width: Int, height: Int, step: Int, time: Date = Date()
    ) throws {
        var image = ProtobufMessage()
        image.integer(1, height)
        image.integer(2, width)
        image.integer(3, 3)  // RGB
        image.bytes(4, png)
        var entry = ProtobufMessage()
        entry.text(1, tag)
        entry.message(4, image)
        var summary = ProtobufMessage()
        summary.message(1, entry)
        var event = ProtobufMessage()
        event.message(5, summary)
        try write(event, step: step, time: time)
    }

    private func write(_ content: ProtobufMessage, step: Int, time: Date) throws {
        var event = ProtobufMessage()
        event.double(1, time.timeIntervalSince1970)
        event.integer(2, step)
        event.encoded += content.encoded
        do {
            try handle.write(contentsOf: TFRecord.framed(event.encoded))
        } catch {
            throw RunError.cannotWrite(path: path, reason: reason(of: error))
        }
    }
}

/// The record framing of TensorFlow's files.
enum TFRecord {
    static func framed(_ data: [UInt8]) -> [UInt8] {
        let length = littleEndianBytes(UInt64(data.count))
        return length + littleEndianBytes(CRC32C.masked(length)) + data
            + littleEndianBytes(CRC32C.masked(data))
    }
}

/// A protocol-buffers message under construction.
struct ProtobufMessage {
    var encoded: [UInt8] = []

    mutating func integer(_ field: Int, _ value: Int) {
        key(field, wire: 0)
        varint(UInt64(bitPattern: Int64(value)))
    }

    mutating func double(_ field: Int, _ value: Double) {
        key(field, wire: 1)
        encoded += littleEndianBytes(value.bitPattern)
    }

    mutating func float(_ field: Int, _ value: Float) {
        key(field, wire: 5)
        encoded += littleEndianBytes(value.bitPattern)
    }

    mutating func bytes(_ field: Int, _ value: [UInt8]) {
        key(field, wire: 2)
        varint(UInt64(value.count))
        encoded += value
    }

    mutating func text(_ field: Int, _ value: String) { bytes(field, Array(value.utf8)) }

    mutating func message(_ field: Int, _ value: ProtobufMessage) { bytes(field, value.encoded) }

    private mutating func key(_ field: Int, wire: Int) { varint(UInt64(field << 3 | wire)) }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            encoded.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        encoded.append(UInt8(rest))
    }
}

func littleEndianBytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
