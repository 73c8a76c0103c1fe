import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Residual quantisation by hand.
@Suite struct ResidualQuantizerTests {
    @Test func theToyOfTheDescription() throws {
        let store = ParameterStore(seed: 1)
        // The last row pads: it is nearest to everything here, and must never be chosen.
        try store.offer(
            "codebooks.0.weight", Tensor([Float(0), 0, 2, 0, 1.6, 0.9], shape: [3, 2]))
        try store.offer(
            "codebooks.1.weight", Tensor([Float(0), 0, 0, 1, -0.4, 0.9], shape: [3, 2]))
        let quantizer = try ResidualQuantizer(depth: 2, codeCount: 2, width: 2, in: store.scope)
        let x = Tensor([Float(1.6), 0.9], shape: [1, 2])
        let codes = quantizer.codes(x)
        #expect(codes.ints() == [1, 1])
        #expect(quantizer.vectors(of: codes).floats() == [2, 1])
        let sums = quantizer.embeddings(of: codes).cumulativeSum(axis: 1)  // [1, 2, 2]
        let commitment = (x.unsqueezed(1) - sums).square().mean().item()
        #expect(abs(commitment - 0.285) < 1e-6)
    }

    @Test func equalDistancesGiveTheLowestCode() throws {
        let store = ParameterStore(seed: 1)
        try store.offer(
            "codebooks.0.weight", Tensor([Float(1), -1, 1, 0], shape: [4, 1]))
        let quantizer = try ResidualQuantizer(depth: 1, codeCount: 3, width: 1, in: store.scope)
        #expect(quantizer.codes(Tensor([Float(0), 1, -1], shape: [3, 1])).ints() == [0, 0, 1])
        #expect(quantizer.codes(Tensor.zeros([0, 5, 1])).shape == [0, 5, 1])
    }

    @Test func publishedSizes() throws {
        let store = ParameterStore(seed: 1)
        _ = try AttentionProjection(1152, to: 32, headCount: 36, in: store.scope["prequant_sem"])
        #expect(store.count() == 4_032_608)
        #expect(SemanticTokenizerConfiguration.asvr.codeWidth == 1152)
        #expect(SemanticTokenizerConfiguration.dualToken.projection == .attention)
    }

    @Test func impossibleConfigurationsNameTheirKey() throws {
        func problem(_ text: String) -> String {
            do {
                _ = try JSONDecoder().decode(
                    SemanticTokenizerConfiguration.self, from: Data(text.utf8))
                return ""
            } catch let error as DecodingError {
                return "\(CheckpointError(error, file: "config.json"))"
            } catch { return "\(error)" }
        }
        let vision =
            #""vision_config": {"hidden_size": 32, "num_attention_heads": 4, "#
            + #""num_hidden_layers": 3}"#
        #expect(problem("{\(vision)}").contains("\"projection\": missing"))
        #expect(
            problem("{\(vision), \"projection\": \"none\", \"semantic_layer\": 4}")
                .contains("\"semantic_layer\""))
        #expect(
            problem("{\(vision), \"projection\": \"none\", \"semantic_layer\": 2, \"code_dim\": 8}")
                .contains("\"code_dim\""))
        #expect(problem("{\(vision), \"projection\": \"mean\"}").contains("\"projection\""))
    }
}
