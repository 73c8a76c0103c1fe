/// What can be wrong with a model folder, its configuration or its weight files.
public enum CheckpointError: Error, Equatable, CustomStringConvertible {
    /// No folder at this path.
    case missingFolder(String)
    /// The folder lacks a file that it needs.
    case missingFile(folder: String, expected: String)
    /// The file is there and cannot be read.
    case unreadable(file: String, reason: String)
    /// The file or folder cannot be written.
    case unwritable(file: String, reason: String)
    /// A configuration file with a missing, misspelt or impossible value.
    case configuration(file: String, key: String, problem: String)
    /// Only pickled weights: loading them would run code.
    case pickled(folder: String, files: [String])
    /// A shard index that names something impossible.
    case shardIndex(file: String, problem: String)
    /// The folder holds something else than what was asked for.
    case wrongKind(folder: String, kind: String, expected: [String])
    /// No tensor names of the part that was asked for.
    case missingPart(folder: String, part: String, expected: [String])

    public var description: String {
        switch self {
        case .missingFolder(let path):
            "\(path): no such folder. Give the path of a folder with config.json and "
                + "model.safetensors, as a Hugging Face download has it."
        case .missingFile(let folder, let expected):
            "\(folder): no \(expected) in this folder."
        case .unreadable(let file, let reason):
            "\(file): cannot be read: \(reason)"
        case .unwritable(let file, let reason):
            "\(file): cannot be written: \(reason)"
        case .configuration(let file, let key, let problem):
            key.isEmpty ? "\(file): \(problem)" : "\(file): key \"\(key)\": \(problem)"
        case .pickled(let folder, let files):
            "\(folder): only pickled weights (\(files.joined(separator: ", "))), and unpickling "
                + "runs code from the file. Convert them to model.safetensors first, with "
                + "save_pretrained(safe_serialization=True) in transformers for instance."
        case .shardIndex(let file, let problem):
            "\(file): \(problem)"
        case .wrongKind(let folder, let kind, let expected):
            "\(folder): holds \"\(kind)\", expected \(expected.joined(separator: ", "))."
        case .missingPart(let folder, let part, let expected):
            "\(folder): no \(part) weights; none of these names is there: "
                + expected.joined(separator: ", ")
        }
    }
}
