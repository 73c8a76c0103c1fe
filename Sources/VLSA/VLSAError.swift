/// What can be wrong with a model's parts, its configuration or what it is asked to see.
public enum VLSAError: Error, CustomStringConvertible, Equatable {
    /// A configuration value or a combination of parts that cannot work.
    case configuration(String)
    /// A record or request that does not fit the model.
    case input(String)
    /// A folder that is no model, or lacks a part.
    case folder(path: String, problem: String)

    public var description: String {
        switch self {
        case .configuration(let problem): problem
        case .input(let problem): problem
        case .folder(let path, let problem): "\(path): \(problem)"
        }
    }
}
