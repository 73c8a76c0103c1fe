import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// The denoiser against reference numbers of computed weights: no weight file, real file layouts.
@Suite struct DenoiserFillTests {
    static let plain = MMDiTConfiguration(
        sampleSize: 8, channels: 4, layerCount: 2, headWidth: 8, headCount: 2, contextWidth: 12,
        pooledWidth: 10, positionGrid: 6)
    static let table: Set = ["pos_embed.pos_embed"]

    private var latents: Tensor { GoldenFill.tensor("golden.latent", [2, 4, 6, 8]) }
    private var context: Tensor { GoldenFill.tensor("golden.context", [2, 5, 12]) }
    private var pooled: Tensor { GoldenFill.tensor("golden.pooled", [2, 10]) }

    private func velocity(of model: MMDiT) -> Tensor {
        model(
            latents, timesteps: Tensor([Float(500), 37.5], shape: [2]), context: context,
            pooled: pooled)
    }

    @Test func fillIsTheOneOfTheReference() {
        #expect(GoldenFill.hash("a") == 3_826_002_220)
        #expect(GoldenFill.hash("golden.latent") == 483_581_456)
        #expect(abs(GoldenFill.unit("golden.latent", 0) + 0.26465658) < 1e-8)
        expectSummary(latents, sum: -12.717066, first: [-0.9167973, 1.4805634, -0.0174768])
        expectSummary(context, sum: -2.459923)
        expectSummary(pooled, sum: -1.803994)
    }

    @Test func sd3() throws {
        let (model, store) = try GoldenFill.fill(keeping: Self.table) {
            try MMDiT(Self.plain, in: $0)
        }
        #expect(store.names.count == 67)
        #expect(store.count() - 36 * 16 == 22_032)
        expectSummary(
            model.patches(latents), sum: 256.536172, magnitude: 1.041883,
            first: [2.084633, -0.435473, 0.423814, -0.615749], last: 2.721641)
        expectSummary(
            model.conditioning(Tensor([Float(500), 37.5], shape: [2]), pooled), sum: -1.785567,
            magnitude: 0.450392, first: [-0.699872, 0.045184, 0.143471, -0.367770], last: 0.396861)
        expectSummary(
            model.promptEntry(context), sum: -17.093546, magnitude: 0.695658,
            first: [0.929667, -0.940989, 0.543465, 0.653380], last: -2.233693)
        expectSummary(
            velocity(of: model), sum: 18.930013, magnitude: 0.895549,
            first: [0.895743, -1.277029, 1.716966, 2.015124], last: 0.034081)
    }

    @Test func sd35() throws {
        let configuration = MMDiTConfiguration(
            sampleSize: 8, channels: 4, layerCount: 2, headWidth: 8, headCount: 2,
            contextWidth: 12, pooledWidth: 10, positionGrid: 6, normalizesQueries: true,
            dualAttentionLayers: [0])
        let (model, store) = try GoldenFill.fill(keeping: Self.table) {
            try MMDiT(configuration, in: $0)
        }
        #expect(store.names.count == 85)
        #expect(store.count() - 36 * 16 == 24_016)
        expectSummary(
            velocity(of: model), sum: 7.189095, magnitude: 0.844785,
            first: [0.543741, -1.408464, 1.449470, 1.905577], last: -0.280850)
    }

    /// The original layout: fused query-key-value, shift before scale, names of its own.
    @Test("original names, with and without prefix", arguments: ["", "model.diffusion_model."])
    func originalNames(_ prefix: String) throws {
        let configuration = MMDiTConfiguration(
            sampleSize: 8, channels: 4, layerCount: 2, headWidth: 64, headCount: 2,
            contextWidth: 12, pooledWidth: 10, positionGrid: 6)
        let shapes = originalShapes(width: 128, blocks: 2)
        #expect(shapes.count == 50)
        var tensors = shapes.map { name, shape in
            (prefix + name, GoldenFill.tensor(name, shape))
        }
        tensors.append((prefix + "pos_embed", positionTable(width: 128, side: 6, base: 4)))
        let folder = try TemporaryFolder.make()
        try SafetensorsFile.write(
            tensors, metadata: [:], to: folder + "/diffusion_pytorch_model.safetensors")
        try JSONEncoder().encode(configuration)
            .write(to: URL(fileURLWithPath: folder + "/config.json"))
        let store = ParameterStore(seed: 1)
        let model = try CheckpointFolder(folder).denoiser(into: store)
        try store.checkComplete()
        expectSummary(
            velocity(of: model), sum: 144.503663, magnitude: 0.918359,
            first: [0.275347, -1.891966, 1.711811, -0.654459], last: 0.863784)
    }

    private func originalShapes(width d: Int, blocks: Int) -> [(String, [Int])] {
        var linears: [(String, Int, Int)] = [
            ("t_embedder.mlp.0", d, 256), ("t_embedder.mlp.2", d, d), ("y_embedder.mlp.0", d, 10),
            ("y_embedder.mlp.2", d, d), ("context_embedder", d, 12),
            ("final_layer.adaLN_modulation.1", 2 * d, d), ("final_layer.linear", 16, d),
        ]
        for block in 0..<blocks {
            let isLast = block == blocks - 1
            for stream in ["x_block", "context_block"] {
                let front = "joint_blocks.\(block).\(stream)."
                let speaksOnly = isLast && stream == "context_block"
                linears.append((front + "attn.qkv", 3 * d, d))
                linears.append((front + "adaLN_modulation.1", (speaksOnly ? 2 : 6) * d, d))
                guard !speaksOnly else { continue }
                linears.append((front + "attn.proj", d, d))
                linears.append((front + "mlp.fc1", 4 * d, d))
                linears.append((front + "mlp.fc2", d, 4 * d))
            }
        }
        return [("x_embedder.proj.weight", [d, 4, 2, 2]), ("x_embedder.proj.bias", [d])]
            + linears.flatMap { [($0.0 + ".weight", [$0.1, $0.2]), ($0.0 + ".bias", [$0.1])] }
    }

    @Test func lossIdentityAndGradients() throws {
        let (model, store) = try GoldenFill.fill(keeping: Self.table) {
            try MMDiT(Self.plain, in: $0)
        }
        store.train([""])
        let data = GoldenFill.tensor("golden.z0", [2, 4, 6, 8])
        let noise = GoldenFill.tensor("golden.eps", [2, 4, 6, 8])
        expectSummary(data, sum: 2.292204)
        expectSummary(noise, sum: 12.488103)
        let time = Tensor([Float(0.25), 0.7], shape: [2, 1, 1, 1])
        let (context, pooled) = (self.context, self.pooled)
        context.requiresGradient = true
        pooled.requiresGradient = true
        let noised = (1 - time) * data + time * noise
        let velocity = model(
            noised, timesteps: Tensor([Float(250), 700], shape: [2]), context: context,
            pooled: pooled)
        let ofVelocity = (noise - data - velocity).square().mean(axes: [1, 2, 3])
        let ofData = (data - (noised - time * velocity)).square().mean(axes: [1, 2, 3])
        expectClose(ofVelocity, Tensor([Float(2.798468), 2.588074], shape: [2]))
        expectClose(ofData, Tensor([Float(0.1749042), 1.2681562], shape: [2]))
        expectClose(ofData, time.reshaped([2]).square() * ofVelocity, within: 1e-5)
        ofData.mean().backward()
        #expect(abs((try #require(context.gradient)).norm().item() - 0.01370230) < 1e-5)
        #expect(abs((try #require(pooled.gradient)).norm().item() - 0.08774218) < 1e-5)
        let norms = [
            "context_embedder.weight": 0.08015955,
            "transformer_blocks.0.attn.add_k_proj.weight": 0.04131453,
            "transformer_blocks.1.norm1_context.linear.weight": 0.01901756,
            "proj_out.weight": 0.31617999, "pos_embed.proj.weight": 0.19921612,
        ]
        for (name, expected) in norms {
            let gradient = try #require(store[name]?.gradient)
            #expect(abs(gradient.norm().item() - expected) < 1e-4, "\(name)")
        }
        let total = store.trainable.reduce(0.0) {
            $0 + ($1.tensor.gradient.map { $0.square().sum().item() } ?? 0)
        }
        #expect(abs(total.squareRoot() - 0.94030904) < 1e-4)
        #expect(store["transformer_blocks.1.attn.add_q_proj.weight"]?.gradient == nil)
    }

    @Test func guidedSampling() throws {
        let (model, _) = try GoldenFill.fill(keeping: Self.table) {
            try MMDiT(Self.plain, in: $0)
        }
        let made = model.sample(
            from: GoldenFill.tensor("golden.eps", [2, 4, 6, 8]), context: context, pooled: pooled,
            sampler: EulerSampler(steps: 5, guidance: 5))
        expectSummary(
            made, sum: -79.720532, magnitude: 1.531688,
            first: [-1.140912, -4.053138, -3.922284, -3.167423], last: 0.600815, within: 1e-3)
    }

    @Test func timeCodes() {
        func code(_ time: Float) -> [Float] { timeCode(Tensor([time], shape: [1])).floats() }
        let places: [(Float, [Int: Float], Float)] = [
            (
                500,
                [
                    0: -0.883849, 1: 0.945946, 2: 0.848507, 32: 0.964965, 64: 0.283662,
                    127: 0.998557, 128: -0.467772, 129: 0.324325, 160: -0.262379, 255: 0.053705,
                ], 57.54699
            ),
            (37.5, [0: 0.980243, 1: -0.943111, 64: 0.930508, 128: -0.197799], 91.13956),
            (1000, [0: 0.562379, 64: -0.839072, 128: 0.826880, 255: 0.107254], 50.96479),
            (0, [0: 1, 127: 1, 128: 0, 255: 0], 128),
        ]
        for (time, values, sum) in places {
            let made = code(time)
            for (index, value) in values {
                #expect(abs(made[index] - value) < 1e-4, "\(time) at \(index)")
            }
            #expect(abs(made.reduce(0, +) - sum) < 1e-3)
        }
    }

    @Test func positionsOfTheRealTable() {
        let table = positionTable(width: 1536, side: 192, base: 64)
        func value(_ row: Int, _ column: Int, _ channel: Int) -> Double {
            table[0, row * 192 + column, channel].item()
        }
        let expected: [(Int, Int, Int, Double)] = [
            (0, 0, 0, 0), (0, 0, 384, 1), (0, 0, 768, 0), (0, 0, 1152, 1), (0, 1, 0, 0.327195),
            (0, 1, 1, 0.319719), (0, 1, 384, 0.944957), (0, 1, 768, 0), (1, 0, 768, 0.327195),
            (64, 64, 0, 0.611389), (64, 64, 384, -0.791330), (95, 100, 0, 0.940530),
            (95, 100, 768, 0.248121), (95, 100, 769, -0.479212), (191, 191, 0, 0.741171),
        ]
        for (row, column, channel, number) in expected {
            #expect(abs(value(row, column, channel) - number) < 2e-5, "\(row) \(column) \(channel)")
        }
    }
}
