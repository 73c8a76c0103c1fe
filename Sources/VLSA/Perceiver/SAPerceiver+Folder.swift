import Foundation
import Torch
import TorchNN

/// `config.json` of a folder that holds a perceiver alone.
private struct PerceiverFolder: Codable {
    let kind: String
    let width: Int
    let perceiver: PerceiverConfiguration

    enum CodingKeys: String, CodingKey {
        case kind = "model_type"
        case width = "hidden_size"
        case perceiver
    }
}

extension PerceiverConfiguration {
    /// Each key's value as text.
    fileprivate func values() throws -> [String: String] {
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(self))
        return (object as? [String: Any] ?? [:]).mapValues { "\($0)" }
    }
}

extension SAPerceiver {
    /// Writes the perceiver of a store as a folder of its own: `config.json` and `model.safetensors`.
    ///
    /// - Parameters:
    ///   - width: of the tokens it works on.
    ///   - store: holds it under `perceiver`.
    public static func save(
        _ configuration: PerceiverConfiguration, width: Int, of store: ParameterStore,
        to folder: String
    ) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let own = PerceiverFolder(
            kind: CheckpointFolder.perceiverKind, width: width, perceiver: configuration)
        try encoder.encode(own).write(to: URL(fileURLWithPath: folder + "/config.json"))
        let weights = store.tensors(under: "perceiver").map { name, tensor in
            (String(name.dropFirst("perceiver.".count)), tensor)
        }
        try SafetensorsFile.write(
            weights, metadata: ["format": "pt"], to: folder + "/model.safetensors")
    }

    /// Gives a store the weights of a folder that ``save(_:width:of:to:)`` wrote.
    ///
    /// - Throws: ``VLSAError`` when the folder's perceiver is of another kind than `configuration` asks for.
    static func load(
        _ folder: String, expecting configuration: PerceiverConfiguration,
        into store: ParameterStore
    ) throws {
        let own = try CheckpointFolder(folder).configuration(PerceiverFolder.self)
        guard own.perceiver == configuration else {
            let (there, here) = (try own.perceiver.values(), try configuration.values())
            let differing = PerceiverConfiguration.CodingKeys.allCases.map(\.rawValue).compactMap {
                there[$0] == here[$0]
                    ? nil : "\($0) \(there[$0] ?? "unset") there, \(here[$0] ?? "unset") here"
            }
            throw VLSAError.configuration(
                "model.perceiver: \(folder) holds another perceiver than perceiver: asks for: "
                    + differing.joined(separator: "; "))
        }
        let file = try SafetensorsFile(path: folder + "/model.safetensors")
        try store.load([file], prefix: "perceiver")
    }
}

extension CheckpointFolder {
    /// `model_type` of a folder that holds a perceiver alone.
    static let perceiverKind = "vlsa_perceiver"

    /// The perceiver of a folder that ``SAPerceiver/save(_:width:of:to:)`` wrote, its weights in `store` below
    /// `prefix`.
    func perceiver(into store: ParameterStore, at prefix: String) throws -> SAPerceiver {
        let own = try configuration(PerceiverFolder.self)
        try offerWeights(to: store, at: prefix) { _ in { .named($0) } }
        return try SAPerceiver(own.perceiver, width: own.width, in: store.scope[prefix])
    }
}
