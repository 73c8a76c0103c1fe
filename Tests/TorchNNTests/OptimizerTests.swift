import Foundation
import Testing
import Torch

@testable import TorchNN

@Suite struct OptimizerTests {
    @Test func otherSchedulesHaveTheirClosedForms() {
        let linear = Schedule(.linear, warmup: 4, total: 12, floor: 0.1)
        #expect(linear.multiplier(1) == 0.25 && linear.multiplier(4) == 1)
        #expect(
            abs(linear.multiplier(8) - 0.55) < 1e-12 && abs(linear.multiplier(40) - 0.1) < 1e-12)
        let constant = Schedule(.constant, total: 5)
        #expect((0..<9).allSatisfy { constant.multiplier($0) == 1 })
        #expect(Schedule(.cosine, total: 0).multiplier(0).isFinite)
    }

    /// Some weights with gradients from a fixed stream.
    private func trained(
        _ dtype: DType, steps: Range<Int>, from state: SafetensorsFile? = nil,
        weights: [Tensor]? = nil
    ) throws -> (optimizer: AdamW, weights: [Tensor]) {
        let shapes = [[40, 30], [30], [70_000]]
        let start = Generator(seed: 9)
        let weights =
            weights ?? shapes.map { Tensor.normal($0, dtype: dtype, generator: start) }
        let group = ParameterGroup(
            name: "all", parameters: weights.enumerated().map { ("w\($0)", $1) }, rate: 0.01,
            decay: 0.1)
        let optimizer = AdamW(groups: [group])
        if let state { try optimizer.restore(from: state) }
        for step in steps {
            let generator = Generator(seed: UInt64(step))
            for weight in weights {
                weight.requiresGradient = true
                weight.gradient = Tensor.normal(weight.shape, dtype: dtype, generator: generator)
            }
            if step == 2 { weights[1].gradient = nil }
            optimizer.step(rateMultiplier: 1 / Double(1 + step))
        }
        return (optimizer, weights)
    }

    @Test(arguments: [DType.float32, .bfloat16, .float16, .float64])
    func aRestoredRunEqualsAnUnbrokenOneToTheBit(_ dtype: DType) throws {
        try withTemporaryFolder { folder in
            let unbroken = try trained(dtype, steps: 0..<6)
            let first = try trained(dtype, steps: 0..<3)
            let path = folder + "/optimizer.safetensors"
            try SafetensorsFile.write(first.optimizer.state, to: path)
            let second = try trained(
                dtype, steps: 3..<6, from: try SafetensorsFile(path: path),
                weights: first.weights.map { $0.detached().cloned() })
            for (a, b) in zip(unbroken.weights, second.weights) { #expect(a.bytes() == b.bytes()) }
            for (a, b) in zip(unbroken.optimizer.state, second.optimizer.state) {
                #expect(a.0 == b.0 && a.1.bytes() == b.1.bytes())
            }
        }
    }

    @Test func halfPrecisionWeightsAreRoundedMasters() throws {
        let half = try trained(.bfloat16, steps: 0..<6)
        let state = Dictionary(uniqueKeysWithValues: half.optimizer.state)
        for (index, weight) in half.weights.enumerated() {
            let master = try #require(state["w\(index).master"])
            #expect(master.dtype == .float32)
            #expect(master.to(.bfloat16).bytes() == weight.bytes())
        }
        // Updates far below the weight's precision are not lost in the master.
        let weight = Tensor.full([8], 256, dtype: .bfloat16)
        weight.requiresGradient = true
        let optimizer = AdamW(
            groups: [ParameterGroup(name: "w", parameters: [("w", weight)], rate: 0.1, decay: 0)])
        for _ in 0..<20 {
            weight.gradient = .ones([8], dtype: .bfloat16)
            optimizer.step()
        }
        #expect(weight.floats().allSatisfy { $0 == 254 })
    }

    /// The one-pass update against the same formula spelled out, over a size that several threads share.
    @Test func theUpdateIsTheFormulaOfThePaper() {
        let generator = Generator(seed: 4)
        let weight = Tensor.normal([70_000], dtype: .float64, generator: generator)
        var (w, m, v) = (weight.cloned(), weight.zerosLike(), weight.zerosLike())
        weight.requiresGradient = true
        let optimizer = AdamW(
            groups: [
                ParameterGroup(name: "w", parameters: [("w", weight)], rate: 0.02, decay: 0.3)
            ],
            beta1: 0.8, beta2: 0.95, epsilon: 1e-6)
        for step in 1...3 {
            let g = Tensor.normal([70_000], dtype: .float64, generator: generator)
            weight.gradient = g
            optimizer.step()
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g.square()
            let (c1, c2) = (1 - pow(0.8, Double(step)), 1 - pow(0.95, Double(step)))
            w = w * (1 - 0.02 * 0.3) - 0.02 * (m / c1) / ((v / c2).sqrt() + 1e-6)
        }
        expectClose(weight.detached(), w, absolute: 1e-12)
    }

    @Test func clippingKeepsSmallGradientsAndFindsWhatIsNotFinite() throws {
        let weights = [Tensor.zeros([3]), .zeros([4], dtype: .bfloat16), .zeros([2])]
        for weight in weights.prefix(2) {
            weight.requiresGradient = true
            weight.gradient = weight.onesLike().detached()
        }
        #expect(abs(clipGradients(of: weights, maxNorm: 10) - 7.0.squareRoot()) < 1e-6)
        #expect(try #require(weights[0].gradient).floats() == [1, 1, 1])
        clipGradients(of: weights, maxNorm: 1)
        #expect(abs(totalNorm(weights.compactMap(\.gradient)).item() - 1) < 5e-3)
        weights[0].gradient = Tensor([1, .infinity, 2] as [Float], shape: [3])
        #expect(!clipGradients(of: weights, maxNorm: 1).isFinite)
        #expect(clipGradients(of: [], maxNorm: 1) == 0)
    }

    @Test func foreignStateIsRefusedUnchanged() throws {
        let one = try trained(.float32, steps: 0..<2)
        let before = one.optimizer.state.map { $0.1.bytes() }
        #expect(throws: ParameterError.foreignState(reason: "\"w0.exp_avg\" is missing")) {
            try one.optimizer.restore { _ in nil }
        }
        let other = Dictionary(
            uniqueKeysWithValues: try trained(.float32, steps: 0..<3).optimizer.state)
        #expect(throws: ParameterError.self) {
            try one.optimizer.restore { $0 == "w2.exp_avg" ? Tensor.zeros([5]) : other[$0] }
        }
        #expect(one.optimizer.state.map { $0.1.bytes() } == before)
    }

    /// Ten thousand steps of a small loop, in a process of its own: memory stays where it was.
    @Test func trainingDoesNotLeak() async {
        await #expect(processExitsWith: .success) {
            TorchRuntime.threads = 1
            let store = ParameterStore(seed: 1)
            let first = try Linear(8, 16, in: store.scope["first"])
            let norm = try LayerNorm(16, epsilon: 1e-5, in: store.scope["norm"])
            let second = try Linear(16, 4, in: store.scope["second"])
            store.train([""])
            let optimizer = AdamW(
                groups: [
                    ParameterGroup(name: "all", parameters: store.trainable, rate: 1e-3, decay: 0)
                ])
            let generator = Generator(seed: 2)
            let targets = Tensor([0, 1, 2, 3, 0, 1], shape: [6])
            func step() {
                optimizer.clearGradients()
                let x = Tensor.normal([6, 8], generator: generator)
                let logits = second(norm(first(x)).gelu())[.ellipsis, 0..<4]
                Tensor.crossEntropy(logits: logits, targets: targets).backward()
                clipGradients(of: optimizer.tensors, maxNorm: 1)
                optimizer.step()
            }
            for _ in 0..<1000 { step() }
            let before = TorchRuntime.residentBytes
            for _ in 0..<10_000 { step() }
            let growth = TorchRuntime.residentBytes - before
            exit(growth < 1 << 20 ? 0 : 1)
        }
    }
}
