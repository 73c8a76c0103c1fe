import Torch
import TorchNN

// The same convolutional halves come under three sets of names. diffusers' are ours. Latent
// diffusion's (SD, SD3, MAR, VQ-Diffusion files) number the decoder's levels from the picture
// inwards; LlamaGen's number them as they run. Attention is written as linear layers, or as 1 x 1
// convolutions, or under the names of before 2023.

/// Which file a set of names comes from.
enum AutoencoderLayout {
    case diffusers
    case latentDiffusion
    case llamaGen
}

/// The table of an autoencoder's tensors among `names`.
///
/// - Parameter levels: resolutions of the decoder.
func autoencoderNameTable(
    _ names: Set<String>, levels: Int, folder: String
) throws -> NameTable {
    let prefixes = ["", "first_stage_model.", "vae."]
    let prefix = try findPrefix(
        prefixes, anchors: ["encoder.conv_in.weight"], in: names, folder: folder,
        part: "autoencoder")
    let layout: AutoencoderLayout =
        if names.contains(prefix + "encoder.down_blocks.0.resnets.0.conv1.weight") {
            .diffusers
        } else if names.contains(prefix + "encoder.down.0.block.0.conv1.weight") {
            .latentDiffusion
        } else if names.contains(prefix + "encoder.conv_blocks.0.res.0.conv1.weight") {
            .llamaGen
        } else {
            throw CheckpointError.missingPart(
                folder: folder, part: "autoencoder",
                expected: [
                    prefix + "encoder.down_blocks.0.resnets.0.conv1.weight",
                    prefix + "encoder.down.0.block.0.conv1.weight",
                    prefix + "encoder.conv_blocks.0.res.0.conv1.weight",
                ])
        }
    return { name in
        guard name.hasPrefix(prefix) else { return .passedOver }
        return mapping(String(name.dropFirst(prefix.count)), layout: layout, levels: levels)
    }
}

/// Buffers of training that no model here holds.
private let oldBuffers = [
    "quantize.codebook_used", "quantize.cluster_size", "quantize.embedding_avg",
]

/// What trainers save beside the autoencoder.
private let trainersParts = ["loss.", "model_ema.", "perceptual_loss.", "discriminator."]

private func mapping(_ name: String, layout: AutoencoderLayout, levels: Int) -> NameMapping {
    if oldBuffers.contains(name) { return .passedOver }
    if name == "quantize.embedding" { return .named("quantize.embedding.weight") }
    var parts = name.split(separator: ".").map(String.init)
    guard let half = parts.first, half == "encoder" || half == "decoder" else {
        return trainersParts.contains(where: name.hasPrefix) ? .passedOver : .named(name)
    }
    switch layout {
    case .diffusers: break
    case .latentDiffusion: parts = fromLatentDiffusion(parts, levels: levels)
    case .llamaGen: parts = fromLlamaGen(parts)
    }
    parts = withModernAttention(parts)
    let target = parts.joined(separator: ".")
    guard target.contains(".attentions."), target.hasSuffix(".weight"),
        !target.contains("group_norm")
    else { return .named(target) }
    return .converted([(target, withoutTrailingOnes)])
}

/// `[C, C, 1, 1]`, a convolution that is a matrix, as `[C, C]`.
private func withoutTrailingOnes(_ tensor: Tensor) -> Tensor {
    guard tensor.rank == 4, tensor.shape[2] == 1, tensor.shape[3] == 1 else { return tensor }
    return tensor.reshaped([tensor.shape[0], tensor.shape[1]])
}

/// `decoder.up.3.block.0…` to `decoder.up_blocks.0.resnets.0…`.
private func fromLatentDiffusion(_ parts: [String], levels: Int) -> [String] {
    var parts = parts
    guard parts.count > 2 else { return parts }
    switch parts[1] {
    case "down": parts[1] = "down_blocks"
    case "up":
        parts[1] = "up_blocks"
        parts[2] = Int(parts[2]).map { String(levels - 1 - $0) } ?? parts[2]
    case "mid":
        parts[1] = "mid_block"
        switch parts[2] {
        case "block_1": parts.replaceSubrange(2...2, with: ["resnets", "0"])
        case "block_2": parts.replaceSubrange(2...2, with: ["resnets", "1"])
        case "attn_1": parts.replaceSubrange(2...2, with: ["attentions", "0"])
        default: break
        }
        return withModernLeaves(parts)
    case "norm_out":
        parts[1] = "conv_norm_out"
        return parts
    default: return parts
    }
    if parts.count > 3 {
        switch parts[3] {
        case "block": parts[3] = "resnets"
        case "attn": parts[3] = "attentions"
        case "downsample": parts.replaceSubrange(3...3, with: ["downsamplers", "0"])
        case "upsample": parts.replaceSubrange(3...3, with: ["upsamplers", "0"])
        default: break
        }
    }
    return withModernLeaves(parts)
}

/// `decoder.conv_blocks.0.res.0…` to `decoder.up_blocks.0.resnets.0…`.
private func fromLlamaGen(_ parts: [String]) -> [String] {
    var parts = parts
    guard parts.count > 2 else { return parts }
    switch parts[1] {
    case "conv_blocks":
        parts[1] = parts[0] == "encoder" ? "down_blocks" : "up_blocks"
        guard parts.count > 3 else { return parts }
        switch parts[3] {
        case "res": parts[3] = "resnets"
        case "attn": parts[3] = "attentions"
        case "downsample": parts.replaceSubrange(3...3, with: ["downsamplers", "0"])
        case "upsample": parts.replaceSubrange(3...3, with: ["upsamplers", "0"])
        default: break
        }
    case "mid":
        parts[1] = "mid_block"
        switch parts[2] {
        case "0": parts.replaceSubrange(2...2, with: ["resnets", "0"])
        case "1": parts.replaceSubrange(2...2, with: ["attentions", "0"])
        case "2": parts.replaceSubrange(2...2, with: ["resnets", "1"])
        default: break
        }
    case "norm_out": parts[1] = "conv_norm_out"
    default: break
    }
    return withModernLeaves(parts)
}

/// `nin_shortcut` to `conv_shortcut`.
private func withModernLeaves(_ parts: [String]) -> [String] {
    parts.map { $0 == "nin_shortcut" ? "conv_shortcut" : $0 }
}

/// Attention leaves of every spelling to diffusers' present ones.
private func withModernAttention(_ parts: [String]) -> [String] {
    guard let place = parts.firstIndex(of: "attentions"), parts.count == place + 4 else {
        return parts
    }
    let leaf: [String]
    switch parts[place + 2] {
    case "norm": leaf = ["group_norm"]
    case "q", "query": leaf = ["to_q"]
    case "k", "key": leaf = ["to_k"]
    case "v", "value": leaf = ["to_v"]
    case "proj_out", "proj_attn": leaf = ["to_out", "0"]
    default: return parts
    }
    var parts = parts
    parts.replaceSubrange(place + 2...place + 2, with: leaf)
    return parts
}

extension CheckpointFolder {
    /// The latents of this folder (`AutoencoderKL`, `klt_latents`), the weights in `store` below
    /// `prefix`.
    public func latentCodec(
        into store: ParameterStore, at prefix: String = "latents"
    ) throws -> any LatentCodec {
        switch kind {
        case "AutoencoderKL":
            let configuration = try configuration(AutoencoderKLConfiguration.self)
            try offerAutoencoder(
                configuration.convolutions, into: store, at: prefix)
            return try AutoencoderKL(configuration, in: store.scope[prefix])
        case KLTLatentConfiguration.kind:
            let configuration = try configuration(KLTLatentConfiguration.self)
            try offerWeights(to: store, at: prefix) { _ in { .named($0) } }
            return try KLTLatentCodec(configuration, in: store.scope[prefix])
        default:
            throw CheckpointError.wrongKind(
                folder: path, kind: kind,
                expected: ["AutoencoderKL", KLTLatentConfiguration.kind])
        }
    }

    /// The VQ autoencoder of this folder, its weights in `store` below `prefix`.
    public func imageTokenizer(
        into store: ParameterStore, at prefix: String = "codebook"
    ) throws -> any ImageTokenizer {
        guard kind == "VQModel" else {
            throw CheckpointError.wrongKind(folder: path, kind: kind, expected: ["VQModel"])
        }
        let configuration = try configuration(VQModelConfiguration.self)
        try offerAutoencoder(configuration.convolutions, into: store, at: prefix)
        return try VQModel(configuration, in: store.scope[prefix])
    }

    private func offerAutoencoder(
        _ convolutions: ConvolutionConfiguration, into store: ParameterStore, at prefix: String
    ) throws {
        try offerWeights(to: store, at: prefix) { names in
            try autoencoderNameTable(names, levels: convolutions.widths.count, folder: path)
        }
    }
}
