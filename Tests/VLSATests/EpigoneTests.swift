import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct EpigoneTests {
    private static func epigone(
        _ configuration: EpigoneConfiguration, places: Tensor = .zeros([1, 4, 12])
    ) throws -> (Epigone, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let epigone = try Epigone(
            configuration, width: 8, contextWidth: 12, pooledWidth: 6, places: places,
            in: store.scope["epigone"])
        return (epigone, store)
    }

    private static func draw(_ shape: [Int], _ seed: UInt64) -> Tensor {
        .normal(shape, generator: Generator(seed: seed))
    }

    /// With one head for both, the pooled embedding is the start of what that head makes of the pooled token.
    @Test func aSliceIsThePromptHeadsOwn() throws {
        let (epigone, store) = try Self.epigone(EpigoneConfiguration(rank: 5, pooled: .slice))
        #expect(store.names.allSatisfy { $0.hasPrefix("epigone.context.") })
        let (tokens, pooled) = (Self.draw([2, 4, 8], 2), Self.draw([2, 8], 3))
        let found = epigone(tokens, pooled: pooled)
        let whole = epigone(pooled.unsqueezed(1), pooled: pooled).context
        #expect(found.pooled.shape == [2, 6])
        #expect(
            (found.pooled - whole.squeezed(1).narrowed(axis: 1, start: 0, length: 6)).abs().max()
                .item() < 1e-6)
        #expect(throws: VLSAError.self) {
            try Epigone(
                EpigoneConfiguration(rank: 5, pooled: .slice), width: 8, contextWidth: 6,
                pooledWidth: 12,
                places: .zeros([1, 4, 6]), in: ParameterStore(seed: 1).scope["epigone"])
        }
    }

    /// Places are added to the prompt, times their share, and to nothing else.
    @Test func placesAreAddedToThePrompt() throws {
        let places = Self.draw([1, 4, 12], 4)
        let (tokens, pooled) = (Self.draw([2, 4, 8], 2), Self.draw([2, 8], 3))
        let without = try Self.epigone(EpigoneConfiguration(rank: 5), places: places).0(
            tokens, pooled: pooled)
        let with = try Self.epigone(EpigoneConfiguration(rank: 5, places: 0.3), places: places).0(
            tokens, pooled: pooled)
        #expect((with.context - without.context - places * 0.3).abs().max().item() < 1e-6)
        #expect((with.pooled - without.pooled).abs().max().item() == 0)
    }

    /// A prompt of as many tokens as the latent has patches has the denoiser's own codes, and a coarser one their means'
    /// places.
    @Test func placesAreTheDenoisersOwn() {
        let configuration = MMDiTConfiguration(
            sampleSize: 16, patchSize: 2, channels: 4, layerCount: 1, headWidth: 8, headCount: 4,
            contextWidth: 32,
            pooledWidth: 8, positionGrid: 12)
        let table = positionTable(width: 32, side: 12, base: 8)
        let own = configuration.promptPlaces(tokensPerSide: 8, latentSide: 16)
        let crop = table.reshaped([12, 12, 32]).narrowed(axis: 0, start: 2, length: 8)
            .narrowed(axis: 1, start: 2, length: 8).reshaped([1, 64, 32])
        #expect((own - crop).abs().max().item() < 1e-6)
        // Two patches a token: the first token stands between the first two patches, 2.5 of 12 at 8/12 a step.
        let coarse = configuration.promptPlaces(tokensPerSide: 4, latentSide: 16)
        #expect(abs(coarse.floats()[0] - Float(0.9953)) < 1e-3)  // sin(2.5 * 8 / 12)
    }
}
