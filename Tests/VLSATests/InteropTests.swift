import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Writes a folder of every kind with inputs and outputs beside its weights, for
/// `Tests/Interop/check.py` to load with the Python libraries. Runs when `VLSA_INTEROP` names where
/// to.
@Suite(
    .enabled(
        if: ProcessInfo.processInfo.environment["VLSA_INTEROP"] != nil,
        "VLSA_INTEROP names no folder to write to"))
struct InteropTests {
    private let root = ProcessInfo.processInfo.environment["VLSA_INTEROP"] ?? ""

    private func write<Configuration: SavedConfiguration>(
        _ name: String, _ configuration: Configuration, _ store: ParameterStore,
        part: String = "", values: [(String, Tensor)]
    ) throws {
        let folder = root + "/" + name
        try saveFolder(configuration, part: part, of: store, to: folder)
        try SafetensorsFile.write(
            values.map { ($0.0, $0.1.detached().contiguous()) }, metadata: [:],
            to: folder + "/vlsa.safetensors")
    }

    @Test(
        "towers",
        arguments: [
            VisionConfiguration.clip(
                CLIPVisionConfiguration(
                    width: 32, hiddenWidth: 48, layerCount: 3, headCount: 4, imageSize: 42,
                    patchSize: 14)),
            .siglip(
                SigLIPVisionConfiguration(
                    width: 32, hiddenWidth: 48, layerCount: 3, headCount: 4, imageSize: 42,
                    patchSize: 14)),
            .dinov2(
                DINOv2Configuration(
                    width: 32, layerCount: 3, headCount: 4, imageSize: 42, patchSize: 14,
                    isGated: true)),
        ])
    func towers(_ configuration: VisionConfiguration) throws {
        let (tower, store) = try GoldenFill.fill { try makeVisionTower(configuration, in: $0) }
        let pixels = GoldenFill.tensor("golden.pixels", [2, 3, 42, 42])
        let output = tower.output(pixels)
        let pooled = try #require(output.pooled)
        let name =
            switch configuration {
            case .clip: "clip_vision"
            case .siglip: "siglip_vision"
            case .dinov2: "dinov2"
            }
        try write(
            name, configuration, store,
            values: [("pixels", pixels), ("last", output.last), ("pooled", pooled)])
    }

    @Test(
        "decoders",
        arguments: [
            LanguageConfiguration(
                vocabularySize: 80, width: 32, hiddenWidth: 56, layerCount: 2, headCount: 4,
                keyValueHeadCount: 2, theta: 500_000,
                scaling: .llama3(
                    factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8),
                startID: 1, stopIDs: [2, 3]),
            LanguageConfiguration(
                family: .qwen2, vocabularySize: 80, width: 32, hiddenWidth: 56, layerCount: 2,
                headCount: 4, keyValueHeadCount: 2, epsilon: 1e-6, tiesEmbeddings: true,
                startID: nil,
                stopIDs: [2]),
            LanguageConfiguration(
                family: .mistral, vocabularySize: 80, width: 32, hiddenWidth: 56, layerCount: 2,
                headCount: 4, keyValueHeadCount: 2, headWidth: 10, window: 5),
            LanguageConfiguration(
                vocabularySize: 80, width: 32, hiddenWidth: 56, layerCount: 2, headCount: 4,
                keyValueHeadCount: 4, scaling: .linear(factor: 4)),
        ])
    func decoders(_ configuration: LanguageConfiguration) throws {
        let (model, store) = try GoldenFill.fill { try LanguageModel(configuration, in: $0) }
        let ids = Tensor((0..<24).map { ($0 * 37 + 5) % 80 }, shape: [2, 12])
        let logits = model.logits(model(model.embed(ids)))
        let kind = configuration.scaling == .linear(factor: 4) ? "_linear" : ""
        try write(
            configuration.family.rawValue + kind, configuration, store,
            values: [("ids", ids), ("logits", logits)])
    }

    @Test func wholeLlava() throws {
        let fixture = GoldenFixture("llava_next")
        let golden = try fixture.values()
        let store = ParameterStore(seed: 1)
        let model = try fixture.folder().llava(into: store, at: "llava")
        let (ids, tiles) = (try golden("wide.in.input_ids"), try golden("wide.in.pixel_values"))
        let size = try golden.rows("wide.in.image_sizes")[0]
        let embeddings = try model.embeddings(
            golden.rows("wide.in.input_ids"),
            pictures: [
                Llava.Picture(tiles: tiles[0, .ellipsis], height: size[0], width: size[1])
            ])
        try write(
            "llava_next", model.configuration, store, part: "llava",
            values: [
                ("ids", ids), ("tiles", tiles), ("sizes", Tensor(size, shape: [1, 2])),
                ("logits", model.language.logits(model.language(embeddings))),
            ])
    }

    /// LLaVA-1.5: one square a picture, no newline.
    @Test func squareLlava() throws {
        let configuration = LlavaConfiguration(
            vision: .clip(
                CLIPVisionConfiguration(
                    width: 32, hiddenWidth: 48, layerCount: 3, headCount: 4, imageSize: 28,
                    patchSize: 14)),
            language: LanguageConfiguration(
                vocabularySize: 80, width: 32, hiddenWidth: 56, layerCount: 2, headCount: 4,
                keyValueHeadCount: 4), imageTokenID: 70)
        let (model, store) = try GoldenFill.fill { try Llava(configuration, in: $0) }
        let pixels = GoldenFill.tensor("golden.pixels", [1, 3, 28, 28])
        let ids = [1, 5] + [Int](repeating: 70, count: 4) + [9, 11, 13]
        let embeddings = try model.embeddings(
            [ids], pictures: [Llava.Picture(tiles: pixels, height: 28, width: 28)])
        try write(
            "llava", configuration, store,
            values: [
                ("ids", Tensor(ids, shape: [1, ids.count])), ("tiles", pixels),
                ("logits", model.language.logits(model.language(embeddings))),
            ])
    }

    @Test func denoiser() throws {
        let configuration = MMDiTConfiguration(
            sampleSize: 8, channels: 4, layerCount: 3, headWidth: 8, headCount: 4,
            contextWidth: 12, pooledWidth: 10, positionGrid: 8, normalizesQueries: true,
            dualAttentionLayers: [0, 1])
        let (model, store) = try GoldenFill.fill(keeping: ["pos_embed.pos_embed"]) {
            try MMDiT(configuration, in: $0)
        }
        let latents = GoldenFill.tensor("golden.latent", [2, 4, 6, 8])
        let context = GoldenFill.tensor("golden.context", [2, 5, 12])
        let pooled = GoldenFill.tensor("golden.pooled", [2, 10])
        let times = Tensor([Float(500), 37.5], shape: [2])
        try write(
            "sd3", configuration, store,
            values: [
                ("latents", latents), ("context", context), ("pooled", pooled), ("times", times),
                ("velocity", model(latents, timesteps: times, context: context, pooled: pooled)),
            ])
    }

    @Test func autoencoders() throws {
        let convolutions = ConvolutionConfiguration(
            widths: [8, 16], blocksPerLevel: 1, groups: 4, encoderAttends: [false, true],
            decoderAttends: [true, false])
        let pixels = GoldenFill.tensor("golden.image", [1, 3, 16, 24])
        let kl = AutoencoderKLConfiguration(
            convolutions: convolutions, latentChannels: 4, scaling: 1.5305, shift: 0.0609)
        let (autoencoder, klStore) = try GoldenFill.fill { try AutoencoderKL(kl, in: $0) }
        let mean = autoencoder.distribution(pixels).mean
        try write(
            "autoencoder_kl", kl, klStore,
            values: [
                ("pixels", pixels), ("mean", mean),
                ("decoded", autoencoder.decode(unscaled: mean)),
            ])
        let vq = VQModelConfiguration(
            convolutions: convolutions, latentChannels: 6, codeCount: 32, codeWidth: 4)
        let (model, vqStore) = try GoldenFill.fill { try VQModel(vq, in: $0) }
        let indices = model.indices(pixels)
        try write(
            "vqmodel", vq, vqStore,
            values: [
                ("pixels", pixels), ("indices", indices),
                ("decoded", model.decode(indices: indices)),
            ])
    }
}
