/// Why a codec could not be fitted, read, written or used.
public enum CodecError: Error, Equatable, CustomStringConvertible {
    /// A numerical library is missing or unfit.
    case library(String)
    /// A file or folder of a codec is missing, damaged or of another kind.
    case file(path: String, problem: String)
    /// The pictures given cannot support the fit asked for.
    case fit(String)
    /// A setting is out of its range.
    case setting(name: String, problem: String)
    /// A picture or grid does not have the size the codec needs.
    case size(String)

    public var description: String {
        switch self {
        case .library(let problem): problem
        case .file(let path, let problem): "\(path): \(problem)"
        case .fit(let problem): "codec fit: \(problem)"
        case .setting(let name, let problem): "codec setting \(name): \(problem)"
        case .size(let problem): problem
        }
    }
}
