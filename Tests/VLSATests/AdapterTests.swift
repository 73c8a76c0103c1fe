import AnyRes
import Corpus
import Foundation
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct AdapterTests {
    private let lora = LoRAConfiguration(
        rank: 3, alpha: 6, dropout: 0,
        targets: ["language.*.q_proj", "down_proj", "vision.*.fc1", "attn.to_k", "projector.*"])

    private func model(_ lora: LoRAConfiguration?, folders: PartFolders? = nil) throws -> VLSAModel
    {
        try VLSAModel(
            assembling: folders ?? TinyStack.folders(), configuration: TinyStack.configuration,
            seed: 1, lora: lora)
    }

    /// A model whose adapters, and new parts, are away from their start.
    private func disturbed(_ lora: LoRAConfiguration) throws -> VLSAModel {
        let model = try model(lora)
        for part in ["perceiver", "epigone", "denoiser"] { TinyStack.disturb(model, part) }
        for name in model.store.names where model.store.isAdapter(name) {
            TinyStack.disturb(model, name)
        }
        return model
    }

    private func losses(_ model: VLSAModel, seed: UInt64 = 1) throws -> [Double] {
        let samples = try TinyStack.samples(model)
        let losses = try model.losses(
            samples, generators: samples.indices.map { Generator(seed: seed + UInt64($0)) })
        return [losses.text?.item() ?? 0, losses.visual?.item() ?? 0]
    }

    @Test func newAdaptersChangeNothing() throws {
        let folders = try TinyStack.folders()
        let (plain, adapted) = (try model(nil, folders: folders), try model(lora, folders: folders))
        #expect(!plain.isAdapted && adapted.isAdapted)
        #expect(try losses(plain) == losses(adapted))
        #expect(adapted.store.adaptedLayers.count == 2 + 2 + 2 + 2 + 2)
        TinyStack.disturb(adapted, "language.model.layers.1.self_attn.q_proj.lora_B.weight")
        #expect(try losses(plain)[0] != losses(adapted)[0])
    }

    @Test func onlyAdaptersAndNamedPartsLearn() throws {
        let model = try disturbed(lora)
        model.store.train(["perceiver"], adapters: true)
        let samples = try TinyStack.samples(model)
        let losses = try model.losses(
            samples, generators: samples.indices.map { Generator(seed: UInt64($0)) })
        (try #require(losses.text) + (try #require(losses.visual))).backward()
        for (name, tensor) in model.store.tensors() {
            let learns = name.hasPrefix("perceiver.") || name.contains(".lora_")
            #expect(tensor.requiresGradient == learns, "\(name)")
            #expect(learns || tensor.gradient == nil, "\(name)")
            if name.contains(".lora_") {
                #expect((tensor.gradient?.norm().item() ?? 0) > 0, "\(name)")
            }
        }
    }

    /// The names and settings that `PeftModel.save_pretrained` writes for these layers.
    @Test func adaptersAreSavedUnderPEFTsNames() throws {
        let folder = try TemporaryFolder.make() + "/model"
        try disturbed(lora).save(to: folder)
        func names(_ part: String) throws -> [String] {
            try SafetensorsFile(path: "\(folder)/adapters/\(part)/adapter_model.safetensors")
                .names.sorted()
        }
        #expect(
            try names("language") == [
                "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight",
                "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight",
                "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
                "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight",
                "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight",
                "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight",
                "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
            ])
        #expect(
            try names("vision").first
                == "base_model.model.vision_model.encoder.layers.0.mlp.fc1.lora_A.weight")
        #expect(
            try names("denoiser").first
                == "base_model.model.transformer_blocks.0.attn.to_k.lora_A.weight")
        let file = try SafetensorsFile(
            path: folder + "/adapters/language/adapter_model.safetensors")
        let q = "base_model.model.model.layers.0.self_attn.q_proj."
        #expect(file.shape(of: q + "lora_A.weight") == [3, 32])
        #expect(file.shape(of: q + "lora_B.weight") == [32, 3])

        let data = try #require(
            FileManager.default.contents(atPath: folder + "/adapters/language/adapter_config.json"))
        let settings = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(settings["peft_type"] as? String == "LORA")
        #expect(settings["task_type"] as? String == "CAUSAL_LM")
        #expect(settings["r"] as? Int == 3 && settings["lora_alpha"] as? Int == 6)
        #expect(
            (settings["target_modules"] as? [String])?.first == "model.layers.0.mlp.down_proj")
        // The base model's own files know nothing of adapters.
        for part in ["language", "vision"] {
            let base = try SafetensorsFile(path: "\(folder)/\(part)/model.safetensors")
            #expect(!base.names.contains { $0.contains("lora") })
        }
    }

    @Test func savedAdaptersAreLoadedAndMergedOnesEqualThem() throws {
        let model = try disturbed(lora)
        let root = try TemporaryFolder.make()
        try model.save(to: root + "/adapted")
        try model.save(to: root + "/merged", merging: true)
        let expected = try losses(model)

        let loaded = try VLSAModel(folder: root + "/adapted")
        #expect(loaded.store.names == model.store.names)
        for name in model.store.names {
            #expect(loaded.store[name]?.bytes() == model.store[name]?.bytes(), "\(name)")
        }
        #expect(loaded.store.adaptation(of: "projector.linear_1")?.scale == 2)
        #expect(try losses(loaded) == expected)
        _ = try VLSAModel(folder: root + "/adapted", forInference: true)

        let merged = try VLSAModel(folder: root + "/merged")
        #expect(!merged.isAdapted && !merged.store.names.contains { $0.contains("lora") })
        #expect(!FileManager.default.fileExists(atPath: root + "/merged/adapters"))
        for (a, b) in zip(try losses(merged), expected) { #expect(abs(a - b) < 1e-5 * b) }
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        let hidden = [merged, model].map { model in
            withoutGradients { model.see([picture]).tokens.floats() }
        }
        let error = zip(hidden[0], hidden[1]).map { abs($0 - $1) }.max() ?? 1
        #expect(error < 1e-4)
        // A stage goes on with the folder's own adapters, and not with others.
        _ = try VLSAModel(folder: root + "/adapted", lora: lora)
        var other = lora
        other.rank = 4
        #expect(
            message { try VLSAModel(folder: root + "/adapted", lora: other) }.contains("vlsa merge")
        )
        other = lora
        other.targets.append("k_proj")
        #expect(
            message { try VLSAModel(folder: root + "/adapted", lora: other) }
                .contains("k_proj.lora_A.weight"))
        other.targets = ["down_proj"]
        #expect(
            message { try VLSAModel(folder: root + "/adapted", lora: other) }
                .contains("no parameter for"))
    }

    private func message<Value>(_ body: () throws -> Value) -> String {
        do {
            _ = try body()
            return "no error"
        } catch { return "\(error)" }
    }

    @Test func whatCannotBeAdaptedIsSaid() throws {
        #expect(
            message { try model(LoRAConfiguration(rank: 2, alpha: 2, targets: ["q_prj"])) }
                == "lora.targets: no linear layer matches \"q_prj\"; the nearest name is \"q_proj\""
        )
        let root = try TemporaryFolder.make()
        try disturbed(lora).save(to: root)
        let path = root + "/adapters/language/adapter_config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        for (change, expected) in [
            (("\"use_dora\" : false", "\"use_dora\" : true"), "use_dora"),
            (("\"r\" : 3", "\"r\" : 0"), "not above 0"),
            (("\"r\" : 3", "\"r\" : \"three\""), "r"), (("\"LORA\"", "\"IA3\""), "not LORA"),
            (("\"bias\" : \"none\"", "\"bias\" : \"all\""), "bias"), (("{", ""), "adapter_config"),
        ] {
            let changed = text.replacing(change.0, with: change.1, maxReplacements: 1)
            #expect(changed != text)
            try changed.write(toFile: path, atomically: true, encoding: .utf8)
            let said = message { try VLSAModel(folder: root) }
            #expect(said.contains(path) && said.contains(expected), "\(said)")
        }
        try FileManager.default.removeItem(atPath: path)
        #expect(message { try VLSAModel(folder: root) }.contains("adapter_config.json"))
    }

    @Test func dropoutIsTrainingsAloneAndRepeatable() throws {
        var wet = lora
        wet.dropout = 0.5
        let model = try disturbed(wet)
        let dry = try withoutGradients { try losses(model) }
        #expect(try withoutGradients { try losses(model, seed: 1) } == dry)
        model.store.train([], adapters: true)
        let first = try losses(model)
        #expect(try losses(model) == first)
        #expect(first[0] != dry[0])
        let samples = [try TinyStack.samples(model)[2]]
        let texts = try (0..<UInt64(40)).map { seed in
            try model.losses(samples, generators: [Generator(seed: seed)]).text?.item() ?? 0
        }
        #expect(Set(texts).count > 30)

        func gradients() throws -> [[UInt8]] {
            model.store.clearGradients()
            let samples = try TinyStack.samples(model)
            let losses = try model.losses(
                samples, generators: samples.indices.map { Generator(seed: UInt64($0)) })
            try #require(losses.text).backward()
            return model.store.trainable.map { $0.tensor.gradient?.bytes() ?? [] }
        }
        let kept = try gradients()
        model.checkpointedParts = [.vision, .language]
        let found = try gradients()
        #expect(found == kept, "recomputed layers drop other inputs")
    }
}
