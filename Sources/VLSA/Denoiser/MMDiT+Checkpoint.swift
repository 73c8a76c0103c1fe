import Torch
import TorchNN

// Two layouts carry the same network. diffusers' names are ours. The original file fuses query, key
// and value, and writes shift before scale in the two modulations that have only those: diffusers
// writes scale before shift.

/// Table of the denoiser's tensors among `names`, whichever layout they are in.
func denoiserNameTable(
    _ names: Set<String>, configuration: MMDiTConfiguration, folder: String
) throws -> NameTable {
    let original = ["model.diffusion_model.", ""]
    if let prefix = original.first(where: { names.contains($0 + "x_embedder.proj.weight") }) {
        return { name in
            guard name.hasPrefix(prefix) else { return .passedOver }
            return originalMapping(
                String(name.dropFirst(prefix.count)), lastBlock: configuration.layerCount - 1)
        }
    }
    let prefix = try findPrefix(
        ["", "transformer."], anchors: ["pos_embed.proj.weight"], in: names, folder: folder,
        part: "SD3 transformer")
    return { name in
        name.hasPrefix(prefix) ? .named(String(name.dropFirst(prefix.count))) : .passedOver
    }
}

private let originalTops: [String: String] = [
    "pos_embed": "pos_embed.pos_embed",
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
]

private let originalLeaves: [String: String] = [
    "x_block.attn.proj": "attn.to_out.0",
    "context_block.attn.proj": "attn.to_add_out",
    "x_block.adaLN_modulation.1": "norm1.linear",
    "context_block.adaLN_modulation.1": "norm1_context.linear",
    "x_block.mlp.fc1": "ff.net.0.proj",
    "x_block.mlp.fc2": "ff.net.2",
    "context_block.mlp.fc1": "ff_context.net.0.proj",
    "context_block.mlp.fc2": "ff_context.net.2",
    "x_block.attn.ln_q": "attn.norm_q",
    "x_block.attn.ln_k": "attn.norm_k",
    "context_block.attn.ln_q": "attn.norm_added_q",
    "context_block.attn.ln_k": "attn.norm_added_k",
    "x_block.attn2.proj": "attn2.to_out.0",
    "x_block.attn2.ln_q": "attn2.norm_q",
    "x_block.attn2.ln_k": "attn2.norm_k",
]

private let originalFused: [String: [String]] = [
    "x_block.attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "context_block.attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "x_block.attn2.qkv": ["attn2.to_q", "attn2.to_k", "attn2.to_v"],
]

/// The diffusers form of an original name, its prefix gone; one that is not known keeps its name,
/// which no parameter has.
private func originalMapping(_ name: String, lastBlock: Int) -> NameMapping {
    if name == "pos_embed" { return .named("pos_embed.pos_embed") }
    guard let dot = name.lastIndex(of: ".") else { return .named(name) }
    let (stem, leaf) = (String(name[..<dot]), String(name[dot...]))
    if let top = originalTops[stem] { return .named(top + leaf) }
    if stem == "final_layer.adaLN_modulation.1" {
        return .converted([("norm_out.linear" + leaf, halvesSwapped)])
    }
    let parts = stem.split(separator: ".", maxSplits: 2)
    guard parts.count == 3, parts[0] == "joint_blocks", let block = Int(parts[1]) else {
        return .named(name)
    }
    let front = "transformer_blocks.\(block)."
    let inner = String(parts[2])
    if let targets = originalFused[inner] {
        return .converted(
            targets.enumerated().map { index, target in
                (front + target + leaf, { $0.chunked(3, axis: 0)[index] })
            })
    }
    guard let target = originalLeaves[inner] else { return .named(name) }
    if block == lastBlock, target == "norm1_context.linear" {
        return .converted([(front + target + leaf, halvesSwapped)])
    }
    return .named(front + target + leaf)
}

/// Rows `[a; b]` as `[b; a]`.
func halvesSwapped(_ tensor: Tensor) -> Tensor {
    let halves = tensor.chunked(2, axis: 0)
    return Tensor.concatenated([halves[1], halves[0]], axis: 0)
}

extension CheckpointFolder {
    /// The SD3 transformer of this folder, its weights in `store` below `prefix`.
    public func denoiser(into store: ParameterStore, at prefix: String = "denoiser") throws -> MMDiT
    {
        guard kind == "SD3Transformer2DModel" else {
            throw CheckpointError.wrongKind(
                folder: path, kind: kind, expected: ["SD3Transformer2DModel"])
        }
        let configuration = try configuration(MMDiTConfiguration.self)
        try offerWeights(to: store, at: prefix) { names in
            try denoiserNameTable(names, configuration: configuration, folder: path)
        }
        return try MMDiT(configuration, in: store.scope[prefix])
    }
}
