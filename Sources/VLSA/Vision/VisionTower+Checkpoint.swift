import Torch
import TorchNN

// Where a tower's tensors stand in public files: alone, in a two-tower checkpoint, inside a
// vision-language model of either layout. Below the prefix the names are ours.

/// Prefixes of the tower's names, most specific first.
private let towerPrefixes = [
    // original LLaVA
    "model.vision_tower.vision_tower.vision_model.",
    // in-memory names of transformers 4.52 and later
    "model.vision_tower.vision_model.", "model.vision_tower.",
    // LLaVA on the hub
    "vision_tower.vision_model.", "vision_tower.",
    // by itself
    "vision_model.", "dinov2.", "",
]

private let towerAnchors = [
    "embeddings.patch_embedding.weight", "embeddings.patch_embeddings.projection.weight",
]

/// What stands beside a tower in a whole checkpoint.
private let towerNeighbours = [
    "text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias",
    "classifier.", "multi_modal_projector.", "image_newline", "language_model.", "lm_head.",
    "model.",
]

/// The table that finds a tower's tensors among `names`; a name of neither the tower nor a neighbour
/// stays unclaimed.
func visionNameTable(_ names: Set<String>, folder: String) throws -> NameTable {
    let prefix = try findPrefix(
        towerPrefixes, anchors: towerAnchors, in: names, folder: folder, part: "vision tower")
    return { name in
        guard name.hasPrefix(prefix) else {
            return towerNeighbours.contains(where: name.hasPrefix) ? .passedOver : .named(name)
        }
        let rest = String(name.dropFirst(prefix.count))
        let isNeighbour = prefix.isEmpty && towerNeighbours.contains(where: name.hasPrefix)
        return isNeighbour || rest == "embeddings.position_ids" ? .passedOver : .named(rest)
    }
}

extension CheckpointFolder {
    /// The tower of this folder, whichever kind of folder it is, its weights in `store` below
    /// `prefix`.
    public func visionTower(
        into store: ParameterStore, at prefix: String = "vision"
    ) throws -> any VisionTower {
        let configuration = try configuration(VisionConfiguration.self)
        try offerWeights(to: store, at: prefix) { try visionNameTable($0, folder: path) }
        return try makeVisionTower(configuration, in: store.scope[prefix])
    }
}
