import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Folders that are wrong in one way each, and the error that says so.
@Suite struct CheckpointErrorTests {
    /// A copy of a fixture to spoil.
    private func copy(_ family: String) throws -> String {
        let folder = try TemporaryFolder.make()
        let source = GoldenFixture(family).path
        for name in try FileManager.default.contentsOfDirectory(atPath: source)
        where name != "golden.safetensors" {
            try FileManager.default.copyItem(
                atPath: source + "/" + name, toPath: folder + "/" + name)
        }
        return folder
    }

    private func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    private func edit(_ path: String, _ change: (inout [String: Any]) -> Void) throws {
        let data = try #require(FileManager.default.contents(atPath: path))
        var object = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        change(&object)
        try JSONSerialization.data(withJSONObject: object)
            .write(to: URL(fileURLWithPath: path))
    }

    private func rewrite(
        _ folder: String, _ change: (String, Tensor) -> [(String, Tensor)]
    ) throws {
        let path = folder + "/model.safetensors"
        let tensors = try SafetensorsFile(path: path).tensors().map { ($0.0, $0.1.cloned()) }
        try SafetensorsFile.write(
            tensors.flatMap { change($0.0, $0.1) }, metadata: [:], to: path)
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return "\(error)"
        }
    }

    private func load(_ folder: String) throws {
        let store = ParameterStore(seed: 1)
        _ = try CheckpointFolder(folder).languageModel(into: store)
        try store.checkComplete()
    }

    @Test func noFolder() {
        #expect(throws: CheckpointError.missingFolder("/nowhere/at/all")) {
            _ = try CheckpointFolder("/nowhere/at/all")
        }
    }

    @Test func noConfiguration() throws {
        let folder = try TemporaryFolder.make()
        #expect(throws: CheckpointError.missingFile(folder: folder, expected: "config.json")) {
            _ = try CheckpointFolder(folder)
        }
    }

    @Test("broken config.json", arguments: ["", "{", "[]", "{\"model_type\": 3}", "{}", "\u{0}"])
    func brokenConfiguration(_ text: String) throws {
        let folder = try TemporaryFolder.make()
        try write(text, folder + "/config.json")
        #expect(message { _ = try CheckpointFolder(folder) }.contains("config.json"))
    }

    @Test(
        "impossible values",
        arguments: [
            ("hidden_size", 0), ("hidden_size", -32), ("num_attention_heads", 0),
            ("num_key_value_heads", 3), ("head_dim", 7), ("vocab_size", Int.max),
        ])
    func impossibleValues(_ key: String, _ value: Int) throws {
        let folder = try copy("llama")
        try edit(folder + "/config.json") { $0[key] = value }
        #expect(message { try load(folder) }.contains("\"\(key)\""))
    }

    @Test func wrongTypesAndUnknownKinds() throws {
        let folder = try copy("llama")
        try edit(folder + "/config.json") { $0["hidden_size"] = "wide" }
        #expect(message { try load(folder) }.contains("hidden_size"))
        try edit(folder + "/config.json") {
            $0["hidden_size"] = 32
            $0["rope_parameters"] = ["rope_type": "yarn", "factor": 2.0]
        }
        #expect(message { try load(folder) }.contains("yarn"))
        try edit(folder + "/config.json") {
            $0["rope_parameters"] = nil
            $0["hidden_act"] = "mish"
        }
        #expect(message { try load(folder) }.contains("mish"))
        try edit(folder + "/config.json") {
            $0["hidden_act"] = "silu"
            $0["model_type"] = "gpt_neox"
        }
        #expect(message { try load(folder) }.contains("gpt_neox"))
    }

    @Test func missingTensorNamesTheNearest() throws {
        let folder = try copy("llama")
        try rewrite(folder) { name, tensor in
            name == "model.layers.1.mlp.up_proj.weight"
                ? [("model.layers.1.mlp.upp_proj.weight", tensor)] : [(name, tensor)]
        }
        let text = message { try load(folder) }
        #expect(text.contains("language.model.layers.1.mlp.up_proj.weight"))
        #expect(text.contains("language.model.layers.1.mlp.upp_proj.weight"))
    }

    @Test func misshapenTensor() throws {
        let folder = try copy("llama")
        try rewrite(folder) { name, tensor in
            [(name, name == "model.norm.weight" ? Tensor.ones([31]) : tensor)]
        }
        let text = message { try load(folder) }
        #expect(text.contains("language.model.norm.weight") && text.contains("[31]"))
    }

    @Test func unclaimedTensor() throws {
        let folder = try copy("llama")
        try rewrite(folder) { name, tensor in
            name == "model.norm.weight"
                ? [(name, tensor), ("model.layers.2.input_layernorm.weight", tensor)]
                : [(name, tensor)]
        }
        #expect(
            message { try load(folder) }.contains("language.model.layers.2.input_layernorm.weight"))
    }

    @Test func integerWeights() throws {
        let folder = try copy("llama")
        try rewrite(folder) { name, tensor in
            [(name, name == "model.norm.weight" ? tensor.to(.int64) : tensor)]
        }
        #expect(message { try load(folder) }.contains("language.model.norm.weight"))
    }

    @Test func truncatedWeights() throws {
        let folder = try copy("llama")
        let path = folder + "/model.safetensors"
        let data = try #require(FileManager.default.contents(atPath: path))
        try data.dropLast(100).write(to: URL(fileURLWithPath: path))
        #expect(message { try load(folder) }.contains(path))
    }

    @Test func pickledWeightsAreRefused() throws {
        let folder = try copy("llama")
        try FileManager.default.moveItem(
            atPath: folder + "/model.safetensors", toPath: folder + "/pytorch_model.bin")
        #expect(throws: CheckpointError.pickled(folder: folder, files: ["pytorch_model.bin"])) {
            try load(folder)
        }
    }

    @Test func noWeights() throws {
        let folder = try copy("llama")
        try FileManager.default.removeItem(atPath: folder + "/model.safetensors")
        #expect(message { try load(folder) }.contains("model.safetensors"))
    }

    @Test func shardsMustBePlainNamesThatAreThere() throws {
        let folder = try copy("llama3_sharded_bf16")
        let index = folder + "/model.safetensors.index.json"
        try load(folder)
        for name in ["../model.safetensors", "/etc/passwd", "..", "", "sub/model.safetensors"] {
            try edit(index) { object in
                var map = object["weight_map"] as? [String: String] ?? [:]
                map["model.norm.weight"] = name
                object["weight_map"] = map
            }
            let text = message { try load(folder) }
            #expect(text.contains("plain file name") && text.contains("model.norm.weight"))
        }
        try edit(index) { object in
            var map = object["weight_map"] as? [String: String] ?? [:]
            map["model.norm.weight"] = "model-00009-of-00005.safetensors"
            object["weight_map"] = map
        }
        #expect(message { try load(folder) }.contains("model-00009-of-00005.safetensors"))
        try edit(index) { object in
            var map = object["weight_map"] as? [String: String] ?? [:]
            map["model.norm.weight"] = "model-00001-of-00005.safetensors"
            map["model.ghost.weight"] = "model-00001-of-00005.safetensors"
            object["weight_map"] = map
        }
        #expect(message { try load(folder) }.contains("is not in it"))
    }

    @Test func foldersOfAnotherKind() throws {
        let store = ParameterStore(seed: 1)
        let language = try CheckpointFolder(GoldenFixture("llama").path)
        #expect(
            message { _ = try language.denoiser(into: store) }.contains("SD3Transformer2DModel"))
        #expect(message { _ = try language.latentCodec(into: store) }.contains("AutoencoderKL"))
        #expect(message { _ = try language.imageTokenizer(into: store) }.contains("VQModel"))
        #expect(message { _ = try language.visionTower(into: store) }.contains("llama"))
        let vision = try CheckpointFolder(GoldenFixture("clip_vision").path)
        #expect(message { _ = try vision.languageModel(into: store) }.contains("clip_vision_model"))
    }

    /// Half precision files become the store's type, bit for bit where that is wider.
    @Test("dtypes cast on load", arguments: [DType.bfloat16, .float16])
    func castsOnLoad(_ dtype: DType) throws {
        let folder = try copy("llama")
        let path = folder + "/model.safetensors"
        let tensors = try SafetensorsFile(path: path).tensors().map { ($0.0, $0.1.to(dtype)) }
        try SafetensorsFile.write(tensors, metadata: [:], to: path)
        let store = ParameterStore(seed: 1)
        _ = try CheckpointFolder(folder).languageModel(into: store)
        try store.checkComplete()
        let norm = try #require(store["language.model.norm.weight"])
        #expect(norm.dtype == .float32)
        let stored = try #require(tensors.first { $0.0 == "model.norm.weight" }).1
        expectClose(norm, stored.to(.float32), within: 0)
    }
}

/// What a folder says about generating text.
@Suite struct GenerationConfigurationTests {
    @Test func stopTokensComeFromWhereverTheyAre() throws {
        func ids(_ family: String) throws -> [Int] {
            try GoldenFixture(family).folder().generation().stopIDs
        }
        #expect(try ids("llama") == [2])
        #expect(try ids("llama3") == [3, 37])
        #expect(try ids("llava_next") == [2])
        let nested =
            #"{"model_type": "llava", "text_config": {"eos_token_id": [5, 6], "bos_token_id": 1}}"#
        let made = try JSONDecoder().decode(GenerationConfiguration.self, from: Data(nested.utf8))
        #expect(made.stopIDs == [5, 6] && made.startID == 1 && made.padID == nil)
    }
}
