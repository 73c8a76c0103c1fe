import Foundation
import Testing
import Torch

@testable import TorchNN

@Suite struct LossScalerTests {
    @Test func theScaleFollowsOverflows() throws {
        var scaler = LossScaler(scale: 8, interval: 2)
        scaler.succeeded()
        #expect(scaler.scale == 8)
        scaler.succeeded()
        #expect(scaler.scale == 16)
        scaler.succeeded()
        #expect(scaler.overflowed() && scaler.scale == 8 && scaler.steady == 0)
        let saved = try JSONEncoder().encode(scaler)
        #expect(try JSONDecoder().decode(LossScaler.self, from: saved) == scaler)
        for expected in [4.0, 2, 1] { #expect(scaler.overflowed() && scaler.scale == expected) }
        #expect(!scaler.overflowed() && scaler.scale == 1)
        scaler = LossScaler(scale: LossScaler.largest, interval: 1)
        scaler.succeeded()
        #expect(scaler.scale == LossScaler.largest)
    }

    /// A gradient far below fp16's smallest number still moves the weight, by what fp32 moves it.
    @Test func scaledGradientsOfHalfPrecisionDoNotVanish() {
        func trained(_ dtype: DType, scale: Double) -> [Float] {
            let weight = Tensor([1, -2, 3, 0.5] as [Float], shape: [4]).to(dtype)
            weight.requiresGradient = true
            let slopes = Tensor([1, 2, -1, 3] as [Float], shape: [4]).to(dtype)
            let optimizer = AdamW(
                groups: [
                    ParameterGroup(name: "w", parameters: [("w", weight)], rate: 0.01, decay: 0)
                ],
                epsilon: 1e-12)
            for _ in 0..<5 {
                let loss = (weight * slopes).to(.float32).sum() * 1e-9
                (loss * scale).backward()
                optimizer.step(gradientFactor: 1 / scale)
                optimizer.clearGradients()
            }
            let state = Dictionary(uniqueKeysWithValues: optimizer.state)
            return masterOf(weight, state, "w").floats()
        }
        let expected = trained(.float32, scale: 1)
        #expect(trained(.float16, scale: 1) == [1, -2, 3, 0.5])
        for (a, b) in zip(trained(.float16, scale: 65_536), expected) { #expect(abs(a - b) < 1e-4) }
        #expect(expected[0] < 0.96)
    }

    @Test(arguments: [DType.bfloat16, .float16])
    func wideGradientsOfNarrowWeightsAreTakenAsTheyAre(_ dtype: DType) {
        let generator = Generator(seed: 5)
        let start = Tensor.normal([50_000], dtype: dtype, generator: generator)
        let gradient = Tensor.normal([50_000], generator: generator)
        func master(_ weight: Tensor, factor: Double) -> [Float] {
            weight.requiresGradient = true
            weight.gradient = gradient
            let optimizer = AdamW(
                groups: [
                    ParameterGroup(name: "w", parameters: [("w", weight)], rate: 0.1, decay: 0.1)
                ])
            optimizer.step(gradientFactor: factor)
            let state = Dictionary(uniqueKeysWithValues: optimizer.state)
            #expect((state["w.exp_avg"]?.floats()[7] ?? 0) != 0)
            #expect(
                state["w.exp_avg"].map {
                    abs($0.floats()[7] - 0.1 * Float(factor) * gradient.floats()[7])
                }
                    ?? 1 < 1e-6)
            return masterOf(weight, state, "w").floats()
        }
        let narrow = master(start.cloned(), factor: 0.5)
        let wide = master(start.to(.float32), factor: 0.5)
        // Of bf16, a tie that was rounded down is one unit of the last place off.
        #expect(zip(narrow, wide).allSatisfy { abs($0 - $1) <= abs($1).ulp })
        #expect(zip(narrow, wide).count { $0 != $1 } < (dtype == .bfloat16 ? 500 : 1))
    }

    /// 512 micro-batches of a gradient that bf16 could not add to its sum any more.
    @Test func microBatchesAreSummedWide() throws {
        let narrow = Tensor.zeros([3], dtype: .bfloat16)
        let wide = Tensor.zeros([3])
        for weight in [narrow, wide] { weight.requiresGradient = true }
        let sum = GradientSum([narrow, wide])
        for _ in 0..<512 {
            ((narrow.to(.float32) + wide) * 1.0).sum().backward()
            sum.add()
        }
        #expect(narrow.gradient == nil)
        sum.finish()
        #expect(try #require(narrow.gradient).floats() == [512, 512, 512])
        #expect(try #require(wide.gradient).floats() == [512, 512, 512])
        narrow.gradient = nil
        sum.finish()
        #expect(narrow.gradient == nil)
    }
}
