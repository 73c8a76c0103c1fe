import GoldenSupport
import Testing

@testable import VLSA

/// The fixtures' families are found by what their configurations say; this holds the lists against
/// what there is, so that no comparison can fall away unseen.
@Suite(.enabled(if: GoldenFolder.isOwn)) struct GoldenFamiliesTests {
    @Test func everyFamilyIsCompared() {
        #expect(
            VisionGoldenTests.families == [
                "clip_full", "clip_vision", "dinov2", "dinov2_swiglu", "siglip_full",
                "siglip_vision",
            ])
        #expect(
            LanguageGoldenTests.families == [
                "llama", "llama3", "llama3_sharded_bf16", "mistral", "mistral_sliding", "qwen2",
                "qwen2_tied",
            ])
        #expect(LlavaGoldenTests.families == ["llava_next"])
        #expect(LlavaGoldenTests.cases.count == 8)
        #expect(DenoiserGoldenTests.families == ["sd3", "sd35"])
        #expect(GoldenFolder.families("AutoencoderKL") == ["autoencoder_kl"])
        #expect(GoldenFolder.families("VQModel") == ["vqmodel"])
        #expect(SemanticTokenizerGoldenTests.families == ["asvr_tokenizer", "dualtoken"])
        #expect(GoldenFixture.forms(VisionGoldenTests.families).count == 12)
        #expect(GoldenFixture.forms(LanguageGoldenTests.families).count == 14)
        #expect(LanguageGoldenTests.families.holding("out.gen_eos.tokens").count == 3)
    }
}
