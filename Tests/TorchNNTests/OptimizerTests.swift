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
            let remainder = try #require(state["w\(index).remainder"])
            #expect(remainder.dtype == .int16 && Set(remainder.ints()).count > 20)
            let master = masterOf(weight, state, "w\(index)")
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

    /// A master beside a weight, and one made of the weight and its remainder, are the same to the bit: in one pass, and by
    /// libtorch, which takes a weight that is not in one piece.
    @Test(arguments: [true, false])
    func aRemainderIsWorthAWholeMaster(_ inOnePiece: Bool) {
        let generator = Generator(seed: 12)
        func made(_ dtype: DType) -> Tensor {
            let tensor = Tensor.zeros(inOnePiece ? [70, 501] : [501, 70], dtype: dtype)
            return inOnePiece ? tensor : tensor.transposed(0, 1)
        }
        let start = Tensor.normal([70, 501], dtype: .bfloat16, generator: generator)
        let weights = [made(.bfloat16), made(.bfloat16)]
        for weight in weights { weight.copy(from: start) }
        let master = made(.float32)
        master.copy(from: start)
        let remainder = made(.int16)
        let moments = (0..<4).map { _ in made(.float32) }
        for step in 1...6 {
            let gradient = Tensor.normal([70, 501], dtype: .bfloat16, generator: generator)
            for (index, beside) in [master, remainder].enumerated() {
                updateAdamW(
                    AdamWSettings(
                        rate: 3e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.1, step: step,
                        gradientFactor: 0.5),
                    weights: [weights[index]], gradients: [gradient], masters: [beside],
                    firstMoments: [moments[2 * index]], secondMoments: [moments[2 * index + 1]])
            }
        }
        #expect(weights[0].bytes() == weights[1].bytes())
        let joined = masterOf(weights[1], ["w.remainder": remainder], "w")
        // Ties that round down lose one unit of the last place: some in 2^17 steps of a weight.
        let differences = zip(joined.bitCast(to: .int32).ints(), master.bitCast(to: .int32).ints())
            .map { $1 - $0 }
        #expect(differences.allSatisfy { abs($0) <= 8 })
        #expect(differences.count { $0 != 0 } < 20)
    }

    /// Every kind of remainder: both signs, both ties, and numbers too small to be normal.
    @Test func onlyATieRoundedDownLosesAPlace() {
        let words: [UInt32] = [
            0x3f80_0000, 0x3f80_7fff, 0x3f80_8000, 0x3f80_8001, 0x3f81_7fff, 0x3f81_8000,
            0x3f81_8001, 0xbf80_8000,
            0xbf81_8000, 0xc12f_ffff, 0x0000_8000, 0x0001_8000, 0x8000_0001, 0x4d7f_ffff,
            0x0080_0000, 0x3f80_ffff,
        ]
        let values = Tensor(words.map { Float(bitPattern: $0) }, shape: [words.count])
        let weight = Tensor.zeros([words.count], dtype: .bfloat16)
        let remainder = Tensor.zeros([words.count], dtype: .int16)
        // The gradient becomes the master: an epsilon beside which it vanishes, and a rate that takes it back.
        let most = 0x1p100
        updateAdamW(
            AdamWSettings(rate: -most, beta1: 0, beta2: 0.5, epsilon: most, decay: 0, step: 1),
            weights: [weight], gradients: [values], masters: [remainder],
            firstMoments: [.zeros([words.count])], secondMoments: [.zeros([words.count])])
        #expect(weight.bytes() == values.to(.bfloat16).bytes())
        let masters = masterOf(weight, ["w.remainder": remainder], "w").floats().map(\.bitPattern)
        for (found, word) in zip(masters, words) {
            #expect(found == (word & 0x1_ffff == 0x8000 ? word - 1 : word))
        }
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
