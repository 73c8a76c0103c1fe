import Foundation
import Testing

@testable import Torch

@Suite struct LayerTests {
    private let generator = Generator(seed: 11)

    private func normal(_ shape: [Int], _ dtype: DType = .float64) -> Tensor {
        Tensor.normal(shape, dtype: dtype, generator: generator)
    }

    @Test func matmulIsTheSumOverTheSharedAxis() {
        let a = Tensor(doubles: [1, 2, 3, 4], shape: [2, 2])
        let b = Tensor(doubles: [0, 1, 1, 0], shape: [2, 2])
        #expect(a.matmul(b).doubles() == [2, 1, 4, 3])
        #expect(normal([3, 1, 2, 4]).matmul(normal([5, 4, 6])).shape == [3, 5, 2, 6])
        let (x, w) = (normal([3, 4]), normal([2, 4]))
        expectClose(x.linear(w), x.matmul(w.transposed(0, 1)), absolute: 1e-12)
    }

    @Test func attentionIsSoftmaxOfScaledScores() {
        let (q, k, v) = (normal([2, 3, 4, 5]), normal([2, 3, 6, 5]), normal([2, 3, 6, 5]))
        let scores = q.matmul(k.transposed(-2, -1)) / 5.0.squareRoot()
        let expected = scores.softmax(axis: -1).matmul(v)
        expectClose(Tensor.attention(query: q, key: k, value: v), expected, absolute: 1e-12)

        let seen = Tensor.ones([4, 6], dtype: .bool).lowerTriangle()
        let masked = scores.filled(where: seen.logicalNot(), with: -.infinity).softmax(axis: -1)
            .matmul(v)
        expectClose(
            Tensor.attention(query: q, key: k, value: v, mask: seen), masked, absolute: 1e-12)
        expectClose(
            Tensor.attention(query: q, key: k, value: v, isCausal: true), masked, absolute: 1e-12)
    }

    /// Sizes on both sides of the bound up to which the scores are kept.
    @Test(arguments: [90, 200])
    func attentionIsTheSameForManyScores(_ length: Int) throws {
        let shape = [2, 32, length, 8]
        let heads = (0..<3).map { _ in normal(shape, .float32) }
        let wide = heads.map { $0.to(.float64) }
        for tensor in heads + wide { tensor.requiresGradient = true }
        let found = Tensor.attention(
            query: heads[0], key: heads[1], value: heads[2], isCausal: true)
        let hidden = Tensor.ones([length, length], dtype: .bool).upperTriangle(diagonal: 1)
        let scores = wide[0].matmul(wide[1].transposed(-2, -1)) / 8.0.squareRoot()
        let weights = scores.filled(where: hidden, with: -.infinity).softmax(axis: -1)
        let expected = weights.matmul(wide[2])
        expectClose(found.detached(), expected.detached(), absolute: 1e-5)
        found.square().sum().backward()
        expected.square().sum().backward()
        for (a, b) in zip(heads, wide) {
            expectClose(try #require(a.gradient), try #require(b.gradient), absolute: 1e-4)
        }
    }

    @Test func aQueryThatSeesNothingGetsZeros() {
        let mask = Tensor([true, true, false, false], shape: [2, 2])
        let q = normal([1, 1, 2, 4])
        let out = Tensor.attention(query: q, key: q, value: q, mask: mask)
        #expect(out[0, 0, 1].doubles() == [0, 0, 0, 0] && out.allFinite())
    }

    @Test func productsOfFp32AreExact() {
        let values = Tensor.arange(4096, dtype: .float32).reshaped([64, 64]) / 4096 + 1
        let identity = Tensor.ones([64, 64]).lowerTriangle().upperTriangle()
        #expect(values.matmul(identity).floats() == values.floats())
    }

    @Test(arguments: [DType.float64, .float32, .bfloat16])
    func groupedQueriesShareTheirKeysInARow(_ dtype: DType) {
        let (q, k, v) = (
            normal([2, 6, 4, 8], dtype), normal([2, 2, 5, 8], dtype), normal([2, 2, 5, 8], dtype)
        )
        let grouped = Tensor.attention(query: q, key: k, value: v)
        let expanded = Tensor.attention(
            query: q, key: k.repeated(3, axis: 1), value: v.repeated(3, axis: 1))
        expectClose(grouped, expanded, absolute: dtype == .bfloat16 ? 2e-2 : 1e-6)
    }

    @Test func rmsNormCastsBackBeforeTheWeight() {
        let x = normal([4, 8], .bfloat16)
        let weight = normal([8], .bfloat16)
        let wide = x.to(.float32)
        let normed = (wide * (wide.square().mean(axis: -1, keepingAxis: true) + 1e-6).rsqrt()).to(
            .bfloat16)
        expectClose(x.rmsNorm(weight: weight, epsilon: 1e-6), normed * weight)
    }

    /// The one-pass forms against the composed ones, values and derivatives.
    @Test func onePassFormsEqualTheComposedOnes() throws {
        let weight = normal([8])
        let inputs = (0..<2).map { _ in normal([2, 50, 3, 8]) }
        let (x, y) = (inputs[0].cloned(), inputs[0].cloned())
        for tensor in [x, y] { tensor.requiresGradient = true }
        let scale = (y.square().mean(axis: -1, keepingAxis: true) + 1e-5).rsqrt()
        let (fused, composed) = (x.rmsNorm(weight: weight, epsilon: 1e-5), y * scale * weight)
        expectClose(fused.detached(), composed.detached(), absolute: 1e-12)
        let angles = normal([50, 8])
        let (cosines, sines) = (angles.cos(), angles.sin())
        func turned(_ z: Tensor) -> Tensor {
            let halves = z.chunked(2, axis: -1)
            return z * cosines + Tensor.concatenated([-halves[1], halves[0]], axis: -1) * sines
        }
        let one = fused.transposed(1, 2).rotated(cosines: cosines, sines: sines)
        let two = turned(composed.transposed(1, 2))
        expectClose(one.detached(), two.detached(), absolute: 1e-12)
        let cotangent = inputs[1].transposed(1, 2)
        (one * cotangent).sum().backward()
        (two * cotangent).sum().backward()
        expectClose(try #require(x.gradient), try #require(y.gradient), absolute: 1e-12)
    }

    @Test func normsHaveZeroMeanAndUnitVariance() {
        let normed = normal([3, 50]).layerNorm(weight: nil, bias: nil, epsilon: 0)
        expectValues(normed.mean(axis: 1), [0, 0, 0], shape: [3])
        expectValues(normed.variance(axis: 1, unbiased: false), [1, 1, 1], shape: [3])
        let grouped = normal([2, 4, 10]).groupNorm(groups: 2, weight: nil, bias: nil, epsilon: 0)
        expectValues(grouped.reshaped([4, 20]).mean(axis: 1), [0, 0, 0, 0], shape: [4])
    }

    @Test func crossEntropyIsFp32AndSkipsIgnoredTargets() {
        let logits = normal([4, 6], .bfloat16)
        let targets = Tensor([5, -100, 0, 2], shape: [4])
        let each = Tensor.crossEntropy(logits: logits, targets: targets, reduction: .none)
        #expect(each.dtype == .float32 && each.floats()[1] == 0)
        let logs = logits.to(.float64).logSoftmax(axis: 1).doubles()
        let expected = [-logs[5], 0, -logs[12], -logs[20]]
        expectValues(each, expected, shape: [4], tolerance: 1e-6)
        let sum = Tensor.crossEntropy(logits: logits, targets: targets, reduction: .sum)
        expectValues(sum, [expected.reduce(0, +)], shape: [], tolerance: 1e-5)
        let mean = Tensor.crossEntropy(logits: logits, targets: targets)
        expectValues(mean, [expected.reduce(0, +) / 3], shape: [], tolerance: 1e-6)
    }

    @Test func resizingToTheSameSizeChangesNothing() {
        let x = normal([1, 2, 4, 5])
        expectClose(x.resizedBicubic(height: 4, width: 5), x, absolute: 1e-12)
        expectClose(x.resizedBilinear(height: 4, width: 5), x, absolute: 1e-12)
        #expect(x.upsampledNearest(factor: 3).shape == [1, 2, 12, 15])
        expectClose(x.upsampledNearest()[.all, .all, 0, 0], x[.all, .all, 0, 0])
    }
}
