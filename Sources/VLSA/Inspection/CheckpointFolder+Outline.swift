import Torch
import TorchNN

/// Which network a folder holds.
public enum CheckpointFamily: String, Codable, Sendable {
    case clip = "CLIP vision tower"
    case siglip = "SigLIP vision tower"
    case dinov2 = "DINOv2 vision tower"
    case language = "decoder"
    case llava = "LLaVA"
    case denoiser = "SD3 transformer"
    case autoencoder = "KL autoencoder"
    case kltLatents = "Karhunen-Loève latents"
    case imageTokenizer = "VQ autoencoder"
    case kmeansCodebook = "k-means codebook"
    case projector = "LLaVA projector"
    case perceiver = "SA-Perceiver"
    case vlsa = "VLSA model"
}

extension CheckpointFolder {
    /// Builds the network of this folder, whichever it is, in a `store` on ``Torch/Device/meta``: its
    /// parameters by name, without values, checked against the headers of the weight files if there are any.
    ///
    /// - Throws: ``CheckpointError/wrongKind(folder:kind:expected:)`` for a kind that nothing here loads, and
    ///   what that network's loader throws.
    public func outline(into store: ParameterStore) throws -> CheckpointFamily {
        guard store.device == .meta else {
            fatalError("outline of \(path): the store is on \(store.device), not on meta")
        }
        let family: CheckpointFamily
        switch kind {
        case "clip", "clip_vision_model": family = .clip
        case "siglip", "siglip_vision_model": family = .siglip
        case "dinov2": family = .dinov2
        case "llama", "qwen2", "mistral": family = .language
        case "llava", "llava_next", "llava_llama", "llava_mistral", "llava_qwen": family = .llava
        case "SD3Transformer2DModel": family = .denoiser
        case "AutoencoderKL": family = .autoencoder
        case KLTLatentConfiguration.kind: family = .kltLatents
        case "VQModel": family = .imageTokenizer
        case "kmeans_codebook": family = .kmeansCodebook
        case "llava_projector": family = .projector
        case Self.perceiverKind: family = .perceiver
        case "vlsa": family = .vlsa
        default:
            throw CheckpointError.wrongKind(
                folder: path, kind: kind,
                expected: [
                    "clip", "siglip", "dinov2", "llama", "qwen2", "mistral", "llava", "llava_next",
                    "SD3Transformer2DModel", "AutoencoderKL", "VQModel", "klt_latents",
                    "kmeans_codebook", "llava_projector", Self.perceiverKind, "vlsa",
                ])
        }
        switch family {
        case .clip, .siglip, .dinov2: _ = try visionTower(into: store, at: "")
        case .language: _ = try languageModel(into: store, at: "")
        case .llava: _ = try llava(into: store, at: "")
        case .denoiser: _ = try denoiser(into: store, at: "")
        case .autoencoder, .kltLatents: _ = try latentCodec(into: store, at: "")
        case .imageTokenizer: _ = try imageTokenizer(into: store, at: "")
        case .kmeansCodebook: try codebookTensors(into: store)
        case .projector: try projector(into: store)
        case .perceiver: _ = try perceiver(into: store, at: "")
        case .vlsa: _ = try VLSAModel(folder: path, store: store)
        }
        try store.checkComplete()
        return family
    }

    /// Whatever is in the file: a codebook's loader is not one of tensors.
    private func codebookTensors(into store: ParameterStore) throws {
        let files = try weightFiles()
        try store.load(files)
        for file in files {
            for name in file.names {
                _ = try store.scope.parameter(
                    name, shape: file.shape(of: name) ?? [], initial: .zeros)
            }
        }
    }

    private struct ProjectorWidths: Decodable {
        let vision: Int
        let language: Int

        enum CodingKeys: String, CodingKey {
            case vision = "mm_hidden_size"
            case language = "hidden_size"
        }
    }

    private func projector(into store: ParameterStore) throws {
        let widths = try configuration(ProjectorWidths.self)
        try offerWeights(to: store, at: "") { _ in { .named($0) } }
        _ = try Projector(from: widths.vision, to: widths.language, in: store.scope)
    }
}
