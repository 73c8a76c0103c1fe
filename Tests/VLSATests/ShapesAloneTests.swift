import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// A public model's configuration, and how many parameters it is published with.
struct PublishedModel: CustomTestStringConvertible, Sendable {
    let name: String
    let count: Int
    let configuration: String

    var testDescription: String { name }

    static let all = [
        PublishedModel(
            name: "Llama-3-8B", count: 8_030_261_248,
            configuration: """
                {"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
                 "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                 "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 500000.0}
                """),
        PublishedModel(
            name: "Llama-3.2-1B", count: 1_235_814_400,
            configuration: """
                {"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
                 "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
                 "num_key_value_heads": 8, "tie_word_embeddings": true, "rms_norm_eps": 1e-05}
                """),
        PublishedModel(
            name: "Mistral-7B", count: 7_241_732_096,
            configuration: """
                {"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
                 "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                 "num_key_value_heads": 8, "sliding_window": null}
                """),
        PublishedModel(
            name: "Qwen2-0.5B", count: 494_032_768,
            configuration: """
                {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
                 "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
                 "num_key_value_heads": 2, "tie_word_embeddings": true}
                """),
        PublishedModel(
            name: "CLIP-L/14-336", count: 303_507_456,
            configuration: """
                {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
                 "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336,
                 "patch_size": 14}
                """),
        PublishedModel(
            name: "SigLIP-so400m-384", count: 428_225_600,
            configuration: """
                {"model_type": "siglip_vision_model", "hidden_size": 1152,
                 "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
                 "image_size": 384, "patch_size": 14}
                """),
        PublishedModel(
            name: "SD3-medium transformer", count: 2_028_328_000 + 56_623_104,
            configuration: """
                {"_class_name": "SD3Transformer2DModel", "sample_size": 128, "num_layers": 24,
                 "attention_head_dim": 64, "num_attention_heads": 24, "in_channels": 16,
                 "joint_attention_dim": 4096, "caption_projection_dim": 1536,
                 "pooled_projection_dim": 2048, "pos_embed_max_size": 192}
                """),
        PublishedModel(
            name: "SD3 AutoencoderKL", count: 83_819_683,
            configuration: """
                {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512],
                 "layers_per_block": 2, "latent_channels": 16, "use_quant_conv": false,
                 "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D",
                 "DownEncoderBlock2D", "DownEncoderBlock2D"],
                 "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
                 "UpDecoderBlock2D"], "use_post_quant_conv": false, "scaling_factor": 1.5305,
                 "shift_factor": 0.0609}
                """),
        PublishedModel(
            name: "ITHQ VQModel", count: 64_009_667,
            configuration: """
                {"_class_name": "VQModel", "block_out_channels": [64, 128, 256, 512],
                 "layers_per_block": 2, "latent_channels": 256, "num_vq_embeddings": 4096,
                 "vq_embed_dim": 128, "down_block_types": ["DownEncoderBlock2D",
                 "DownEncoderBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
                 "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D",
                 "UpDecoderBlock2D", "UpDecoderBlock2D"]}
                """),
    ]

    /// A folder with the configuration alone.
    func folder() throws -> CheckpointFolder {
        let path = try TemporaryFolder.make()
        try configuration.write(
            toFile: path + "/config.json", atomically: true, encoding: .utf8)
        return try CheckpointFolder(path)
    }
}

@Suite struct ShapesAloneTests {
    @Test(arguments: PublishedModel.all)
    func aConfigurationAloneHasThePublishedNumberOfParameters(_ model: PublishedModel) throws {
        let store = ParameterStore(collectingFaultsAs: .bfloat16)
        let family = try model.folder().outline(into: store)
        #expect(store.count() == model.count, "\(family)")
        #expect(store.tensors().allSatisfy { $0.tensor.device == .meta })
        #expect(store.faults.isEmpty)
    }

    @Test func aFolderWithoutWeightsIsRefusedWhereValuesAreWanted() throws {
        let folder = try PublishedModel.all[4].folder()
        #expect(throws: CheckpointError.self) {
            _ = try folder.visionTower(into: ParameterStore(seed: 1))
        }
    }

    /// What a loader of values would say of a file, a store of shapes says too.
    @Test func aWrongFileIsFoundWithoutReadingIt() throws {
        let folders = try TinyStack.folders()
        let file = try SafetensorsFile(path: folders.vision + "/model.safetensors")
        var tensors = try file.tensors().map { ($0.0, $0.1.cloned()) }
        let last = tensors.removeLast()
        tensors.append(("vision_model.encoder.layers.0.mlp.fc3.bias", last.1))
        try SafetensorsFile.write(tensors, to: folders.vision + "/model.safetensors")
        func error(_ device: Device) -> String {
            do {
                _ = try VLSAModel(
                    assembling: folders, configuration: TinyStack.configuration, device: device)
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(error(.meta).contains("no tensor for the parameter"))
        #expect(error(.meta) == error(.cpu))
    }

    @Test func aPlannedNextStageHasTheParametersOfTheSavedOne() throws {
        let folders = try TinyStack.folders()
        let saved = try TemporaryFolder.make()
        try VLSAModel(assembling: folders, configuration: TinyStack.configuration).save(to: saved)
        let outline = try VLSAModel(
            assembling: folders, configuration: TinyStack.configuration, device: .meta)
        func shapes(_ model: VLSAModel) -> [String] {
            model.store.tensors().map { "\($0.name) \($0.tensor.shape) \($0.tensor.dtype)" }
        }
        var sections = StageSections()
        for kind in [ObjectiveKind.reconstruction, .none] {
            sections.objective = ObjectiveConfiguration(kind: kind, pictureSize: 32)
            let planned = try VLSAModel(following: outline, replacing: sections, dtype: .bfloat16)
            let loaded = try VLSAModel(folder: saved, replacing: sections, dtype: .bfloat16)
            #expect(shapes(planned) == shapes(loaded))
        }
        // A saved perceiver with separate keys and values is none with shared ones.
        sections.perceiver = PerceiverConfiguration(sharesKeyAndValue: true, headCount: 4)
        for make in [
            { try VLSAModel(following: outline, replacing: sections, dtype: .float32) },
            { try VLSAModel(folder: saved, replacing: sections) },
        ] {
            #expect(throws: ParameterError.self) { try make() }
        }
    }

    private static let misfits: [(String, @Sendable (inout VLSAConfiguration) -> Void)] = [
        ("features.vision_feature_layer is 3", { $0.features = FeatureSelection(layer: 3) }),
        (
            "features.vision_feature_select_strategy is full",
            { $0.features = FeatureSelection(keepsClassToken: true) }
        ),
        ("perceiver.heads is 0", { $0.perceiver.headCount = 0 }),
        ("perceiver.heads is 5", { $0.perceiver.headCount = 5 }),
        ("epigone.rank is 0", { $0.epigone.rank = 0 }),
        ("objective.pictureSize is 57", { $0.objective.pictureSize = 57 }),
        ("objective.pictureSize 72 gives 9 patches", { $0.objective.pictureSize = 72 }),
    ]

    @Test(arguments: misfits)
    func partsThatDoNotFitAreFoundAtOnce(
        expected: String, change: @Sendable (inout VLSAConfiguration) -> Void
    ) throws {
        var configuration = TinyStack.configuration
        change(&configuration)
        let error = #expect(throws: VLSAError.self) {
            try VLSAModel(
                assembling: TinyStack.folders(), configuration: configuration, device: .meta)
        }
        #expect(error.map { "\($0)" }?.hasPrefix(expected) == true, "\(error as Any)")
    }

    @Test func aTokenizerOfAnotherModelIsRefused() throws {
        let folders = try TinyStack.folders()
        let path = folders.language + "/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
            .replacing(/"vocab_size" : [0-9]+/, with: "\"vocab_size\" : 100")
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.removeItem(atPath: folders.language + "/model.safetensors")
        let error = #expect(throws: VLSAError.self) {
            try VLSAModel(
                assembling: folders, configuration: TinyStack.configuration, device: .meta)
        }
        #expect(error.map { "\($0)" }?.contains("vocab_size is 100") == true)
    }
}
