import AnyRes

/// Why a data file or a setting cannot be used at all.
public enum CorpusError: Error, Equatable, CustomStringConvertible {
    /// A file or folder is missing, damaged or of another kind.
    case file(path: String, problem: String)
    /// A setting is out of its range.
    case setting(name: String, problem: String)
    /// More records are bad than the run may bear.
    case tooManyRejected(String)

    public var description: String {
        switch self {
        case .file(let path, let problem): "\(path): \(problem)"
        case .setting(let name, let problem): "\(name): \(problem)"
        case .tooManyRejected(let problem): problem
        }
    }
}

/// The kinds of reasons for which one record is left out.
public enum RejectionKind: String, Codable, CaseIterable, Sendable {
    /// Not valid JSON or UTF-8, nested too deeply, or too large.
    case malformed
    /// JSON, but not of a record's shape: a missing or mistyped field.
    case schema
    /// Too many turns or pictures.
    case limits
    /// The number of `<image>` differs from the number of pictures.
    case imageCount = "image_count"
    /// A picture's path is absolute, leaves the picture folder, or has no safe meaning.
    case unsafePath = "unsafe_path"
    /// A picture's file is not there.
    case missingPicture = "missing_picture"
    /// A picture's file cannot be decoded or tiled.
    case unreadablePicture = "unreadable_picture"
    /// The chat format refuses the turns.
    case prompt
    /// The sample is longer than allowed and cannot be cut without losing a picture.
    case length
    /// Nothing in the sample is supervised.
    case unsupervised
    /// Another record has the same id.
    case duplicate
    /// An error that none of the others names.
    case other
}

/// One record left out, and why.
public struct Rejection: Error, Codable, Equatable, Sendable, CustomStringConvertible {
    /// The record file; empty for a record that came from none.
    public var file: String
    /// The record's index in it, from 0.
    public var index: Int
    /// The record's id, where it could be read.
    public var id: String?
    /// The kind of reason.
    public var kind: RejectionKind
    /// The reason in words.
    public var reason: String

    public init(file: String, index: Int, id: String? = nil, kind: RejectionKind, reason: String) {
        self.file = file
        self.index = index
        self.id = id
        self.kind = kind
        self.reason = reason
    }

    public var description: String {
        file.isEmpty
            ? "record \(id ?? "without id"): \(reason)"
            : "\(file), record \(index)\(id.map { " (id \($0))" } ?? ""): \(reason)"
    }
}

/// A reason to leave a record out, before it is known which one it is.
public struct RecordProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kind of reason.
    public let kind: RejectionKind
    /// The reason in words.
    public let reason: String

    init(kind: RejectionKind, reason: String) { (self.kind, self.reason) = (kind, reason) }

    /// What an error says of the record that met it.
    init(_ error: any Error) {
        switch error {
        case let problem as RecordProblem: self = problem
        case let rejection as Rejection:
            self.init(kind: rejection.kind, reason: rejection.reason)
        case is PictureError: self.init(kind: .unreadablePicture, reason: "\(error)")
        default: self.init(kind: .other, reason: "\(error)")
        }
    }

    public var description: String { reason }

    func rejection(file: String, index: Int, id: String?) -> Rejection {
        Rejection(file: file, index: index, id: id, kind: kind, reason: reason)
    }
}
