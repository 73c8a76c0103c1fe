import Testing
import Torch
import TorchNN

@testable import VLSA

/// Autoencoders against the reference.
@Suite struct LatentsGoldenTests {
    @Test func autoencoderKL() throws {
        let fixture = GoldenFixture("autoencoder_kl")
        let store = ParameterStore(seed: 1)
        let codec = try fixture.folder().latentCodec(into: store, at: "latents")
        try store.checkComplete()
        let model = try #require(codec as? AutoencoderKL)
        #expect(model.channels == 4)
        #expect(model.downscale == 2)
        store.train(["latents"])
        let golden = try fixture.values()
        let pixels = try golden("in.sample")
        pixels.requiresGradient = true
        expectClose(model.moments(pixels), try golden("out.moments"), "moments")
        let made = model.distribution(pixels)
        expectClose(made.mean, try golden("out.mean"), "mean")
        expectClose(made.logVariance, try golden("out.logvar"), "log variance")
        expectClose(made.deviation, try golden("out.std"), "deviation")
        let latents = made.mean + made.deviation * (try golden("in.noise"))
        expectClose(latents, try golden("out.latent"), "latents")
        let scaled = model.scaled(latents)
        expectClose(scaled, try golden("out.scaled_latent"), "scaled latents")
        expectClose(model.encode(pixels), model.scaled(made.mean), within: 0, "encoded mean")
        expectClose(
            model.decode(unscaled: made.mean), try golden("out.decode_mean"), "decoded mean")
        let pictures = model.decode(scaled)
        expectClose(pictures, try golden("out.decode"), "decoded")
        let divergence = made.divergence.mean()
        expectLoss(divergence, try golden.number("out.kl"))
        let loss = (pictures - (try golden("in.sample"))).square().mean() + divergence * 0.01
        expectLoss(loss, try golden.number("out.loss"))
        loss.backward()
        try golden.expectGradient(of: pixels, "sample")
        try golden.expectGradients(in: store) { "latents." + $0 }
    }

    @Test func drawsFollowTheGenerator() throws {
        let store = ParameterStore(seed: 1)
        let codec = try GoldenFixture("autoencoder_kl").folder().latentCodec(into: store)
        let model = try #require(codec as? AutoencoderKL)
        let pixels = try GoldenFixture("autoencoder_kl").values()("in.sample")
        let first = model.encode(pixels, generator: Generator(seed: 1))
        expectClose(first, model.encode(pixels, generator: Generator(seed: 1)), within: 0)
        #expect((first - model.encode(pixels)).abs().max().item() > 1e-3)
    }

    @Test func vqModel() throws {
        let fixture = GoldenFixture("vqmodel")
        let store = ParameterStore(seed: 1)
        let tokenizer = try fixture.folder().imageTokenizer(into: store, at: "codebook")
        try store.checkComplete()
        let model = try #require(tokenizer as? VQModel)
        store.train(["codebook"])
        let golden = try fixture.values()
        let pixels = try golden("in.sample")
        pixels.requiresGradient = true
        let vectors = model.encode(pixels)
        expectClose(vectors, try golden("out.latents"), "latents")
        let quantized = model.quantize(vectors)
        let expected = try golden("out.indices")
        #expect(quantized.indices.ints() == expected.ints())
        #expect(quantized.indices.shape == expected.shape)
        #expect(model.indices(pixels).ints() == expected.ints())
        expectClose(model.vectors(of: expected), try golden("out.codebook_entry"), "entries")
        expectClose(quantized.vectors, try golden("out.quantized"), "quantised")
        expectLoss(quantized.loss, try golden.number("out.commit_loss"))
        let pictures = model.decode(vectors: quantized.vectors)
        expectClose(pictures, try golden("out.decode"), "decoded")
        expectClose(model.decode(indices: expected), pictures.detached(), "decoded from indices")
        let loss = (pictures - (try golden("in.sample"))).square().mean() + quantized.loss
        expectLoss(loss, try golden.number("out.loss"))
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
