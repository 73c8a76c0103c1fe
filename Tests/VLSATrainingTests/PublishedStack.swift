import Foundation
import Prompting
import Testing

/// Where `Stages/llama3-8b` looks for its checkpoints and data: the published configurations, a small tokenizer and
/// empty record files. No weights.
final class PublishedStack {
    let folder: TemporaryFolder
    var path: String { folder.path }
    /// The package's stage files, copied to where their relative paths lead into this folder.
    let stages: [String]

    init() throws {
        folder = try TemporaryFolder()
        let files = FileManager.default
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../..").standardizedFileURL.path
        let copies = folder.path + "/Stages/llama3-8b"
        try files.createDirectory(
            atPath: folder.path + "/Stages", withIntermediateDirectories: true)
        try files.copyItem(atPath: package + "/Stages/llama3-8b", toPath: copies)
        try files.createSymbolicLink(
            atPath: folder.path + "/Templates", withDestinationPath: package + "/Templates")
        stages = ["1-perceive", "2-detail", "3-instruct"].map { copies + "/\($0).yaml" }
        try write(
            "clip-vit-large-patch14-336",
            """
            {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
             "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336,
             "patch_size": 14, "projection_dim": 768}
            """)
        try write(
            "Meta-Llama-3-8B-Instruct",
            """
            {"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
             "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
             "max_position_embeddings": 8192, "eos_token_id": 128009}
            """)
        try BPETrainer(vocabularySize: 320).train(["What is here?"])
            .write(to: path + "/checkpoints/Meta-Llama-3-8B-Instruct")
        try write(
            "stable-diffusion-3-medium-diffusers/transformer",
            """
            {"_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2,
             "in_channels": 16, "out_channels": 16, "num_layers": 24, "attention_head_dim": 64,
             "num_attention_heads": 24, "joint_attention_dim": 4096,
             "caption_projection_dim": 1536, "pooled_projection_dim": 2048,
             "pos_embed_max_size": 192}
            """)
        let blocks = Array(repeating: "\"BLOCK\"", count: 4).joined(separator: ", ")
        try write(
            "stable-diffusion-3-medium-diffusers/vae",
            """
            {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512],
             "layers_per_block": 2, "latent_channels": 16, "norm_num_groups": 32,
             "down_block_types": [\(blocks.replacingOccurrences(of: "BLOCK", with: "DownEncoderBlock2D"))],
             "up_block_types": [\(blocks.replacingOccurrences(of: "BLOCK", with: "UpDecoderBlock2D"))],
             "use_quant_conv": false, "use_post_quant_conv": false, "scaling_factor": 1.5305,
             "shift_factor": 0.0609, "sample_size": 1024}
            """)
        for file in [
            "LLaVA-Pretrain/blip_laion_cc_sbu_558k.json", "LLaVAR/llavar_422k.json",
            "LLaVA-NeXT/llava_next_790k.augmented.jsonl",
        ] {
            let place = URL(fileURLWithPath: path + "/data/" + file)
            try files.createDirectory(
                at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data("[]".utf8).write(to: place)
        }
    }

    private func write(_ name: String, _ configuration: String) throws {
        let place = path + "/checkpoints/" + name
        try FileManager.default.createDirectory(
            atPath: place, withIntermediateDirectories: true)
        try configuration.write(
            toFile: place + "/config.json", atomically: true, encoding: .utf8)
    }
}
