import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Autoencoders against the reference.
@Suite struct LatentsGoldenTests {
    @Test(
        "moments, latents, pictures and gradients",
        arguments: GoldenFolder.families("AutoencoderKL"))
    func autoencoderKL(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let store = ParameterStore(seed: 1)
        let codec = try fixture.folder().latentCodec(into: store, at: "latents")
        try store.checkComplete()
        let model = try #require(codec as? AutoencoderKL)
        store.train(["latents"])
        let golden = try fixture.values()
        let pixels = try golden("in.sample")
        let grid = [pixels.shape[2] / model.downscale, pixels.shape[3] / model.downscale]
        let shape = try golden("out.latent").shape
        #expect(shape == [pixels.shape[0], model.channels] + grid)
        pixels.requiresGradient = true
        try golden.expect(model.moments(pixels), "out.moments")
        let made = model.distribution(pixels)
        try golden.expect(made.mean, "out.mean")
        try golden.expect(made.logVariance, "out.logvar")
        try golden.expect(made.deviation, "out.std")
        let latents = made.mean + made.deviation * (try golden("in.noise"))
        try golden.expect(latents, "out.latent")
        let scaled = model.scaled(latents)
        try golden.expect(scaled, "out.scaled_latent")
        expectClose(model.encode(pixels), model.scaled(made.mean), within: 0, "encoded mean")
        try golden.expect(model.decode(unscaled: made.mean), "out.decode_mean")
        let pictures = model.decode(scaled)
        try golden.expect(pictures, "out.decode")
        let divergence = made.divergence.mean()
        try golden.expectLoss(divergence, "out.kl")
        let loss = (pictures - (try golden("in.sample"))).square().mean() + divergence * 0.01
        try golden.expectLoss(loss, "out.loss")
        loss.backward()
        try golden.expectGradient(of: pixels, "sample")
        try golden.expectGradients(in: store) { "latents." + $0 }
    }

    @Test("draws follow the generator", arguments: GoldenFolder.families("AutoencoderKL"))
    func draws(_ family: String) throws {
        let store = ParameterStore(seed: 1)
        let codec = try GoldenFixture(family).folder().latentCodec(into: store)
        let model = try #require(codec as? AutoencoderKL)
        let pixels = try GoldenFixture(family).values()("in.sample")
        let first = model.encode(pixels, generator: Generator(seed: 1))
        expectClose(first, model.encode(pixels, generator: Generator(seed: 1)), within: 0)
        #expect((first - model.encode(pixels)).abs().max().item() > 1e-3)
    }

    @Test("indices, pictures and gradients", arguments: GoldenFolder.families("VQModel"))
    func vqModel(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let store = ParameterStore(seed: 1)
        let tokenizer = try fixture.folder().imageTokenizer(into: store, at: "codebook")
        try store.checkComplete()
        let model = try #require(tokenizer as? VQModel)
        store.train(["codebook"])
        let golden = try fixture.values()
        let pixels = try golden("in.sample")
        pixels.requiresGradient = true
        let vectors = model.encode(pixels)
        try golden.expect(vectors, "out.latents")
        let quantized = model.quantize(vectors)
        let expected = try golden("out.indices")
        try golden.expectEqual(quantized.indices.ints(), "out.indices")
        #expect(quantized.indices.shape == expected.shape)
        try golden.expectEqual(model.indices(pixels).ints(), "out.indices")
        try golden.expect(model.vectors(of: expected), "out.codebook_entry")
        try golden.expect(quantized.vectors, "out.quantized")
        try golden.expectLoss(quantized.loss, "out.commit_loss")
        let pictures = model.decode(vectors: quantized.vectors)
        try golden.expect(pictures, "out.decode")
        expectClose(model.decode(indices: expected), pictures.detached(), "decoded from indices")
        let loss = (pictures - (try golden("in.sample"))).square().mean() + quantized.loss
        try golden.expectLoss(loss, "out.loss")
        loss.backward()
        try golden.expectGradient(of: pixels, "sample")
        try golden.expectGradients(in: store) { "codebook." + $0 }
    }

    @Test func kltLatentsRebuildWhatTheirBasisSpans() throws {
        // Two orthonormal rows over patches of one pixel; a picture in their span comes back
        // exactly.
        let folder = try TemporaryFolder.make()
        let half = Float(0.5).squareRoot()
        try SafetensorsFile.write(
            [
                ("basis", Tensor([half, half, 0, 0, 0, 1], shape: [2, 3])),
                ("mean", Tensor([Float(0.1), 0.1, -0.2], shape: [3])),
                ("scale", Tensor([Float(2), 4], shape: [2])),
            ], metadata: [:], to: folder + "/model.safetensors")
        let config = #"{"model_type": "klt_latents", "latent_channels": 2, "patch_size": 1}"#
        try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        let store = ParameterStore(seed: 1)
        let codec = try CheckpointFolder(folder).latentCodec(into: store, at: "latents")
        try store.checkComplete()
        #expect(codec.channels == 2 && codec.downscale == 1)
        let a = Tensor.uniform([2, 1, 4, 6], generator: Generator(seed: 2))
        let b = Tensor.uniform([2, 1, 4, 6], generator: Generator(seed: 3))
        let pixels = Tensor.concatenated([a, a, b], axis: 1)
        let latents = codec.encode(pixels)
        let expected = Tensor.concatenated(
            [(a - 0.1) * Double(4 * half), (b + 0.2) * 4], axis: 1)
        expectClose(latents, expected, within: 1e-5)
        expectClose(codec.decode(latents), pixels, within: 1e-5)
        store.train([""])
        #expect(store.trainable.isEmpty)
    }
}
