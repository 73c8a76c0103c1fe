import AnyRes
import Foundation
import Prompting
import Torch
import TorchNN
import VLSA

/// The models that `vlsa bench train` measures: the shapes of `SIZES` in `Benchmarks/peer.py`.
///
/// Parameters are as many as there, part by part. The position table of the denoiser is data on both sides and not
/// counted, nor are the latents' tables, which the other side, given its latents, does without.
public enum BenchmarkSize: String, CaseIterable, Sendable {
    /// 19 million parameters.
    case tiny
    /// 150 million parameters.
    case small = "S"
    /// 660 million parameters.
    case medium = "M"

    /// A CLIP tower.
    var vision: CLIPVisionConfiguration {
        let (width, layers, heads, side) =
            switch self {
            case .tiny: (192, 6, 3, 112)
            case .small: (384, 12, 6, 336)
            case .medium: (768, 12, 12, 336)
            }
        return CLIPVisionConfiguration(
            width: width, hiddenWidth: 4 * width, layerCount: layers, headCount: heads,
            imageSize: side, patchSize: 14)
    }

    /// A Llama decoder.
    var language: LanguageConfiguration {
        let (width, layers, heads, shared, hidden, vocabulary) =
            switch self {
            case .tiny: (256, 6, 4, 2, 704, 4096)
            case .small: (640, 12, 10, 5, 1728, 32_000)
            case .medium: (1024, 16, 16, 8, 2816, 64_000)
            }
        return LanguageConfiguration(
            vocabularySize: vocabulary, width: width, hiddenWidth: hidden, layerCount: layers,
            headCount: heads, keyValueHeadCount: shared, epsilon: 1e-6, contextLength: 4096)
    }

    /// An SD3 transformer, prompted with vectors of the decoder's width.
    var denoiser: MMDiTConfiguration {
        let (layers, heads, side) =
            switch self {
            case .tiny: (4, 4, 16)
            case .small: (6, 6, 32)
            case .medium: (12, 12, 32)
            }
        let width = language.width
        return MMDiTConfiguration(
            sampleSize: side, layerCount: layers, headWidth: 64, headCount: heads,
            contextWidth: width, pooledWidth: 2 * width, positionGrid: 96)
    }

    /// Tokens of text in a sample.
    var textLength: Int {
        switch self {
        case .tiny: 96
        case .small: 192
        case .medium: 256
        }
    }

    private var latents: KLTLatentConfiguration {
        KLTLatentConfiguration(channels: 16, patchSide: 8)
    }

    private var configuration: VLSAConfiguration {
        VLSAConfiguration(
            picture: TilingConfiguration(tileWidth: vision.imageSize, tileHeight: vision.imageSize),
            perceiver: PerceiverConfiguration(), epigone: EpigoneConfiguration(rank: 64),
            objective: ObjectiveConfiguration(
                kind: .reconstruction, time: TimeSampling(shift: 1),
                pictureSize: denoiser.sampleSize * latents.patchSide),
            chat: ChatConfiguration(format: .llama3))
    }

    /// The whole model with random weights; `folder` gets its parts' configurations and a tokenizer.
    func model(in folder: String, dtype: DType = .bfloat16, device: Device = .cpu) throws
        -> VLSAModel
    {
        func write(_ configuration: some Encodable, _ part: String) throws -> String {
            let path = folder + "/" + part
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
            try JSONEncoder().encode(configuration).write(
                to: URL(fileURLWithPath: path + "/config.json"))
            return path
        }
        let parts = PartFolders(
            vision: try write(VisionConfiguration.clip(vision), "vision"),
            language: try write(language, "language"), denoiser: try write(denoiser, "denoiser"),
            latents: try write(latents, "latents"))
        try BPETrainer(vocabularySize: 320).train(["What is here?"]).write(to: parts.language)
        let model = try VLSAModel(
            assembling: parts, configuration: configuration, dtype: dtype, device: device,
            startingAnew: true)
        guard device != .meta else { return model }
        // What starts at zero would pass on nothing but zeros.
        let generator = Generator(seed: 2)
        for (_, tensor) in model.store.tensors() where tensor.rank == 2 {
            let values = tensor.detached().to(.float32)
            guard values.square().sum().item() == 0 else { continue }
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * 0.02)
        }
        return model
    }
}
