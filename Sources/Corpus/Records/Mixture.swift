import Foundation
import Yams

/// A data mixture: a YAML file whose `datasets` list record files and what is taken of each.
///
/// ```yaml
/// datasets:
///   - json_path: chart.json
///     sampling_strategy: random:20%
/// ```
/// A relative `json_path` starts from the YAML file's folder.
enum Mixture {
    static let byteLimit = 1 << 20
    static let datasetLimit = 4096

    /// The sources that a mixture names.
    static func sources(_ path: String) throws(CorpusError) -> [RecordCollection.Source] {
        func bad(_ problem: String, _ node: Node? = nil) -> CorpusError {
            .setting(name: path + (node?.mark.map { ":\($0.line)" } ?? ""), problem: problem)
        }
        let file = try MappedFile(path: path)
        guard file.count <= byteLimit else { throw bad("is over \(byteLimit) bytes") }
        guard let text = file.withBytes({ String(validating: $0, as: UTF8.self) }) else {
            throw bad("is not UTF-8 text")
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw bad("is not YAML: \(error)")
        }
        guard let root, let mapping = root.mapping else {
            throw bad("is not a mapping with the key datasets")
        }
        // Composing shares what aliases repeat, and nothing below looks deeper than two levels.
        for (key, _) in mapping where key.string != "datasets" {
            throw bad("unknown key \(key.string ?? "?"); the only key is datasets", key)
        }
        guard let datasets = mapping["datasets"]?.sequence, !datasets.isEmpty else {
            throw bad("datasets must be a list of record files")
        }
        guard datasets.count <= datasetLimit else {
            throw bad("lists over \(datasetLimit) datasets")
        }
        var sources: [RecordCollection.Source] = []
        for dataset in datasets {
            guard let entry = dataset.mapping else {
                throw bad("a dataset must be a mapping with the key json_path", dataset)
            }
            var source = RecordCollection.Source(path: "")
            for (key, value) in entry {
                switch key.string {
                case "json_path":
                    guard let name = value.string, !name.isEmpty else {
                        throw bad("json_path must be a path", value)
                    }
                    let folder = (path as NSString).deletingLastPathComponent
                    source.path = name.hasPrefix("/") || folder.isEmpty ? name : "\(folder)/\(name)"
                case "sampling_strategy":
                    guard let name = value.string, let strategy = SamplingStrategy(name) else {
                        throw bad(
                            "sampling_strategy must be all, first:N, end:N or random:N, N a number or a "
                                + "percentage", value)
                    }
                    source.strategy = strategy
                default:
                    throw bad(
                        "unknown key \(key.string ?? "?"); the keys are json_path and sampling_strategy",
                        key)
                }
            }
            guard !source.path.isEmpty else { throw bad("a dataset lacks json_path", dataset) }
            sources += RecordCollection.expanded(source.path).map {
                RecordCollection.Source(path: $0, strategy: source.strategy)
            }
        }
        return sources
    }
}
