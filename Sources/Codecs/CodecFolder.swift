import Foundation

/// The folder a codec is kept in: `config.json` and `model.safetensors`.
struct CodecFolder {
    let path: String
    private var configPath: String { "\(path)/config.json" }
    private var tensorPath: String { "\(path)/model.safetensors" }

    init(_ path: String) { self.path = path }

    /// `model_type`, the settings' keys beside it, and the report under `fit`.
    private struct Config<Settings: Codable>: Codable {
        var kind: String
        var settings: Settings
        var report: FitReport

        enum CodingKeys: String, CodingKey {
            case kind = "model_type"
            case report = "fit"
        }

        init(kind: String, settings: Settings, report: FitReport) {
            (self.kind, self.settings, self.report) = (kind, settings, report)
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            kind = try container.decode(String.self, forKey: .kind)
            report = try container.decode(FitReport.self, forKey: .report)
            settings = try Settings(from: decoder)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(kind, forKey: .kind)
            try container.encode(report, forKey: .report)
            try settings.encode(to: encoder)
        }
    }

    private struct Kind: Decodable {
        var kind: String

        enum CodingKeys: String, CodingKey {
            case kind = "model_type"
        }
    }

    func write<Settings: Codable>(
        kind: String, settings: Settings, report: FitReport,
        tensors: [(name: String, tensor: TensorFile.Values)]
    ) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CodecError.file(path: path, problem: "cannot be made a folder")
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let config = Config(kind: kind, settings: settings, report: report)
        // The config comes last: a folder without one is not a codec, whatever was interrupted.
        try TensorFile.write(tensors, to: tensorPath)
        try writeAtomically(encoder.encode(config), to: configPath)
    }

    func config<Settings: Codable>(kind: String) throws -> (Settings, FitReport) {
        guard let data = FileManager.default.contents(atPath: configPath) else {
            throw CodecError.file(path: configPath, problem: "cannot be read")
        }
        do {
            let found = try JSONDecoder().decode(Kind.self, from: data).kind
            guard found == kind else {
                throw CodecError.file(
                    path: configPath, problem: "is of a \(found), not of a \(kind)")
            }
            let config = try JSONDecoder().decode(Config<Settings>.self, from: data)
            return (config.settings, config.report)
        } catch let error as DecodingError {
            throw CodecError.file(path: configPath, problem: error.summary)
        }
    }

    func tensors() throws -> TensorFile { try TensorFile(path: tensorPath) }
}

extension DecodingError {
    /// What is wrong and at which key, in one line.
    fileprivate var summary: String {
        func place(_ context: Context) -> String {
            let keys = context.codingPath.map(\.stringValue).joined(separator: ".")
            return keys.isEmpty ? "" : " at \(keys)"
        }
        switch self {
        case .keyNotFound(let key, let context):
            return "has no key \(key.stringValue)\(place(context))"
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            return "needs \(type)\(place(context))"
        case .dataCorrupted(let context):
            return "is not valid JSON\(place(context)): \(context.debugDescription)"
        @unknown default: return "cannot be decoded"
        }
    }
}

/// A hexadecimal hash of a codec's kind and numbers.
func fingerprinted(_ kind: String, _ tensors: [[Float]]) -> String {
    let hash = tensors.reduce(stableHash(kind)) { hash, values in
        values.withUnsafeBytes { stableHash($0, seed: hash) }
    }
    return String(hash, radix: 16)
}
