import Torch
import TorchNN

// Three layouts of the same network: the hub's, the in-memory names of transformers 4.52 and later,
// and the original code's. The tower's and the decoder's tables find their own parts in each; here
// is the rest.

private let projectorNames: [String: String] = [
    "multi_modal_projector.linear_1": "multi_modal_projector.linear_1",
    "multi_modal_projector.linear_2": "multi_modal_projector.linear_2",
    "model.multi_modal_projector.linear_1": "multi_modal_projector.linear_1",
    "model.multi_modal_projector.linear_2": "multi_modal_projector.linear_2",
    "model.mm_projector.0": "multi_modal_projector.linear_1",
    "model.mm_projector.2": "multi_modal_projector.linear_2",
]

private func llavaRemainder(_ name: String) -> NameMapping {
    if name == "image_newline" || name == "model.image_newline" { return .named("image_newline") }
    guard let dot = name.lastIndex(of: ".") else { return .passedOver }
    guard let stem = projectorNames[String(name[..<dot])] else { return .passedOver }
    return .named(stem + name[dot...])
}

extension CheckpointFolder {
    /// The LLaVA of this folder, its weights in `store` below `prefix`.
    ///
    /// - Parameter tower: where the tower's weights are when this folder has none, as original
    ///   checkpoints with a frozen tower do; its configuration is then that folder's.
    public func llava(
        into store: ParameterStore, at prefix: String = "llava", tower: CheckpointFolder? = nil
    ) throws -> Llava {
        var configuration = try configuration(LlavaConfiguration.self)
        let front = prefix.isEmpty ? "" : prefix + "."
        try (tower ?? self).offerWeights(to: store, at: front + "vision_tower") { names in
            try visionNameTable(names, folder: (tower ?? self).path)
        }
        if let tower {
            configuration = LlavaConfiguration(
                vision: try tower.configuration(VisionConfiguration.self),
                language: configuration.language, features: configuration.features,
                imageTokenID: configuration.imageTokenID, pinpoints: configuration.pinpoints,
                truncatesUnpadding: configuration.truncatesUnpadding)
        }
        let isTied = configuration.language.tiesEmbeddings
        try offerWeights(to: store, at: front + "language_model") { names in
            try languageNameTable(names, tied: isTied, folder: path)
        }
        try offerWeights(to: store, at: prefix) { _ in llavaRemainder }
        let scope = prefix.isEmpty ? store.scope : store.scope[prefix]
        return try Llava(configuration, in: scope)
    }
}
