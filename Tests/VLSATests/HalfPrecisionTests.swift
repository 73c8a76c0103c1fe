import Testing
import Torch
import TorchNN

@testable import VLSA

/// The same networks with bf16 weights and activations stay near their fp32 references.
@Suite struct HalfPrecisionTests {
    /// Distance by length, for a whole tensor.
    private func expectNear(_ actual: Tensor, _ expected: Tensor, _ label: String = "") {
        #expect(actual.shape == expected.shape, "\(label)")
        let off =
            (actual.to(.float32) - expected).norm().item() / max(expected.norm().item(), 1e-6)
        #expect(off < 0.04, "\(label): relative distance \(off)")
    }

    @Test("towers", arguments: VisionGoldenTests.families)
    func towers(_ family: String) throws {
        let store = ParameterStore(dtype: .bfloat16, seed: 1)
        let tower = try GoldenFixture(family).folder().visionTower(into: store)
        let golden = try GoldenFixture(family).values()
        let output = tower.output(try golden("in.pixel_values").to(.bfloat16))
        #expect(output.last.dtype == .bfloat16)
        expectNear(output.last, try golden("out.last_hidden_state"), "last")
        expectNear(try #require(output.pooled), try golden("out.pooler_output"), "pooled")
        let resized = tower.output(
            try golden("in.interp.pixel_values").to(.bfloat16), interpolating: true)
        expectNear(resized.last, try golden("out.interp.last_hidden_state"), "resized")
    }

    @Test("decoders", arguments: LanguageGoldenTests.families)
    func decoders(_ family: String) throws {
        let store = ParameterStore(dtype: .bfloat16, seed: 1)
        let model = try GoldenFixture(family).folder().languageModel(into: store)
        store.train([""])
        let golden = try GoldenFixture(family).values()
        let hidden = model(model.embed(try golden("in.input_ids")))
        #expect(hidden.dtype == .bfloat16)
        let logits = model.logits(hidden)
        #expect(logits.dtype == .float32)
        let mask = try golden("in.attention_mask").to(.float32).unsqueezed(-1)
        expectNear(logits * mask, try golden("out.logits"), "logits")
        let loss = model.loss(hidden, labels: try golden.rows("in.labels")).mean
        #expect(loss.dtype == .float32)
        let expected = try golden.number("out.loss")
        #expect(abs(loss.item() - expected) < 0.03 * expected)
        loss.backward()
        #expect(store["language.model.embed_tokens.weight"]?.gradient?.dtype == .bfloat16)
    }

    @Test("denoisers", arguments: ["sd3", "sd35"])
    func denoisers(_ family: String) throws {
        let store = ParameterStore(dtype: .bfloat16, seed: 1)
        let model = try GoldenFixture(family).folder().denoiser(into: store)
        let golden = try GoldenFixture(family).values()
        let velocity = model(
            try golden("in.hidden_states").to(.bfloat16), timesteps: try golden("in.timestep"),
            context: try golden("in.encoder_hidden_states").to(.bfloat16),
            pooled: try golden("in.pooled_projections").to(.bfloat16))
        #expect(velocity.dtype == .bfloat16)
        expectNear(velocity, try golden("out.sample"))
    }

    @Test func autoencoder() throws {
        let store = ParameterStore(dtype: .bfloat16, seed: 1)
        let codec = try GoldenFixture("autoencoder_kl").folder().latentCodec(into: store)
        let model = try #require(codec as? AutoencoderKL)
        let golden = try GoldenFixture("autoencoder_kl").values()
        expectNear(
            model.moments(try golden("in.sample").to(.bfloat16)), try golden("out.moments"))
    }
}
