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
        return LatentCache(
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
}
