import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Frozen targets against the reference: residual codes of both generations, DINOv2's features.
@Suite struct SemanticTokenizerGoldenTests {
    static let families = GoldenFolder.families(SemanticTokenizerConfiguration.kind)

    private func open(_ family: String) throws -> (SemanticTokenizer, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let model = try GoldenFixture(family).folder().semanticTokenizer(into: store)
        try store.checkComplete()
        return (model, store)
    }

    @Test("hidden state, vectors and codes", arguments: families)
    func matchesReference(_ family: String) throws {
        let (model, _) = try open(family)
        let golden = try GoldenFixture(family).values()
        let pixels = try golden("in.pixel_values")
        let selection = FeatureSelection(layer: model.configuration.layer)
        try golden.expect(model.tower.features(pixels, selection), "out.hidden_state")
        try golden.expect(model.vectors(pixels), "out.vectors")
        try golden.expectEqual(model.codes(pixels).ints(), "out.codes")
        let expected = try golden("out.codes")
        #expect(model.codes(pixels).shape == expected.shape)
        #expect(expected.shape == [pixels.shape[0], model.tokenCount, model.quantizer.depth])
        try golden.expect(model.features(pixels), "out.quantized")
        try golden.expect(model.quantizer.vectors(of: expected), "out.quantized")
    }

    @Test("a larger picture is resized bilinearly", arguments: families)
    func resizes(_ family: String) throws {
        let (model, _) = try open(family)
        let golden = try GoldenFixture(family).values()
        let codes = model.codes(try golden("in.large.pixel_values"))
        try golden.expectEqual(codes.ints(), "out.large.codes")
    }

    /// Sums of the first codes' vectors come nearer to the vector, as far as the reference's do.
    @Test("commitment of every depth", arguments: families)
    func commitment(_ family: String) throws {
        let (model, _) = try open(family)
        let golden = try GoldenFixture(family).values()
        let parts = model.quantizer.embeddings(of: try golden("out.codes"))  // [B, N, D, C]
        let sums = parts.cumulativeSum(axis: 2)
        let vectors = try golden("out.vectors").unsqueezed(2)
        try golden.expectLoss((vectors - sums).square().mean(), "out.commitment")
    }

    @Test("saved and loaded", arguments: families)
    func roundTrips(_ family: String) throws {
        let (model, store) = try open(family)
        let folder = try TemporaryFolder.make()
        try saveFolder(model.configuration, part: "target", of: store, to: folder)
        let again = ParameterStore(seed: 2)
        let loaded = try CheckpointFolder(folder).semanticTokenizer(into: again)
        try again.checkComplete()
        #expect(loaded.configuration == model.configuration)
        let golden = try GoldenFixture(family).values()
        try golden.expectEqual(loaded.codes(golden("in.pixel_values")).ints(), "out.codes")
    }

    @Test("frozen: nothing of it is trained by a quantiser's name", arguments: families)
    func codebooksAreBuffers(_ family: String) throws {
        let (model, store) = try open(family)
        store.train(["target.quantizer"])
        #expect(store.trainable.isEmpty)
        store.train([""])
        let pixels = try GoldenFixture(family).values()("in.pixel_values")
        #expect(!model.features(pixels).requiresGradient)
    }

    @Test("DINOv2 as a frozen target", arguments: GoldenFolder.families("dinov2"))
    func dinov2(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let store = ParameterStore(seed: 1)
        let target = try fixture.folder().featureTarget(into: store)
        try store.checkComplete()
        store.train([""])
        let golden = try fixture.values()
        // The fixture's pixels are normalised already; a target takes them in -1...1.
        func row(_ values: [Double]) -> Tensor {
            Tensor(values.map(Float.init), shape: [1, 3, 1, 1])
        }
        let normalization = PixelNormalization.imageNet
        let pixels =
            (try golden("in.pixel_values") * row(normalization.deviation)
                + row(normalization.mean)) * 2 - 1
        let features = target.features(pixels)
        let expected = try golden("out.last_hidden_state")
        golden.expect(
            features,
            equals: expected.narrowed(axis: 1, start: 1, length: expected.shape[1] - 1),
            "patch tokens as a target")
        #expect(features.shape == [pixels.shape[0], target.tokenCount, target.width])
        #expect(!features.requiresGradient)
        #expect {
            _ = try fixture.folder().featureTarget(layer: 99, into: ParameterStore(seed: 1))
        } throws: { "\($0)".contains("hidden state 99") }
    }
}
