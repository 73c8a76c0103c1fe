import Foundation

/// A YAML document that is decoded strictly: every key must be asked for, every value has its type.
///
/// Unknown keys are reported with the nearest known one, wrong types and refused values with line and
/// column. Aliases, anchors, tags and duplicate keys are refused, documents over 1 MB or 20,000 values too
/// (a few hundred bytes of aliases otherwise expand to gigabytes). Plain scalars follow YAML 1.2's core:
/// `no` is a text, `012` is an error, `1e-3` is a number.
public struct StrictYAML {
    let root: YAMLNode
    let file: String
    /// Folder that relative paths of the file start from.
    let folder: String
    /// The overrides that were applied, as given.
    public let overrides: [String]

    /// Reads a file, then applies overrides of the form `a.b=c` in order.
    public init(path: String, overrides: [String] = []) throws(StrictYAMLError) {
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            data = try handle.read(upToCount: YAMLBudget().bytes + 1) ?? Data()
        } catch {
            var isFolder: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            let reason =
                isFolder.boolValue ? "is a folder" : exists ? "cannot be read" : "no such file"
            throw .unreadable(file: path, reason: reason)
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw .unreadable(file: path, reason: "is not UTF-8 text")
        }
        try self.init(
            text: text, file: path, folder: PlanPath.folder(of: path), overrides: overrides)
    }

    /// Takes a text for the content of `file`; relative paths in it start from `folder`.
    public init(
        text: String, file: String, folder: String = ".", overrides: [String] = []
    ) throws(StrictYAMLError) {
        root = try YAMLNode.parsed(text) { .file(file, line: $0, column: $1) }
        self.file = file
        self.folder = folder
        self.overrides = overrides
        for override in overrides { try root.apply(override: override) }
    }

    /// The document as a value of `type`; each key in it was asked for.
    public func decode<T: Decodable>(_ type: T.Type = T.self) throws(StrictYAMLError) -> T {
        let session = YAMLSession(folder: folder)
        root.forgetAskedKeys()
        let value: T
        do {
            value = try session.decode(type, from: root, path: [])
        } catch let error as StrictYAMLError {
            throw error
        } catch {
            throw .badValue(place: root.place, key: "", reason: "\(error)")
        }
        if let unknown = root.firstUnknownKey(path: []) { throw unknown }
        return value
    }
}

extension YAMLNode {
    func forgetAskedKeys() {
        askedKeys = nil
        switch content {
        case .scalar: break
        case .sequence(let values): for value in values { value.forgetAskedKeys() }
        case .mapping(let entries): for entry in entries { entry.value.forgetAskedKeys() }
        }
    }

    /// The first key, in the order of the document, that was never asked for.
    func firstUnknownKey(path: [String]) -> StrictYAMLError? {
        switch content {
        case .scalar: return nil
        case .sequence(let values):
            for (index, value) in values.enumerated() {
                if let error = value.firstUnknownKey(path: path + ["\(index)"]) { return error }
            }
            return nil
        case .mapping(let entries):
            guard let askedKeys else { return nil }
            for entry in entries {
                let full = (path + [entry.key]).joined(separator: ".")
                if !askedKeys.contains(entry.key) {
                    return .unknownKey(
                        place: entry.place, key: full,
                        nearest: nearestName(to: entry.key, among: askedKeys),
                        known: askedKeys.sorted())
                }
                if let error = entry.value.firstUnknownKey(path: path + [entry.key]) {
                    return error
                }
            }
            return nil
        }
    }
}
