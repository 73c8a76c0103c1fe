import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Autoencoders against reference numbers of computed weights, under every set of names they come
/// in.
@Suite struct AutoencoderFillTests {
    private var picture: Tensor { GoldenFill.tensor("golden.image", [1, 3, 16, 24]) }

    private func convolutions(attends: Bool, attendsUp: Bool? = nil) -> ConvolutionConfiguration {
        ConvolutionConfiguration(
            widths: [8, 16], blocksPerLevel: 1, groups: 4, encoderAttends: [false, attends],
            decoderAttends: [attendsUp ?? false, false])
    }

    @Test func sd3Autoencoder() throws {
        let configuration = AutoencoderKLConfiguration(
            convolutions: convolutions(attends: false), latentChannels: 4, scaling: 1.5305,
            shift: 0.0609, hasQuantConvolution: false, hasPostQuantConvolution: false)
        let (model, store) = try GoldenFill.fill { try AutoencoderKL(configuration, in: $0) }
        #expect(store.names.count == 120)
        #expect(store.count() == 43_619)
        let made = model.distribution(picture)
        expectSummary(
            made.mean, sum: 33.439326, magnitude: 0.509492,
            first: [-0.471091, -0.166954, 0.950838, -0.108261], last: 0.040607)
        expectSummary(
            made.logVariance, sum: 13.406872, magnitude: 0.421776,
            first: [-0.302958, -0.193131, 0.300002, 0.357218], last: -0.465465)
        #expect(abs(model.encode(picture)[0, 0, 0, 0].item() + 0.814212) < 1e-4)
        expectSummary(
            model.decode(unscaled: made.mean), sum: -154.846249, magnitude: 0.459048,
            first: [-0.428820, -0.332163, -0.522194, -0.333907], last: -0.165352)
        let shifted = model.encode(picture.rolled(1, axis: 3))
        #expect((shifted - model.encode(picture)).abs().max().item() > 1e-2)
    }

    private let kl16 = AutoencoderKLConfiguration(
        convolutions: ConvolutionConfiguration(
            widths: [8, 16], blocksPerLevel: 1, groups: 4, encoderAttends: [false, true]),
        latentChannels: 4)

    private func expectKL16(_ model: AutoencoderKL) {
        let made = model.distribution(picture)
        expectSummary(
            made.mean, sum: 52.388906, magnitude: 0.463478,
            first: [1.226814, -0.563171, 0.213626, -0.101479], last: 0.311926)
        expectSummary(made.logVariance, sum: 49.140010, magnitude: 0.448244)
        expectSummary(
            model.decode(unscaled: made.mean), sum: 70.118056, magnitude: 0.425039,
            first: [-0.374737, -0.223358, 0.010719, -0.238563], last: 0.176320)
    }

    @Test func latentDiffusionAutoencoder() throws {
        let (model, store) = try GoldenFill.fill { try AutoencoderKL(kl16, in: $0) }
        #expect(store.names.count == 134)
        #expect(store.count() == 44_831)
        expectKL16(model)
    }

    /// Writes our names as another layout does, and loads the file back.
    @Test("the same under other names", arguments: ["ldm", "ldm.prefixed", "before 2023"])
    func otherNames(_ layout: String) throws {
        let (_, store) = try GoldenFill.fill { try AutoencoderKL(kl16, in: $0) }
        let tensors = store.tensors().map { name, tensor in
            let foreign =
                layout == "before 2023"
                ? Self.oldName(name)
                : (layout == "ldm" ? "" : "first_stage_model.") + Self.latentDiffusionName(name)
            let isMatrix =
                layout != "before 2023" && name.contains(".attentions.") && tensor.rank == 2
            return (foreign, isMatrix ? tensor.unsqueezed(-1).unsqueezed(-1) : tensor)
        }
        let folder = try TemporaryFolder.make()
        try SafetensorsFile.write(
            tensors, metadata: [:], to: folder + "/diffusion_pytorch_model.safetensors")
        try JSONEncoder().encode(kl16).write(to: URL(fileURLWithPath: folder + "/config.json"))
        let again = ParameterStore(seed: 1)
        let codec = try CheckpointFolder(folder).latentCodec(into: again)
        try again.checkComplete()
        expectKL16(try #require(codec as? AutoencoderKL))
    }

    private static func oldName(_ name: String) -> String {
        guard name.contains(".attentions.") else { return name }
        return name.replacing("to_q", with: "query").replacing("to_k", with: "key")
            .replacing("to_v", with: "value").replacing("to_out.0", with: "proj_attn")
    }

    private static func latentDiffusionName(_ name: String) -> String {
        var name =
            name.replacing("mid_block.resnets.0", with: "mid.block_1")
            .replacing("mid_block.resnets.1", with: "mid.block_2")
            .replacing("mid_block.attentions.0", with: "mid.attn_1")
            .replacing("down_blocks", with: "down").replacing("resnets", with: "block")
            .replacing("downsamplers.0", with: "downsample")
            .replacing("upsamplers.0", with: "upsample")
            .replacing("up_blocks.0", with: "up.1").replacing("up_blocks.1", with: "up.#")
            .replacing("up.#", with: "up.0")
            .replacing("conv_norm_out", with: "norm_out")
            .replacing("conv_shortcut", with: "nin_shortcut")
            .replacing("attentions", with: "attn")
        if name.contains("attn") {
            name = name.replacing("group_norm", with: "norm").replacing("to_q", with: "q")
                .replacing("to_k", with: "k").replacing("to_v", with: "v")
                .replacing("to_out.0", with: "proj_out")
        }
        return name
    }

    @Test func ithq() throws {
        let configuration = VQModelConfiguration(
            convolutions: convolutions(attends: true, attendsUp: true), latentChannels: 6,
            codeCount: 32, codeWidth: 4)
        let (model, store) = try GoldenFill.fill { try VQModel(configuration, in: $0) }
        #expect(store.names.count == 155)
        #expect(store.count() == 47_163)
        let vectors = model.encode(picture)
        expectSummary(
            vectors, sum: 4.359209, magnitude: 0.479279,
            first: [1.291339, -0.458361, 0.000771, -0.106197], last: 0.031697)
        let indices = model.indices(picture)
        #expect(
            indices.ints()
                == numbers(
                    """
                    21 25 7 7 26 24 4 4 11 4 4 4 19 26 19 27 24 7 26 4 17 24 3 4
                    27 2 3 0 12 30 7 0 4 27 2 4 4 24 7 13 5 24 2 30 24 24 1 4
                    4 2 1 2 7 0 21 7 7 29 0 24 7 2 0 3 11 7 24 30 26 12 7 7
                    7 27 30 17 27 16 4 11 30 27 14 3 21 12 27 0 4 27 4 2 30 0 0 4
                    """))
        #expect(abs(model.quantize(vectors).loss.item() - 0.1481044) < 1e-5)
        expectSummary(
            model.decode(indices: indices), sum: -468.120388, magnitude: 0.522141,
            first: [-0.496516, -0.740030, -0.638143, -0.764197], last: -0.490151)
    }

    @Test func llamaGen() throws {
        let configuration = VQModelConfiguration(
            convolutions: ConvolutionConfiguration(
                widths: [32, 64], blocksPerLevel: 1, groups: 32, encoderAttends: [false, true],
                decoderAttends: [true, false]),
            latentChannels: 16, codeCount: 64, codeWidth: 8, normalizesCodes: true)
        let plan = ParameterStore(seed: 0)
        _ = try VQModel(configuration, in: plan.scope)
        var tensors = plan.tensors().map { name, tensor in
            let own = Self.llamaGenName(name)
            let isMatrix = name.contains(".attentions.") && tensor.rank == 2
            return (own, GoldenFill.tensor(own, isMatrix ? tensor.shape + [1, 1] : tensor.shape))
        }
        tensors.append(("quantize.codebook_used", Tensor.zeros([65_536])))
        #expect(tensors.count == 156)
        let folder = try TemporaryFolder.make()
        try SafetensorsFile.write(tensors, metadata: [:], to: folder + "/model.safetensors")
        try JSONEncoder().encode(configuration)
            .write(to: URL(fileURLWithPath: folder + "/config.json"))
        let store = ParameterStore(seed: 1)
        let tokenizer = try CheckpointFolder(folder).imageTokenizer(into: store)
        try store.checkComplete()
        #expect(store.count() == 720_907)
        let model = try #require(tokenizer as? VQModel)
        #expect(model.configuration == configuration)
        expectSummary(
            model.encode(picture), sum: 87.581096, magnitude: 0.406839,
            first: [0.272179, 0.096748, -0.257921, 0.299595])
        let indices = model.indices(picture)
        #expect(
            indices.ints()
                == numbers(
                    """
                    50 3 47 3 3 19 5 3 24 10 52 57 52 47 3 36 36 1 28 34 3 47 50 10
                    3 3 3 47 35 44 4 13 48 36 21 51
                    52 43 38 3 5 12 9 57 20 61 34 21
                    1 2 3 47 4 51 59 3 5 61 12 39 5 23 2 43 19 3 36 43 3 25 42 13
                    12 61 19 18 11 10 41 4 41 52 45 0 36 10 8 35 9 20 10 17 34 53 34 17
                    """))
        expectSummary(
            model.vectors(of: indices), sum: 30.095697, magnitude: 0.313022,
            first: [-0.109468, -0.059184, -0.525315, -0.059184])
        expectSummary(
            model.decode(indices: indices), sum: 43.401182, magnitude: 0.541872,
            first: [0.059361, 0.063021, -0.304226, -0.398835], last: 0.485597)
    }

    private static func llamaGenName(_ name: String) -> String {
        var name =
            name.replacing("mid_block.resnets.0", with: "mid.0")
            .replacing("mid_block.attentions.0", with: "mid.1")
            .replacing("mid_block.resnets.1", with: "mid.2")
            .replacing("down_blocks", with: "conv_blocks").replacing(
                "up_blocks", with: "conv_blocks"
            )
            .replacing("resnets", with: "res").replacing("attentions", with: "attn")
            .replacing("downsamplers.0", with: "downsample")
            .replacing("upsamplers.0", with: "upsample")
            .replacing("conv_norm_out", with: "norm_out")
            .replacing("conv_shortcut", with: "nin_shortcut")
            .replacing("group_norm", with: "norm")
        for (ours, theirs) in [
            ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"),
        ] {
            name = name.replacing(ours, with: theirs)
        }
        return name
    }

    /// The literal reading of the paper's lookup takes the least similar code.
    @Test func nearestIsByDistanceNotByProduct() throws {
        let configuration = VQModelConfiguration(
            convolutions: convolutions(attends: false), latentChannels: 4, codeCount: 3,
            codeWidth: 2)
        let store = ParameterStore(seed: 1)
        try store.offer(
            "quantize.embedding.weight", Tensor([Float(0), 0, 1, 0, 0, 2], shape: [3, 2]))
        let model = try VQModel(configuration, in: store.scope)
        let vectors = Tensor([Float(0.6), 0.4, 0.1, 0.9], shape: [1, 2, 1, 2])
        #expect(model.nearest(vectors).ints() == [1, 0])
    }

    @Test("parameter counts of the real configurations", arguments: [16, 8])
    func llamaGenCounts(_ downscale: Int) throws {
        let configuration = VQModelConfiguration.llamaGen(
            levels: downscale == 16 ? [1, 1, 2, 2, 4] : [1, 2, 2, 4])
        #expect(configuration.convolutions.downscale == downscale)
        let store = ParameterStore(seed: 0)
        _ = try VQModel(configuration, in: store.scope)
        // One tensor of the public files is a counter that no model holds.
        #expect(store.names.count == (downscale == 16 ? 343 : 299))
        #expect(store.count() == (downscale == 16 ? 71_883_403 : 70_109_835))
    }
}

private func numbers(_ text: String) -> [Int] {
    text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
}
