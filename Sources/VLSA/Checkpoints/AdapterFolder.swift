import Foundation
import Torch
import TorchNN

/// LoRA adapters of one model as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.
public struct AdapterFolder: Sendable {
    /// Where it is.
    public let path: String
    /// Width of the bottleneck.
    public let rank: Int
    /// The adapters' output is multiplied by `alpha / rank`.
    public let alpha: Double
    /// Share of inputs zeroed in training.
    public let dropout: Double
    let file: SafetensorsFile

    static let settingsFile = "adapter_config.json"
    static let weightFile = "adapter_model.safetensors"
    /// What PEFT's wrappers put before every name.
    static let wrapper = "base_model.model."

    /// Opens a folder that PEFT, or ``write(_:of:layers:task:to:published:)``, wrote.
    ///
    /// - Throws: ``CheckpointError`` for a file that is missing or wrong, or for a kind of adapter that is more than
    ///   LoRA on linear layers.
    public init(_ path: String) throws {
        self.path = path
        let settings = try CheckpointFolder.decode(
            Settings.self, path: path, file: Self.settingsFile)
        func require(_ holds: Bool, _ key: String, _ problem: String) throws {
            guard !holds else { return }
            throw CheckpointError.configuration(
                file: path + "/" + Self.settingsFile, key: key, problem: problem)
        }
        try require(settings.kind == "LORA", "peft_type", "is \(settings.kind), not LORA")
        try require(settings.rank > 0, "r", "is \(settings.rank), not above 0")
        try require(
            (settings.bias ?? "none") == "none", "bias", "trained biases cannot be read")
        for (key, value) in [
            ("use_dora", settings.isDoRA), ("use_rslora", settings.isRankStabilised),
            ("fan_in_fan_out", settings.isTransposed),
        ] { try require(value != true, key, "is true, which is another kind of adapter") }
        try require(
            settings.whole?.isEmpty ?? true, "modules_to_save", "whole layers cannot be read")
        for (key, value) in [
            ("rank_pattern", settings.rankPattern), ("alpha_pattern", settings.alphaPattern),
        ] { try require(value?.isEmpty ?? true, key, "ranks that differ by layer cannot be read") }
        rank = settings.rank
        alpha = settings.alpha ?? Double(settings.rank)
        dropout = settings.dropout ?? 0
        guard FileManager.default.fileExists(atPath: path + "/" + Self.weightFile) else {
            throw CheckpointError.missingFile(folder: path, expected: Self.weightFile)
        }
        file = try SafetensorsFile(path: path + "/" + Self.weightFile)
    }

    /// Offers the adapters' values to the layers of a part that will be built.
    ///
    /// - Parameter own: this package's name below the part for a name of the hub's model.
    /// - Returns: full names of the adapted layers.
    func offer(into store: ParameterStore, part: String, own: (String) -> String) throws -> [String]
    {
        var layers: Set<String> = []
        for name in file.names {
            guard let shape = file.shape(of: name), let dtype = file.dtype(of: name) else {
                continue
            }
            let ending = [".lora_A.weight", ".lora_B.weight"].first(where: name.hasSuffix)
            guard name.hasPrefix(Self.wrapper), let ending else {
                throw CheckpointError.configuration(
                    file: file.path, key: name,
                    problem: "is no LoRA weight of a linear layer "
                        + "(\(Self.wrapper)….lora_A.weight or lora_B.weight)")
            }
            let layer =
                part + "." + own(String(name.dropFirst(Self.wrapper.count).dropLast(ending.count)))
            layers.insert(layer)
            let file = file
            try store.offer(layer + ending, shape: shape, dtype: dtype, source: file.path) {
                try file.tensor(name)
            }
        }
        return layers.sorted()
    }

    /// Writes the adapters of some layers of a part.
    ///
    /// - Parameters:
    ///   - layers: full names in `store`, which share one configuration.
    ///   - task: PEFT's kind of task, `CAUSAL_LM` for a decoder; nil for none.
    ///   - published: the hub's name for a name below the part.
    static func write(
        _ store: ParameterStore, part: String, layers: [String], task: String?, to path: String,
        published: (String) -> String?
    ) throws {
        guard let first = layers.first, let configuration = store.adaptation(of: first) else {
            return
        }
        var tensors: [(String, Tensor)] = []
        var targets: [String] = []
        for layer in layers {
            guard let name = published(String(layer.dropFirst(part.count + 1))) else { continue }
            targets.append(name)
            for ending in [".lora_A.weight", ".lora_B.weight"] {
                if let tensor = store[layer + ending] {
                    tensors.append((wrapper + name + ending, tensor))
                }
            }
        }
        let settings = Settings(configuration, targets: targets, task: task)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try SafetensorsFile.write(
                tensors, metadata: ["format": "pt"], to: path + "/" + weightFile)
            try encoder.encode(settings).write(
                to: URL(fileURLWithPath: path + "/" + settingsFile), options: .atomic)
        } catch let error where !(error is SafetensorsError) {
            throw CheckpointError.unwritable(file: path, reason: "\(error)")
        }
    }

    /// PEFT's `LoraConfig`, as far as it is written and must be known.
    private struct Settings: Codable {
        var kind: String
        var task: String?
        var rank: Int
        var alpha: Double?
        var dropout: Double?
        var bias: String?
        var isTransposed: Bool?
        var isDoRA: Bool?
        var isRankStabilised: Bool?
        var whole: [String]?
        var rankPattern: [String: Double]?
        var alphaPattern: [String: Double]?
        var targets: [String] = []

        enum CodingKeys: String, CodingKey {
            case kind = "peft_type"
            case task = "task_type"
            case rank = "r"
            case alpha = "lora_alpha"
            case dropout = "lora_dropout"
            case bias
            case isTransposed = "fan_in_fan_out"
            case isDoRA = "use_dora"
            case isRankStabilised = "use_rslora"
            case whole = "modules_to_save"
            case rankPattern = "rank_pattern"
            case alphaPattern = "alpha_pattern"
            case targets = "target_modules"
            case isForInference = "inference_mode"
            case base = "base_model_name_or_path"
        }

        init(_ configuration: LoRAConfiguration, targets: [String], task: String?) {
            (kind, self.task, self.targets) = ("LORA", task, targets)
            (rank, alpha, dropout) = (
                configuration.rank, configuration.alpha, configuration.dropout
            )
            (bias, isTransposed, isDoRA, isRankStabilised) = ("none", false, false, false)
            (rankPattern, alphaPattern) = ([:], [:])
        }

        init(from decoder: any Decoder) throws {
            // The targets may be a list or an expression; which layers are adapted is what the weights say.
            let values = try decoder.container(keyedBy: CodingKeys.self)
            kind = try values.decode(String.self, forKey: .kind)
            rank = try values.decode(Int.self, forKey: .rank)
            alpha = try values.decodeIfPresent(Double.self, forKey: .alpha)
            dropout = try values.decodeIfPresent(Double.self, forKey: .dropout)
            bias = try values.decodeIfPresent(String.self, forKey: .bias)
            isTransposed = try values.decodeIfPresent(Bool.self, forKey: .isTransposed)
            isDoRA = try values.decodeIfPresent(Bool.self, forKey: .isDoRA)
            isRankStabilised = try values.decodeIfPresent(Bool.self, forKey: .isRankStabilised)
            whole = try values.decodeIfPresent([String].self, forKey: .whole)
            rankPattern = try values.decodeIfPresent([String: Double].self, forKey: .rankPattern)
            alphaPattern = try values.decodeIfPresent([String: Double].self, forKey: .alphaPattern)
        }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(kind, forKey: .kind)
            try values.encode(task, forKey: .task)
            try values.encode(rank, forKey: .rank)
            try values.encode(alpha, forKey: .alpha)
            try values.encode(dropout, forKey: .dropout)
            try values.encode(bias, forKey: .bias)
            try values.encode(isTransposed, forKey: .isTransposed)
            try values.encode(isDoRA, forKey: .isDoRA)
            try values.encode(isRankStabilised, forKey: .isRankStabilised)
            try values.encode(whole, forKey: .whole)
            try values.encode(rankPattern, forKey: .rankPattern)
            try values.encode(alphaPattern, forKey: .alphaPattern)
            try values.encode(targets, forKey: .targets)
            try values.encode(true, forKey: .isForInference)
            try values.encodeNil(forKey: .base)
        }
    }
}
