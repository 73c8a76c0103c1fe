import Testing
import Torch
import TorchNN

@testable import VLSA

/// Autoencoders and codebooks saved as folders, and loaded again.
@Suite struct LatentsSavingTests {
    private let convolutions = ConvolutionConfiguration(
        widths: [8, 16], blocksPerLevel: 1, groups: 4, encoderAttends: [false, true],
        decoderAttends: [true, false])
    private let pixels = GoldenFill.tensor("golden.image", [1, 3, 16, 24])

    @Test("AutoencoderKL", arguments: [true, false])
    func autoencoder(_ hasQuantConvolutions: Bool) throws {
        let configuration = AutoencoderKLConfiguration(
            convolutions: convolutions, latentChannels: 4, scaling: 1.5305, shift: 0.0609,
            hasQuantConvolution: hasQuantConvolutions,
            hasPostQuantConvolution: hasQuantConvolutions)
        let store = ParameterStore(seed: 3)
        let model = try AutoencoderKL(configuration, in: store.scope["latents"])
        let folder = try TemporaryFolder.make()
        try saveFolder(configuration, part: "latents", of: store, to: folder)
        let again = ParameterStore(seed: 4)
        let loaded = try #require(
            try CheckpointFolder(folder).latentCodec(into: again) as? AutoencoderKL)
        try again.checkComplete()
        #expect(loaded.configuration == configuration)
        let latents = model.encode(pixels)
        expectClose(loaded.encode(pixels), latents, within: 0)
        expectClose(loaded.decode(latents), model.decode(latents), within: 0)
    }

    @Test("VQModel, as ITHQ and as LlamaGen compare codes", arguments: [false, true])
    func codebook(_ normalizesCodes: Bool) throws {
        let configuration = VQModelConfiguration(
            convolutions: convolutions, latentChannels: 6, codeCount: 32, codeWidth: 4,
            normalizesCodes: normalizesCodes)
        let store = ParameterStore(seed: 3)
        let model = try VQModel(configuration, in: store.scope["codebook"])
        let folder = try TemporaryFolder.make()
        try saveFolder(configuration, part: "codebook", of: store, to: folder)
        let again = ParameterStore(seed: 4)
        let loaded = try #require(
            try CheckpointFolder(folder).imageTokenizer(into: again) as? VQModel)
        try again.checkComplete()
        #expect(loaded.configuration == configuration)
        let indices = model.indices(pixels)
        #expect(loaded.indices(pixels).ints() == indices.ints())
        expectClose(loaded.decode(indices: indices), model.decode(indices: indices), within: 0)
    }
}
