import Torch
import TorchNN

// Two generations of files. ASVR's bundle names its semantic codebooks `quantizer_semantic` and has
// no projection before them; DualToken's names them `quantizer_sem` and projects with `prequant_sem`.
// Both carry much that codes do not need: the text tower, the branch of appearance, the pixel decoder.

/// The table of a semantic tokenizer's tensors among `names`.
func semanticTokenizerNameTable(
    _ names: Set<String>, folder: String
) throws -> NameTable {
    let towerPrefix = try findPrefix(
        ["siglip_model.vision_model.", "siglip_model."],
        anchors: ["embeddings.patch_embedding.weight"], in: names, folder: folder,
        part: "SigLIP tower")
    let quantizerPrefix = try findPrefix(
        ["quantizer_semantic.", "quantizer_sem."], anchors: ["codebooks.0.weight"], in: names,
        folder: folder, part: "semantic quantiser")
    let towerParts = ["embeddings.", "encoder.", "post_layernorm.", "head."]
    return { name in
        if name.hasPrefix(towerPrefix) {
            let rest = String(name.dropFirst(towerPrefix.count))
            guard towerParts.contains(where: rest.hasPrefix), rest != "embeddings.position_ids"
            else { return .passedOver }
            return .named("tower." + rest)
        }
        if name.hasPrefix(quantizerPrefix) {
            // Besides the codebooks there are averages that only training needs.
            return name.hasSuffix(".weight")
                ? .named("quantizer." + name.dropFirst(quantizerPrefix.count)) : .passedOver
        }
        guard name.hasPrefix("prequant_sem."), !name.hasSuffix(".zero_k_bias") else {
            return .passedOver
        }
        return .named("projection." + name.dropFirst("prequant_sem.".count))
    }
}

extension SemanticTokenizerConfiguration: SavedConfiguration {
    /// The names of the generation that the projection tells.
    public func publishedName(_ name: String) -> String? {
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return name }
        switch parts[0] {
        case "tower": return "siglip_model.vision_model." + parts[1]
        case "projection": return "prequant_sem." + parts[1]
        default:
            return (projection == .none ? "quantizer_semantic." : "quantizer_sem.") + parts[1]
        }
    }
}

extension CheckpointFolder {
    /// The semantic tokenizer of this folder, its weights in `store` below `prefix`.
    public func semanticTokenizer(
        into store: ParameterStore, at prefix: String = "target"
    ) throws -> SemanticTokenizer {
        guard kind == SemanticTokenizerConfiguration.kind else {
            throw CheckpointError.wrongKind(
                folder: path, kind: kind, expected: [SemanticTokenizerConfiguration.kind])
        }
        let configuration = try configuration(SemanticTokenizerConfiguration.self)
        let files = try weightFiles()
        let table = try semanticTokenizerNameTable(Set(files.flatMap(\.names)), folder: path)
        try store.offer(files, at: prefix, table: table)
        return try SemanticTokenizer(configuration, in: store.scope[prefix])
    }
}
