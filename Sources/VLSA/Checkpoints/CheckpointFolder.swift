import Foundation
import Torch

/// A model folder in Hugging Face or diffusers layout: `config.json` and safetensors weights, whole
/// or sharded.
public struct CheckpointFolder: Sendable {
    /// Where it is.
    public let path: String
    /// What it holds: `model_type`, or `_class_name` in diffusers' folders.
    public let kind: String

    /// Looks at the folder and reads what kind of model it says to be.
    ///
    /// Throws ``CheckpointError`` when there is no such folder or no readable `config.json`.
    public init(_ path: String) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder),
            isFolder.boolValue
        else { throw CheckpointError.missingFolder(path) }
        self.path = path
        let head = try Self.decode(Head.self, path: path, file: "config.json")
        guard let kind = head.modelType ?? head.className else {
            throw CheckpointError.configuration(
                file: path + "/config.json", key: "model_type",
                problem: "missing, and no _class_name either: no telling which model this is")
        }
        self.kind = kind
    }

    private struct Head: Decodable {
        let modelType: String?
        let className: String?

        enum CodingKeys: String, CodingKey {
            case modelType = "model_type"
            case className = "_class_name"
        }
    }

    /// A JSON file of the folder, decoded; every fault is a ``CheckpointError`` that names file and
    /// key.
    public func configuration<Value: Decodable>(
        _ type: Value.Type, file: String = "config.json"
    ) throws -> Value {
        try Self.decode(type, path: path, file: file)
    }

    /// Whether the folder has a file of this name.
    public func contains(_ file: String) -> Bool {
        FileManager.default.fileExists(atPath: path + "/" + file)
    }

    /// A part in a sub-folder, as diffusers' pipelines keep them (`transformer`, `vae`).
    public func component(_ name: String) throws -> CheckpointFolder {
        try CheckpointFolder(path + "/" + name)
    }

    /// Stop, start and pad ids and sampling settings; `generation_config.json` wins over
    /// `config.json`.
    public func generation() throws -> GenerationConfiguration {
        let basic = try configuration(GenerationConfiguration.self)
        guard contains("generation_config.json") else { return basic }
        var made = try configuration(
            GenerationConfiguration.self, file: "generation_config.json")
        if made.stopIDs.isEmpty { made.stopIDs = basic.stopIDs }
        made.startID = made.startID ?? basic.startID
        made.padID = made.padID ?? basic.padID
        return made
    }

    // MARK: - Weight files

    /// The folder's weight files, opened and mapped, not read.
    ///
    /// `model.safetensors` or `diffusion_pytorch_model.safetensors`, else the shards of the index
    /// beside them. A folder with pickles alone is refused, and so is a shard name that is more
    /// than a plain file name.
    public func weightFiles() throws -> [SafetensorsFile] {
        for stem in ["model", "diffusion_pytorch_model"] {
            if contains(stem + ".safetensors") {
                return [try SafetensorsFile(path: path + "/" + stem + ".safetensors")]
            }
            if contains(stem + ".safetensors.index.json") {
                return try shards(index: stem + ".safetensors.index.json")
            }
        }
        let all = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        let single = all.filter { $0.hasSuffix(".safetensors") }
        if single.count == 1 { return [try SafetensorsFile(path: path + "/" + single[0])] }
        let pickles = all.filter { name in
            Self.pickleEndings.contains { name.hasSuffix($0) }
        }
        if !pickles.isEmpty {
            throw CheckpointError.pickled(folder: path, files: pickles.sorted())
        }
        throw CheckpointError.missingFile(
            folder: path, expected: "model.safetensors or diffusion_pytorch_model.safetensors")
    }

    /// Whether any file here looks like weights, readable ones or pickles.
    public var hasWeights: Bool {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return all.contains { name in
            Self.weightEndings.contains { name.hasSuffix($0) }
        }
    }

    private static let pickleEndings = [".bin", ".pt", ".pth", ".ckpt"]
    private static let weightEndings =
        pickleEndings + [".safetensors", ".safetensors.index.json"]

    private struct ShardIndex: Decodable {
        let files: [String: String]

        enum CodingKeys: String, CodingKey { case files = "weight_map" }
    }

    private func shards(index: String) throws -> [SafetensorsFile] {
        let map = try Self.decode(ShardIndex.self, path: path, file: index, limit: 1 << 28).files
        var opened: [String: SafetensorsFile] = [:]
        for (tensor, file) in map.sorted(by: { $0.key < $1.key }) {
            guard !file.isEmpty, file != ".", file != "..", !file.contains("/"),
                !file.contains("\\"),
                !file.contains("\0")
            else {
                throw CheckpointError.shardIndex(
                    file: path + "/" + index,
                    problem: "\"\(file)\" is no plain file name (for \(tensor))")
            }
            if opened[file] == nil {
                guard contains(file) else {
                    throw CheckpointError.shardIndex(
                        file: path + "/" + index,
                        problem: "shard \(file) is missing (it should hold \(tensor))")
                }
                opened[file] = try SafetensorsFile(path: path + "/" + file)
            }
            guard opened[file]?.contains(tensor) == true else {
                throw CheckpointError.shardIndex(
                    file: path + "/" + index,
                    problem: "\(tensor) is listed for \(file) and is not in it")
            }
        }
        return opened.sorted { $0.key < $1.key }.map(\.value)
    }

    // MARK: - JSON

    /// Configurations are small; an index of a large model is not.
    private static let configurationLimit = 1 << 24

    static func decode<Value: Decodable>(
        _ type: Value.Type, path: String, file: String, limit: Int = configurationLimit
    ) throws -> Value {
        let place = path + "/" + file
        guard FileManager.default.fileExists(atPath: place) else {
            throw CheckpointError.missingFile(folder: path, expected: file)
        }
        let size = (try? FileManager.default.attributesOfItem(atPath: place))?[.size] as? Int ?? 0
        guard size <= limit else {
            throw CheckpointError.unreadable(
                file: place, reason: "\(size) bytes is no sensible size for it")
        }
        guard let data = FileManager.default.contents(atPath: place) else {
            throw CheckpointError.unreadable(file: place, reason: "no permission, or no plain file")
        }
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch let error as DecodingError {
            throw CheckpointError(error, file: place)
        }
    }
}
