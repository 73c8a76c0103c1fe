import Foundation

/// Where a run keeps what it leaves behind.
public struct RunFolder: Sendable {
    /// The folder itself.
    public let path: String

    public init(_ path: String) { self.path = path }

    /// The resolved plan.
    public var plan: String { path + "/plan.yaml" }
    /// Versions of what the run was made with.
    public var versions: String { path + "/versions.json" }
    /// What was trained, at which rates.
    public var table: String { path + "/trainable.txt" }
    /// Metrics, a JSON object a line.
    public var metrics: String { path + "/metrics.jsonl" }
    /// Records that were left out, with reasons, a JSON object a line.
    public var rejected: String { path + "/rejected.jsonl" }
    /// Pictures that observers made.
    public var pictures: String { path + "/pictures" }
    /// Complete checkpoints.
    public var checkpoints: CheckpointStore { CheckpointStore(folder: path + "/checkpoints") }
    /// The final model, there only when the run has finished.
    public var model: String { path + "/model" }
    /// A page that shows the run, there when it has ended.
    public var report: String { path + "/report.html" }
    /// Lock that a live run holds.
    public var lock: String { path + "/run.lock" }

    /// Whether a run was begun here.
    public var holdsRun: Bool {
        let files = FileManager.default
        return files.fileExists(atPath: plan) || !checkpoints.steps().isEmpty
    }

    /// Whether the run came to its end.
    public var isFinished: Bool { FileManager.default.fileExists(atPath: model) }

    /// Whether the run came to its end with this plan, given as ``StagePlan/yaml()`` writes it.
    public func isFinished(with planText: String) -> Bool {
        guard isFinished, let old = FileManager.default.contents(atPath: plan) else { return false }
        return RunFolder.changes(from: String(decoding: old, as: UTF8.self), to: planText).isEmpty
    }

    /// Keys whose values may change when a run is resumed: they do not bear on the weights.
    static let freeKeys = [
        "name", "log", "checkpoint", "validate", "data.workers", "data.cacheBytes",
        "data.latentCache", "data.latentCacheBytes", "data.codeCache", "data.codeCacheBytes",
        "processes",
    ]

    /// Differences between two resolved plans that would make the run another one.
    static func changes(from old: String, to new: String) -> [String] {
        guard let before = try? values(of: old), let after = try? values(of: new) else {
            return old == new ? [] : ["plan.yaml was another text"]
        }
        return Set(before.keys).union(after.keys).sorted().compactMap { key in
            guard before[key] != after[key], !freeKeys.contains(where: { isPrefix($0, of: key) })
            else { return nil }
            return "\(key) was \(before[key] ?? "absent"), is \(after[key] ?? "absent")"
        }
    }

    /// The single values of a YAML text by dotted key.
    private static func values(of text: String) throws -> [String: String] {
        var found: [String: String] = [:]
        func visit(_ node: YAMLNode, _ key: String) {
            switch node.content {
            case .scalar(let text, _): found[key] = text.isEmpty ? "empty" : text
            case .sequence(let nodes):
                for (index, node) in nodes.enumerated() { visit(node, "\(key).\(index)") }
            case .mapping(let entries):
                for entry in entries {
                    visit(entry.value, key.isEmpty ? entry.key : "\(key).\(entry.key)")
                }
            }
        }
        visit(try YAMLNode.parsed(text) { .file("plan.yaml", line: $0, column: $1) }, "")
        return found
    }
}
