import Foundation

/// A file or folder named in a YAML file, absolute after ``StrictYAML`` decoded it.
///
/// A relative path starts from the folder of the YAML file that holds it, one given by an override from the
/// current folder, as on any command line.
public struct PlanPath: Codable, Hashable, Sendable, CustomStringConvertible {
    /// The path, without `.` and `..` where it came from YAML.
    public let path: String

    public init(_ path: String) { self.path = path }

    public init(from decoder: any Decoder) throws {
        path = try decoder.singleValueContainer().decode(String.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(path)
    }

    public var description: String { path }

    /// Whether something is there.
    public var exists: Bool { FileManager.default.fileExists(atPath: path) }

    /// `path` made absolute from `folder`, with `.` and `..` taken out by name.
    static func absolute(_ path: String, from folder: String) -> PlanPath {
        var whole = path
        if !whole.hasPrefix("/") { whole = folder + "/" + whole }
        if !whole.hasPrefix("/") { whole = FileManager.default.currentDirectoryPath + "/" + whole }
        var parts: [Substring] = []
        for part in whole.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return PlanPath("/" + parts.joined(separator: "/"))
    }

    static func folder(of file: String) -> String {
        guard let slash = file.lastIndex(of: "/") else { return "." }
        return slash == file.startIndex ? "/" : String(file[..<slash])
    }
}
