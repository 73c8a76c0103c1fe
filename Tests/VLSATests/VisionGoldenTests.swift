import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Towers against the reference: every hidden state, both endings, gradients, other input sizes.
@Suite struct VisionGoldenTests {
    static let families = GoldenFolder.families(
        "clip_vision_model", "clip", "siglip_vision_model", "siglip", "dinov2")

    private func open(_ fixture: GoldenFixture) throws -> (any VisionTower, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let tower = try fixture.folder().visionTower(into: store, at: "vision")
        try store.checkComplete()
        return (tower, store)
    }

    @Test("hidden states, endings and gradients", arguments: GoldenFixture.forms(families))
    func matchesReference(_ fixture: GoldenFixture) throws {
        let (tower, store) = try open(fixture)
        store.train(["vision"])
        let golden = try fixture.values()
        let pixels = try golden("in.pixel_values")
        pixels.requiresGradient = true

        let states = tower.hiddenStates(pixels)
        #expect(states.count == tower.layerCount + 1)
        for (index, state) in states.enumerated() {
            try golden.expect(state, "out.hidden_states.\(index)")
        }
        let output = tower.finish(states[states.count - 1])
        try golden.expect(output.last, "out.last_hidden_state")
        let pooled = try #require(output.pooled)
        try golden.expect(pooled, "out.pooler_output")

        let loss =
            try (output.last * golden("in.cotangent.last_hidden_state")).sum()
            + (pooled * golden("in.cotangent.pooler_output")).sum()
        try golden.expectLoss(loss, "out.vjp_loss")
        loss.backward()
        try golden.expectGradient(of: pixels, "pixel_values")
        try golden.expectGradients(in: store) { name in
            let own = name.hasPrefix("vision_model.") ? String(name.dropFirst(13)) : name
            return "vision." + own
        }
    }

    @Test("other input sizes, positions resized", arguments: families)
    func resizesPositions(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (tower, _) = try open(fixture)
        let golden = try fixture.values()
        let output = tower.output(try golden("in.interp.pixel_values"), interpolating: true)
        try golden.expect(output.last, "out.interp.last_hidden_state")
    }

    @Test("masked patches", arguments: families.holding("in.bool_masked_pos"))
    func masksPatches(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (tower, _) = try open(fixture)
        let golden = try fixture.values()
        let dino = try #require(tower as? DINOv2Tower)
        var hidden = dino.embed(
            try golden("in.pixel_values"), masking: try golden("in.bool_masked_pos"))
        for index in 0..<dino.layerCount { hidden = dino.layer(index, hidden) }
        try golden.expect(dino.finish(hidden).last, "out.masked.last_hidden_state")
    }

    @Test(
        "projected to the space shared with text", arguments: families.holding("out.image_embeds"))
    func projects(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let folder = try fixture.folder()
        guard case .clip(let clip) = try folder.configuration(VisionConfiguration.self) else {
            Issue.record("\(family) is no CLIP")
            return
        }
        let store = ParameterStore(seed: 1)
        try store.load(
            folder.weightFiles(),
            renaming: { name in
                ["vision_model.", "visual_projection."].contains { name.hasPrefix($0) }
                    && !name.hasSuffix("position_ids") ? name : nil
            })
        let encoder = try CLIPImageEncoder(clip, in: store.scope)
        try store.checkComplete()
        let golden = try fixture.values()
        try golden.expect(encoder(try golden("in.pixel_values")), "out.image_embeds")
    }

    @Test(
        "selected features stop at their layer",
        arguments: GoldenFolder.families("clip_vision_model", "siglip_vision_model"))
    func runsNoLayerBeyondTheSelectedOne(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (tower, store) = try open(fixture)
        store.train([""])
        let golden = try fixture.values()
        let pixels = try golden("in.pixel_values")
        let features = tower.features(pixels)
        let expected = try golden("out.hidden_states.\(tower.layerCount - 1)")
        let front = tower.configuration.hasClassToken ? 1 : 0
        golden.expect(
            features,
            equals: expected.narrowed(axis: 1, start: front, length: expected.shape[1] - front),
            "selected features")
        #expect(features.shape == [pixels.shape[0], tower.tokenCount, tower.width])
        golden.expect(
            tower.features(pixels, FeatureSelection(layer: -2, keepsClassToken: true)),
            equals: expected, "selected features, class token kept")
        features.sum().backward()
        let last = "vision.encoder.layers.\(tower.layerCount - 1).mlp.fc1.weight"
        let before = "vision.encoder.layers.\(tower.layerCount - 2).mlp.fc1.weight"
        #expect(store[last]?.gradient == nil)
        #expect(store[before]?.gradient != nil)
    }

    @Test func normalisesBytesAsTheReferenceDoes() {
        let bytes = Tensor((0..<12).map { UInt8($0 * 20) }, shape: [3, 2, 2])
        let made = PixelNormalization.clip(bytes).floats()
        for (index, value) in made.enumerated() {
            let channel = index / 4
            let expected =
                (Float(Double(index * 20) * (1.0 / 255))
                    - Float(PixelNormalization.clip.mean[channel]))
                / Float(PixelNormalization.clip.deviation[channel])
            #expect(value == expected)
        }
    }

    @Test(
        "a new tower from its configuration, saved and loaded",
        arguments: [
            VisionConfiguration.clip(
                CLIPVisionConfiguration(
                    width: 16, hiddenWidth: 24, layerCount: 2, headCount: 2, imageSize: 28,
                    patchSize: 14)),
            .siglip(
                SigLIPVisionConfiguration(
                    width: 16, hiddenWidth: 24, layerCount: 2, headCount: 2, imageSize: 28,
                    patchSize: 14)),
            .dinov2(
                DINOv2Configuration(
                    width: 16, layerCount: 2, headCount: 2, imageSize: 28, patchSize: 14)),
        ])
    func roundTrips(_ configuration: VisionConfiguration) throws {
        let store = ParameterStore(seed: 7)
        let tower = try makeVisionTower(configuration, in: store.scope["vision"])
        let folder = try TemporaryFolder.make()
        try saveFolder(configuration, part: "vision", of: store, to: folder)

        let again = ParameterStore(seed: 8)
        let loaded = try CheckpointFolder(folder).visionTower(into: again, at: "vision")
        try again.checkComplete()
        #expect(loaded.configuration == configuration)
        #expect(again.names == store.names)
        let pixels = Tensor.normal([2, 3, 28, 28], generator: Generator(seed: 3))
        expectClose(tower.output(pixels).last, loaded.output(pixels).last, within: 0)
    }
}
