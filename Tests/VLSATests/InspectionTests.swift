import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct InspectionTests {
    @Test(arguments: [
        ("clip_vision", CheckpointFamily.clip), ("clip_full", .clip), ("siglip_vision", .siglip),
        ("siglip_full", .siglip), ("dinov2", .dinov2), ("dinov2_swiglu", .dinov2),
        ("llama", .language), ("llama3_sharded_bf16", .language), ("qwen2_tied", .language),
        ("mistral_sliding", .language), ("llava_next", .llava), ("sd3", .denoiser),
        ("sd35", .denoiser), ("autoencoder_kl", .autoencoder), ("vqmodel", .imageTokenizer),
    ])
    func everyGoldenFamilyIsKnownAndLoads(fixture: String, family: CheckpointFamily) throws {
        let path = GoldenFixture(fixture).path
        let inspection = try FolderInspection(path)
        #expect(inspection.family == family)
        #expect(inspection.faults.isEmpty, "\(inspection.faults)")
        #expect(!inspection.parameters.isEmpty)
        #expect(inspection.parameters.allSatisfy { $0.dtype != nil })
        // Nothing in the files is lost: claimed, split, or named as passed over.
        let bytes = try CheckpointFolder(path).weightFiles().reduce(0) { $0 + $1.dataBytes }
        let listed = inspection.parameters.reduce(0) { $0 + $1.byteCount }
        #expect(inspection.passedOver.isEmpty ? listed == bytes : listed < bytes)
        #expect(inspection.text.contains("it loads: nothing to object to"))
    }

    @Test func aWholeModelIsListedByPart() throws {
        let saved = try TemporaryFolder.make()
        let model = try TinyStack.model()
        try model.save(to: saved)
        let inspection = try FolderInspection(saved)
        #expect(inspection.family == .vlsa && inspection.faults.isEmpty, "\(inspection.faults)")
        #expect(Set(inspection.parameters.map(\.name)) == Set(model.store.names))
        let absent = ["balance", "newline", "ross", "asvr"]
        let parts = Set(VLSAModel.parts + ["latents"]).subtracting(absent)
        #expect(Set(inspection.parameters.map(\.part)) == parts)
        #expect(inspection.configuration["objective.pictureSize"] == "56")
        #expect(inspection.configuration["vision/hidden_size"] == "32")
        #expect(inspection.tokenizer?.idLimit == model.tokenizer.idLimit)
        let lines = inspection.listing(of: "language.*.layers.1.*_proj.weight")
        #expect(lines.count == 7 && lines.allSatisfy { $0.contains("float32") })
        #expect(inspection.text.contains("language.model.layers.0-1.mlp.up_proj.weight "))
    }

    @Test func aPerceiverAloneIsKnown() throws {
        let folder = try TemporaryFolder.make()
        let model = try TinyStack.model()
        try SAPerceiver.save(
            model.configuration.perceiver, width: 32, of: model.store, to: folder)
        let inspection = try FolderInspection(folder)
        #expect(inspection.family == .perceiver && inspection.faults.isEmpty)
        #expect(
            inspection.parameters.reduce(0) { $0 + $1.count }
                == model.store.count(under: "perceiver"))
    }

    @Test func everyFaultIsNamedAtOnce() throws {
        let folders = try TinyStack.folders()
        let path = folders.vision + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        let tensors = try file.tensors().compactMap { name, tensor -> (String, Tensor)? in
            if name.hasSuffix("layers.0.mlp.fc1.bias") { return (name, .ones([3])) }
            if name.hasSuffix("layers.1.mlp.fc1.bias") { return nil }
            return (name, tensor.cloned())
        }
        try SafetensorsFile.write(
            tensors + [("vision_model.encoder.layers.7.mlp.fc1.bias", .ones([64]))], to: path)
        let faults = try FolderInspection(folders.vision).faults
        #expect(faults.count == 3)
        #expect(faults.contains { $0.contains("layers.0.mlp.fc1.bias\" has shape [3]") })
        #expect(faults.contains { $0.contains("no tensor for the parameter") })
        #expect(
            faults.contains { $0.contains("no parameter for \"encoder.layers.7.mlp.fc1.bias\"") })
    }

    @Test func foldersThatDoNotLoadAreStillShown() throws {
        let folder = try TemporaryFolder.make()
        try #"{"model_type": "bert", "hidden_size": 8}"#.write(
            toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        try SafetensorsFile.write(
            [("a.0.w", .ones([2])), ("a.1.w", .ones([2]))], to: folder + "/model.safetensors")
        let inspection = try FolderInspection(folder)
        #expect(inspection.family == nil && inspection.kind == "bert")
        #expect(inspection.parameters.map(\.name) == ["a.0.w", "a.1.w"])
        #expect(
            inspection.faults.count == 1
                && inspection.faults[0].contains("holds \"bert\", expected"))
        try FileManager.default.removeItem(atPath: folder + "/model.safetensors")
        #expect(try FolderInspection(folder).faults.contains { $0.contains("model.safetensors") })
        #expect(throws: CheckpointError.self) { try FolderInspection(folder + "/none") }
    }

    @Test func aTrainedModelDiffersFromItsStartWhereItLearned() throws {
        let (first, second) = (try TemporaryFolder.make(), try TemporaryFolder.make())
        let model = try TinyStack.model()
        try model.save(to: first)
        let bias = try #require(model.store["perceiver.mix.norm.bias"])
        withoutGradients { bias.copy(from: bias.detached() + 0.25) }
        try model.save(to: second)
        let (a, b) = (try FolderInspection(first), try FolderInspection(second))
        #expect(try FolderComparison(a, a, comparingValues: true).isEmpty)
        #expect(try FolderComparison(a, b).isEmpty)
        let comparison = try FolderComparison(a, b, comparingValues: true)
        let apart = (comparison.values ?? []).filter { $0.largest != 0 }
        #expect(apart == [.init(name: "perceiver.mix.norm.bias", largest: 0.25)])
        #expect(comparison.text.contains("tensors equal, 1 not"))
    }

    @Test func configurationNamesShapesAndTypesAreCompared() throws {
        func folder(_ key: Int, _ tensors: [(String, Tensor)]) throws -> FolderInspection {
            let path = try TemporaryFolder.make()
            try #"{"model_type": "other", "size": {"a": \#(key), "b": true}}"#.write(
                toFile: path + "/config.json", atomically: true, encoding: .utf8)
            try SafetensorsFile.write(tensors, to: path + "/model.safetensors")
            return try FolderInspection(path)
        }
        let a = try folder(
            1,
            [("l.0.w", .ones([2])), ("l.1.w", .ones([2])), ("x", .ones([1])), ("same", .ones([1]))])
        let b = try folder(
            2,
            [
                ("l.0.w", .ones([2], dtype: .float16)), ("l.1.w", .ones([2], dtype: .float16)),
                ("y", .ones([1])), ("same", .full([1], .nan)),
            ])
        let comparison = try FolderComparison(a, b, comparingValues: true)
        #expect(comparison.configuration == [.init(name: "size.a", here: "1", there: "2")])
        #expect(comparison.onlyHere == ["x"] && comparison.onlyThere == ["y"])
        #expect(comparison.parameters.map(\.name) == ["l.0.w", "l.1.w"])
        #expect(comparison.values?.first { $0.name == "same" }?.largest.isNaN == true)
        #expect(comparison.text.contains("l.0-1.w: [2] float32 | [2] float16"))
    }

    @Test func layersArePutTogetherInNaturalOrder() {
        let names = (0..<12).map { "m.\($0).w" } + ["m.14.w", "m.3.b", "top"]
        let groups = CollapsedParameters.collapsing(
            names.map { ListedParameter(name: $0, shape: [1], dtype: .float32) })
        #expect(groups.map(\.name) == ["m.0-11,14.w", "m.3.b", "top"])
    }
}
