import AnyRes
import Corpus
import Foundation
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

/// ROSS' numbers: schedules, grids and a denoiser of computed weights against the reference's.
@Suite struct ROSSTests {
    private static let golden = ROSSConfiguration(width: 16, layerCount: 2, headCount: 2)
    private var states: Tensor { GoldenFill.tensor("golden.hidden", [2, 16, 12]) }
    private var target: Tensor { GoldenFill.tensor("golden.target", [2, 8, 4, 4]) }
    private var noise: Tensor { GoldenFill.tensor("golden.noise", [2, 8, 4, 4]) }
    private let steps = [37, 700]

    /// The denoiser filled by its names below `net`.
    private func filled() throws -> (StateDenoiser, ParameterStore) {
        try GoldenFill.fill(keeping: ["net.pos_embed"]) {
            try StateDenoiser(Self.golden, channels: 8, side: 4, stateWidth: 12, in: $0["net"])
        }
    }

    @Test(arguments: [
        (BetaSchedule.cosine, 0, 0.9999587158), (.cosine, 1, 0.9999125759),
        (.cosine, 250, 0.8458879865), (.cosine, 500, 0.4922851724), (.cosine, 750, 0.1431786464),
        (.cosine, 998, 2.428766907e-6), (.cosine, 999, 2.428766907e-9), (.linear, 0, 0.9999),
        (.linear, 100, 0.8951415909), (.linear, 999, 4.035829765e-5),
        (.scaledLinear, 100, 0.9711761214), (.scaledLinear, 999, 0.000733412460),
        (.sigmoid, 0, 1 - 1.492052e-4), (.sigmoid, 100, 0.9804917258),
        (.sigmoid, 999, 3.968181991e-5),
    ])
    func noiseLevels(schedule: BetaSchedule, step: Int, expected: Double) {
        let found = DiffusionSchedule(schedule).cumulativeAlphas[step]
        #expect(abs(found - expected) < 1e-7 * expected)
    }

    @Test func allCosineLevels() {
        let levels = DiffusionSchedule(.cosine).cumulativeAlphas
        #expect(levels.count == 1000 && abs(levels.reduce(0, +) - 495.577513) < 1e-5)
        #expect(levels.count { $0 > 0.5 } == 496)
    }

    @Test func cellsOfATokenBecomeItsChannels() {
        let cells = Tensor.arange(32, dtype: .float32).reshaped([1, 2, 4, 4])
        let tokens = folded(cells, by: 2)
        #expect(tokens.shape == [1, 8, 2, 2])
        #expect(tokens[0, .all, 0, 0].floats() == [0, 1, 4, 5, 16, 17, 20, 21])
        #expect(tokens[0, .all, 1, 0].floats() == [8, 9, 12, 13, 24, 25, 28, 29])
        #expect(folded(cells, by: 1) === cells)
    }

    @Test func placesOfThePublishedGrids() {
        let table = positionTable(width: 1024, side: 27, base: 27)
        func row(_ token: Int, _ channels: Range<Int>) -> [Float] {
            table[0, token, channels].floats()
        }
        for (token, start) in [(1, 0), (27, 512)] {
            for (a, b) in zip(row(token, start..<start + 3), [0.841471, 0.821856, 0.801962]) {
                #expect(abs(Double(a) - b) < 1e-6)
            }
            #expect(row(token, 512 - start..<515 - start) == [0, 0, 0])
        }
        expectSummary(table, sum: 319780.6939, within: 0.2)
    }

    /// Every boundary of the forward pass, the loss of each sample, and norms of its gradients.
    @Test func goldenDenoiser() throws {
        let (model, store) = try filled()
        #expect(store.names.count == 33)
        #expect(store.count() - 16 * 16 == 15_112)
        let noised = DiffusionSchedule(.cosine).noised(target, noise: noise, steps: steps)
        expectSummary(
            noised, sum: 1.520502, magnitude: 0.917794,
            first: [-0.534584, -0.493314, -1.724114, 1.761852], last: -1.837825)
        let states = self.states
        states.requiresGradient = true
        store.train([""])
        expectSummary(
            model.placed(noised), sum: 279.201260, magnitude: 1.005958,
            first: [-0.037283, 0.019516, -0.276713, -0.488019], last: 2.070898)
        let steering = model.steering(steps: steps, states: states)
        expectSummary(
            steering, sum: -131.750286, magnitude: 0.585711,
            first: [-0.073517, -2.364014, -0.949320, 0.269232])
        let first = model.blocks[0](model.placed(noised), steer: steering.silu())
        expectSummary(
            first, sum: 280.303350, magnitude: 1.034783,
            first: [-0.255846, -0.159301, -0.282265, -0.600792])
        expectSummary(
            model.blocks[1](first, steer: steering.silu()), sum: 322.349867, magnitude: 1.064523,
            first: [-0.252391, 0.060950, 0.021782, 0.073115])
        let found = model(noised, steps: steps, states: states)
        expectSummary(
            found, sum: -2.640241, magnitude: 0.854910,
            first: [-0.579498, -2.249901, 1.300294, -0.435674], last: 1.216108)
        let losses = (noise - found).square().mean(axes: [1, 2, 3])
        expectClose(losses, Tensor([Float(2.401159), 2.833275], shape: [2]))
        losses.mean().backward()
        let gradients = [
            "x_embedder.proj.weight": 0.9753336, "t_embedder.mlp.0.weight": 1.5653226,
            "z_embedder.1.weight": 0.6162685, "blocks.0.attn.qkv.weight": 0.3458904,
            "blocks.0.adaLN_modulation.1.weight": 0.3137905,
            "blocks.1.mlp.fc2.weight": 0.5098118, "final_layer.linear.weight": 1.4879388,
        ]
        for (name, expected) in gradients {
            let norm = try #require(store["net." + name]?.gradient).norm().item()
            #expect(abs(norm - expected) < 1e-4, "\(name): \(norm)")
        }
        #expect(abs(try #require(states.gradient).norm().item() - 0.1534861) < 1e-5)
        let total = store.trainable.reduce(0) {
            $0 + ($1.tensor.gradient?.square().sum().item() ?? 0)
        }
        #expect(abs(total.squareRoot() - 3.0542636) < 1e-4)
    }

    /// Slopes of the loss along drawn directions, in float64, through both inputs and every weight.
    @Test func derivativesAreTheSlopes() throws {
        let store = ParameterStore(dtype: .float64, seed: 3)
        let model = try StateDenoiser(
            Self.golden, channels: 3, side: 2, stateWidth: 6, in: store.scope)
        for (_, tensor) in store.tensors() {
            let start =
                Tensor.normal(tensor.shape, dtype: .float64, generator: Generator(seed: 5)) * 0.3
            withoutGradients { tensor.copy(from: start) }
        }
        store.train([""])
        let inputs = [[4, 3, 2, 2], [2, 4, 6]].enumerated().map {
            Tensor.normal($1, dtype: .float64, generator: Generator(seed: UInt64($0)))
        }
        for input in inputs { input.requiresGradient = true }
        expectSlopes(inputs + store.trainable.map(\.tensor)) {
            model(inputs[0], steps: [3, 500, 40, 999], states: inputs[1]).square().mean()
        }
    }

    /// The published sizes: 43 names with the table of places, and nothing but zeros before the first update.
    @Test func publishedSizes() throws {
        let store = ParameterStore(collectingFaultsAs: .float32)
        _ = try StateDenoiser(
            ROSSConfiguration(), channels: 64, side: 27, stateWidth: 3584, in: store.scope)
        #expect(store.names.count == 43)
        #expect(store.count() == 64_630_848 && store.count() - 729 * 1024 == 63_884_352)
    }

    /// The sum over the pictures of the mean over their copies, drawn from each one's own generator.
    @Test func theLossIsTheMeanOverCopiesOfEachPicture() throws {
        let model = try TinyStack.model(TinyStack.ross)
        TinyStack.disturb(model, "ross")
        let ross = try #require(model.ross)
        let z = Tensor.normal([2, 16, 4, 4], generator: Generator(seed: 1))
        let states = Tensor.normal([2, 16, 32], generator: Generator(seed: 2))
        let found = ross.loss(
            of: z, states: states, generators: [Generator(seed: 8), Generator(seed: 9)])
        var expected = 0.0
        for picture in 0..<2 {
            let generator = Generator(seed: UInt64(8 + picture))
            for _ in 0..<3 {
                let step = Int(Tensor.uniform([1], generator: generator).item() * 1000)
                let noise = Tensor.normal([16, 4, 4], generator: generator)
                let kept = DiffusionSchedule(.cosine).cumulativeAlphas[step]
                let noised = z[picture] * kept.squareRoot() + noise * (1 - kept).squareRoot()
                let told = ross.denoiser(
                    noised.unsqueezed(0), steps: [step], states: states[picture].unsqueezed(0))
                expected += (noise - told[0]).square().mean().item() / 3
            }
        }
        #expect(abs(found.item() - expected) < 1e-5 * expected, "\(found.item()) \(expected)")
    }

    @Test func aNewDenoiserSaysNothingAndCostsTheNoiseItself() throws {
        let model = try TinyStack.model(TinyStack.ross)
        let ross = try #require(model.ross)
        model.store.train(["ross"])
        let states = Tensor.normal([40, 16, 32], generator: Generator(seed: 2))
        states.requiresGradient = true
        let z = Tensor.normal([40, 16, 4, 4], generator: Generator(seed: 1))
        let loss = ross.loss(
            of: z, states: states, generators: (0..<40).map { Generator(seed: $0) })
        #expect(abs(loss.item() / 40 - 1) < 0.03)
        loss.backward()
        #expect(try #require(states.gradient).norm().item() == 0)
        #expect(
            try #require(model.store["ross.final_layer.linear.weight"]?.gradient).norm().item() > 0)
    }

    /// The latent has as many cells as tokens, of the frame that the tokens show.
    @Test func targetsLieOnTheTokensGrid() throws {
        let model = try TinyStack.model(TinyStack.ross)
        let ross = try #require(model.ross)
        #expect(ross.pictureSize == 4 * 2 * 4)
        let picture = try TinyStack.picture(width: 50, height: 20, seed: 4)
        let z = ross.targets(of: [picture], device: .cpu)
        #expect(z.shape == [1, 16, 4, 4])
        // Channel 4 c + 2 p + q of a token is cell (2 i + p, 2 j + q) of latent channel c.
        let cells = LatentTests.latent(of: picture.paddedPicture(), side: 32, by: ross.latents)
        #expect(z[0, 4 * 2 + 2 + 1, 3, 1].item() == cells[0, 2, 7, 3].item())

        var configuration = TinyStack.ross
        configuration.picture = TinyStack.snapshots
        configuration.perceiver.cropPosition = .off
        let whole = try #require(try TinyStack.model(configuration).ross)
        let seen = whole.targets(of: [picture], device: .cpu)
        let snapshot = LatentTests.latent(of: picture.snapshotPixels, side: 32, by: whole.latents)
        #expect(seen.floats() == folded(snapshot, by: 2).floats())
        #expect(seen.floats() != z.floats())
    }

    @Test func cachedTargetsOfTheTwoFramesStayApart() throws {
        let folder = try TemporaryFolder.make() + "/cache"
        let picture = try TinyStack.picture(width: 50, height: 20, seed: 4)
        var configurations = [TinyStack.ross, TinyStack.ross]
        configurations[1].picture = TinyStack.snapshots
        configurations[1].perceiver.cropPosition = .off
        for configuration in configurations {
            let model = try TinyStack.model(configuration)
            let ross = try #require(model.ross)
            let cache = try LatentCache(
                ContentStore(folder: folder, limit: 1 << 24), codec: ross.latents, in: model.store)
            let plain = ross.targets(of: [picture], device: .cpu)
            for hits in 0..<2 {
                let kept = ross.targets(of: [picture], keys: ["a"], cache: cache, device: .cpu)
                #expect(kept.bytes() == plain.bytes() && cache.store.use.hits == hits)
            }
        }
    }
}

enum LatentTests {
    /// What a codec makes of some pixels at a square of `side`.
    static func latent(of pixels: Pixels, side: Int, by codec: any LatentCodec) -> Tensor {
        let square = resized(pixels, width: side, height: side)
        return codec.encode(
            Tensor(square.planar(), shape: [1, 3, side, side]).to(.float32) * (2 / 255) - 1)
    }
}

/// Compares the derivative of a float64 `value` by `tensors` with its slopes along drawn directions, for each tensor.
func expectSlopes(
    _ tensors: [Tensor], within tolerance: Double = 1e-5,
    sourceLocation: SourceLocation = #_sourceLocation, _ value: () -> Tensor
) {
    for tensor in tensors { tensor.gradient = nil }
    value().backward()
    for (index, tensor) in tensors.enumerated() {
        let direction = Tensor.normal(
            tensor.shape, dtype: .float64, generator: Generator(seed: UInt64(index)))
        let derivative = tensor.gradient.map { ($0 * direction).sum().item() } ?? 0
        let slope = withoutGradients {
            let start = tensor.detached().cloned()
            let step = 1e-5
            let ends = [step, -step].map { by in
                tensor.copy(from: start + direction * by)
                return value().item()
            }
            tensor.copy(from: start)
            return (ends[0] - ends[1]) / (2 * step)
        }
        #expect(
            abs(slope - derivative) < tolerance * max(1e-2, abs(derivative)),
            "tensor \(index), \(tensor.shape): slope \(slope), derivative \(derivative)",
            sourceLocation: sourceLocation)
    }
}
