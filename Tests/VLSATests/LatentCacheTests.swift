import AnyRes
import Corpus
import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct LatentCacheTests {
    static func cache(_ folder: String, _ model: VLSAModel) throws -> LatentCache {
        let codec = try #require(model.reconstruction).latents
        return try LatentCache(
            try ContentStore(folder: folder, limit: 1 << 24), codec: codec, in: model.store)
    }

    static func targets(_ model: VLSAModel, _ cache: LatentCache?) throws -> Tensor {
        let pictures = [
            try TinyStack.picture(width: 60, height: 40, seed: 4),
            try TinyStack.picture(width: 20, height: 90, seed: 5),
        ]
        return try #require(model.reconstruction).targets(
            of: pictures, keys: ["a", "b"], cache: cache, device: .cpu)
    }

    @Test func cachedLatentsAreTheEncodedOnesToTheBit() throws {
        let model = try TinyStack.model()
        let folder = try TemporaryFolder.make() + "/cache"
        let plain = try Self.targets(model, nil).bytes()
        let cache = try Self.cache(folder, model)
        #expect(try Self.targets(model, cache).bytes() == plain)
        #expect(cache.store.use.hits == 0 && cache.store.use.misses == 2)
        // Another process' cache of the same folder and network.
        let again = try Self.cache(folder, try TinyStack.model())
        #expect(try Self.targets(model, again).bytes() == plain)
        #expect(again.store.use.hits == 2 && again.store.use.misses == 0)
    }

    @Test func lossesAreTheSameWithAndWithoutCache() throws {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        func loss() throws -> Double? {
            try model.losses(
                TinyStack.samples(model), generators: (0..<3).map { Generator(seed: $0) }
            ).visual?.item()
        }
        let plain = try loss()
        model.latentCache = try Self.cache(TemporaryFolder.make() + "/cache", model)
        #expect(try loss() == plain)
        #expect(try loss() == plain)
        #expect(model.latentCache?.store.use.hits == 2)
    }

    @Test func anotherNetworkOrSizeIsEncodedAnew() throws {
        let model = try TinyStack.model()
        let folder = try TemporaryFolder.make() + "/cache"
        let before = try Self.targets(model, try Self.cache(folder, model))
        TinyStack.disturb(model, "latents")
        let other = try Self.cache(folder, model)
        let after = try Self.targets(model, other)
        #expect(other.store.use.hits == 0 && after.floats() != before.floats())
        #expect(after.floats() == (try Self.targets(model, nil)).floats())

        var configuration = TinyStack.configuration
        configuration.objective.pictureSize = 48
        let small = try TinyStack.model(configuration)
        let third = try Self.cache(folder, small)
        #expect(try Self.targets(small, third).shape == [2, 4, 12, 12])
        #expect(third.store.use.hits == 0)
    }

    @Test func aDamagedEntryIsEncodedAnew() throws {
        let model = try TinyStack.model()
        let folder = try TemporaryFolder.make() + "/cache"
        let plain = try Self.targets(model, try Self.cache(folder, model)).bytes()
        let files = FileManager.default.subpaths(atPath: folder) ?? []
        var damaged = 0
        for name in files where name.contains("/") {
            let path = folder + "/" + name
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            bytes[bytes.count / 2] ^= 1
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            damaged += 1
        }
        #expect(damaged == 2)
        let cache = try Self.cache(folder, model)
        #expect(try Self.targets(model, cache).bytes() == plain)
        #expect(cache.store.use.damaged == 2)
        #expect(try Self.targets(model, cache).bytes() == plain)
        #expect(cache.store.use.hits == 2)
    }

    /// Numbers that change latents without being weights.
    @Test(arguments: [
        ("\"scaling_factor\": 1.5305", "\"scaling_factor\": 9"),
        ("\"shift_factor\": 0.0609", "\"shift_factor\": 0"),
        ("\"norm_num_groups\": 4", "\"norm_num_groups\": 2"),
    ])
    func anotherConfigurationOfTheSameWeightsIsEncodedAnew(text: String, other: String) throws {
        let copy = try TemporaryFolder.make()
        let fixture = GoldenFixture("autoencoder_kl")
        let weights = "/diffusion_pytorch_model.safetensors"
        try FileManager.default.createSymbolicLink(
            atPath: copy + weights, withDestinationPath: fixture.path + weights)
        let old = try String(contentsOfFile: fixture.path + "/config.json", encoding: .utf8)
        try #require(old.contains(text))
        try old.replacing(text, with: other).write(
            toFile: copy + "/config.json", atomically: true, encoding: .utf8)
        let networks = try [fixture.path, copy, fixture.path].map { path in
            let store = ParameterStore(seed: 1)
            let codec = try CheckpointFolder(path).latentCodec(into: store, at: "latents")
            return try LatentCache(
                ContentStore(folder: TemporaryFolder.make(), limit: 1 << 20), codec: codec,
                in: store
            ).network
        }
        #expect(networks[0] == networks[2] && networks[0] != networks[1])
    }
}
