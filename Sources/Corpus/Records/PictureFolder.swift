import Foundation

/// The folder beneath which all pictures of a data set lie; nothing outside it is ever opened.
public struct PictureFolder: Sendable {
    /// The folder as given.
    public let path: String
    private let root: [Substring]

    /// A folder that exists.
    public init(_ path: String) throws {
        self.path = path
        guard let real = realPath(path) else {
            throw CorpusError.file(
                path: path, problem: "is not a picture folder that can be opened")
        }
        var status = stat()
        guard stat(real, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw CorpusError.file(path: path, problem: "is not a folder")
        }
        root = real.split(separator: "/")
    }

    /// The real path of a picture that a record names.
    ///
    /// Refused: empty and absolute paths, `..`, NUL, and links that lead out of the folder. The real path's
    /// components are compared with the folder's, so a sibling whose name merely starts alike is outside.
    public func resolve(_ name: String) throws(RecordProblem) -> String {
        func unsafe(_ why: String) -> RecordProblem {
            RecordProblem(kind: .unsafePath, reason: "the picture path \(quoted(name)) \(why)")
        }
        guard !name.isEmpty else { throw unsafe("is empty") }
        guard !name.utf8.contains(0) else { throw unsafe("holds a NUL byte") }
        guard !name.hasPrefix("/") else { throw unsafe("is absolute; give it relative to \(path)") }
        guard name.utf8.count <= 4096 else { throw unsafe("is too long") }
        guard !name.split(separator: "/").contains("..") else { throw unsafe("holds \"..\"") }
        guard let real = realPath("\(path)/\(name)") else {
            throw RecordProblem(
                kind: .missingPicture,
                reason:
                    "the picture \(quoted(name)) is not in \(path): \(String(cString: strerror(errno)))"
            )
        }
        guard real.split(separator: "/").starts(with: root) else {
            throw unsafe("leads out of \(path) through a link")
        }
        return real
    }

    private func quoted(_ name: String) -> String {
        let shown = name.count > 200 ? name.prefix(200) + "…" : name[...]
        return "\"" + shown.map { $0.isASCII && $0.asciiValue! < 0x20 ? "?" : String($0) }.joined()
            + "\""
    }
}

/// An absolute path without links; nil where there is no such file.
func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(validatingCString: resolved)
}
