import Foundation
import Torch
import TorchNN

/// A part's configuration that can be written as a folder which the Python libraries and this
/// package load.
public protocol SavedConfiguration: Encodable {
    /// The weight file's name.
    static var weightFile: String { get }
    /// Whether `config.json` says the weights' dtype: transformers' does, diffusers' does not.
    static var statesDType: Bool { get }
    /// The hub's name of a tensor that is `name` below the part's scope; nil when it is left out.
    func publishedName(_ name: String) -> String?
}

extension SavedConfiguration {
    public static var weightFile: String { "model.safetensors" }
    public static var statesDType: Bool { true }
    public func publishedName(_ name: String) -> String? { name }
}

extension VisionConfiguration: SavedConfiguration {
    /// CLIP and SigLIP with the `vision_model.` that every version of transformers takes.
    public func publishedName(_ name: String) -> String? {
        if case .dinov2 = self { name } else { "vision_model." + name }
    }
}

extension LanguageConfiguration: SavedConfiguration {}

extension LlavaConfiguration: SavedConfiguration {
    public func publishedName(_ name: String) -> String? {
        let tower = "vision_tower."
        guard name.hasPrefix(tower) else { return name }
        return vision.publishedName(String(name.dropFirst(tower.count))).map { tower + $0 }
    }
}

extension MMDiTConfiguration: SavedConfiguration {
    public static var weightFile: String { "diffusion_pytorch_model.safetensors" }
    public static var statesDType: Bool { false }
}

extension AutoencoderKLConfiguration: SavedConfiguration {
    public static var weightFile: String { "diffusion_pytorch_model.safetensors" }
    public static var statesDType: Bool { false }
}

extension VQModelConfiguration: SavedConfiguration {
    public static var weightFile: String { "diffusion_pytorch_model.safetensors" }
    public static var statesDType: Bool { false }
}

extension KLTLatentConfiguration: SavedConfiguration {}

/// Writes a part of `store` as a model folder: `config.json` and its weights, under the hub's
/// names.
///
/// The weights come first and each file appears whole or not at all, so a folder with a
/// configuration is a whole one.
///
/// - Parameter prefix: the part's scope in the store, without a dot at its end; empty for all of
///   it.
/// - Parameter merging: adds low-rank adapters to the weights of their layers; otherwise they are left out.
public func saveFolder<Configuration: SavedConfiguration>(
    _ configuration: Configuration, part prefix: String, of store: ParameterStore, to path: String,
    merging: Bool = false
) throws {
    do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
        throw CheckpointError.unwritable(file: path, reason: "cannot be made a folder")
    }
    try store.save(
        to: path + "/" + Configuration.weightFile, prefix: prefix,
        renaming: configuration.publishedName, merging: merging)
    let stored = StoredConfiguration(
        base: configuration, dtype: Configuration.statesDType ? store.dtype.rawValue : nil)
    do {
        try DecimalNumber.json(stored).write(
            to: URL(fileURLWithPath: path + "/config.json"), options: .atomic)
    } catch {
        throw CheckpointError.unwritable(file: path + "/config.json", reason: "\(error)")
    }
}

/// A configuration with the dtype its weights are stored in.
private struct StoredConfiguration<Base: Encodable>: Encodable {
    let base: Base
    let dtype: String?

    enum CodingKeys: String, CodingKey { case dtype = "torch_dtype" }

    func encode(to encoder: any Encoder) throws {
        try base.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeIfPresent(dtype, forKey: .dtype)
    }
}
