/// What can be wrong with a tokenizer file, a conversation or a trainer's options.
public enum PromptingError: Error, Equatable, CustomStringConvertible {
    /// A file cannot be read or written.
    case file(path: String, reason: String)
    /// A file is not well formed: `key` is the place in it, `problem` what is wrong there.
    case malformed(file: String, key: String, problem: String)
    /// A file names a component this package does not implement; nothing is guessed in its place.
    case unsupported(file: String, key: String, component: String, supported: String)
    /// A chat format needs a token that the tokenizer lacks.
    case missingToken(token: String, neededBy: String)
    /// A conversation holds another number of `<image>` placeholders than it has pictures.
    case imageCount(expected: Int, found: Int)
    /// A conversation does not fit the format.
    case conversation(format: String, problem: String)
    /// The options of ``BPETrainer`` cannot be met.
    case training(String)

    public var description: String {
        switch self {
        case .file(let path, let reason):
            "\(path): \(reason)"
        case .malformed(let file, let key, let problem):
            "\(file), \(key): \(problem)"
        case .unsupported(let file, let key, let component, let supported):
            "\(file), \(key): \(component) is not supported; supported here: \(supported)"
        case .missingToken(let token, let neededBy):
            "the tokenizer has no token \(token), which \(neededBy) needs; "
                + "use a tokenizer of that family or another chat format"
        case .imageCount(let expected, let found):
            "the conversation has \(found) <image> placeholder\(found == 1 ? "" : "s") for "
                + "\(expected) picture\(expected == 1 ? "" : "s"); write one per picture"
        case .conversation(let format, let problem):
            "chat format \(format): \(problem)"
        case .training(let problem):
            "tokenizer training: \(problem)"
        }
    }
}
