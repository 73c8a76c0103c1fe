import Foundation

/// A run's `metrics.jsonl`: one JSON object a line, each with its `kind` and `step`.
public final class MetricLog {
    /// Path of the file.
    public let path: String
    private let handle: FileHandle

    /// Opens the file for appending, after dropping lines of steps past `step` and a line that was cut off:
    /// what a run that stopped there would have left.
    public init(path: String, resumingAt step: Int = 0) throws {
        self.path = path
        if let old = FileManager.default.contents(atPath: path) {
            let kept = MetricLog.kept(of: old, upTo: step)
            if kept.count != old.count { try AtomicFiles.write(kept, to: path) }
        }
        if !FileManager.default.fileExists(atPath: path) {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        guard let handle = FileHandle(forWritingAtPath: path) else {
            throw RunError.cannotWrite(path: path, reason: String(cString: strerror(errno)))
        }
        self.handle = handle
        try handle.seekToEnd()
    }

    private static func kept(of data: Data, upTo step: Int) -> Data {
        struct Line: Decodable { let step: Int }
        var kept = Data()
        var rest = data[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let line = rest[...end]
            rest = rest[(end + 1)...]
            guard let entry = try? JSONDecoder().decode(Line.self, from: line), entry.step <= step
            else {
                continue
            }
            kept += line
        }
        return kept
    }

    /// Appends a line with `values` in the order given; a value that is not finite is written as a text.
    public func add(_ kind: String, step: Int, _ values: [(name: String, value: Double)]) throws {
        var line = "{\"kind\":\(jsonText(kind)),\"step\":\(step)"
        for (name, value) in values {
            line += ",\(jsonText(name)):" + (value.isFinite ? "\(value)" : "\"\(value)\"")
        }
        do {
            try handle.write(contentsOf: Data((line + "}\n").utf8))
        } catch {
            throw RunError.cannotWrite(path: path, reason: reason(of: error))
        }
    }
}

/// `text` as a JSON string.
func jsonText(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case "\n": result += "\\n"
        case _ where scalar.value < 0x20: result += String(format: "\\u%04x", scalar.value)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
