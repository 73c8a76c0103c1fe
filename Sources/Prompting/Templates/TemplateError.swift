/// Why a template folder cannot be used.
public enum TemplateError: Error, Equatable, CustomStringConvertible {
    /// A folder is missing, empty or oddly laid out.
    case folder(path: String, problem: String)
    /// A template file is wrong at a line, counted from 1.
    case file(path: String, line: Int, problem: String)

    public var description: String {
        switch self {
        case .folder(let path, let problem): "\(path): \(problem)"
        case .file(let path, let line, let problem): "\(path):\(line): \(problem)"
        }
    }
}
