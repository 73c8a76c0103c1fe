import Testing

@testable import Torch

@Suite struct SiLUAttentionTests {
    /// The composed form, all scores at once.
    static func composed(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ factor: Double) -> Tensor {
        let scores = q.to(.float32).matmul(k.to(.float32).transposed(-2, -1))
        return (scores.silu() * factor).to(v.dtype).matmul(v)
    }

    static func leaf(_ shape: [Int], _ seed: UInt64, _ dtype: DType = .float32) -> Tensor {
        let tensor = (Tensor.normal(shape, generator: Generator(seed: seed)) * 0.5).to(dtype)
        tensor.requiresGradient = true
        return tensor
    }

    /// 1500 rows of queries make blocks of 11,184 keys: two blocks, the second a short one.
    @Test(arguments: [(1500, 12_000), (7, 33), (1, 1)])
    func blocksTogetherAreTheComposedForm(rows: Int, keys: Int) {
        var results: [[Tensor]] = []
        for isComposed in [true, false] {
            let (q, k, v) = (
                Self.leaf([1, 1, rows, 4], 1), Self.leaf([1, 1, keys, 4], 2),
                Self.leaf([1, 1, keys, 3], 3)
            )
            let out =
                isComposed
                ? Self.composed(q, k, v, 0.1)
                : Tensor.siluAttention(query: q, key: k, value: v, factor: 0.1)
            (out * Tensor.normal(out.shape, generator: Generator(seed: 4))).sum().backward()
            results.append([out] + [q, k, v].compactMap(\.gradient))
        }
        #expect(results[0].count == 4 && results[1].count == 4)
        for (a, b) in zip(results[0], results[1]) {
            let size = a.abs().max().item()
            #expect((a - b).abs().max().item() < 2e-5 * size)
        }
    }

    @Test func halfPrecisionKeepsItsType() {
        let (q, k, v) = (
            Self.leaf([2, 2, 5, 4], 1, .bfloat16), Self.leaf([2, 2, 9, 4], 2, .bfloat16),
            Self.leaf([2, 2, 9, 4], 3, .bfloat16)
        )
        let out = Tensor.siluAttention(query: q, key: k, value: v)
        #expect(out.dtype == .bfloat16)
        let expected = Self.composed(q.to(.float32), k.to(.float32), v.to(.float32), 1)
        #expect((out.to(.float32) - expected).abs().max().item() < 0.05)
        out.to(.float32).sum().backward()
        #expect(k.gradient?.dtype == .bfloat16)
    }

    @Test func frozenPartsGetNoGradient() {
        let (q, k) = (Self.leaf([1, 1, 3, 2], 1), Self.leaf([1, 1, 4, 2], 2))
        k.requiresGradient = false
        Tensor.siluAttention(query: q, key: k, value: k).sum().backward()
        #expect(q.gradient != nil && k.gradient == nil)
    }

    @Test func shapesThatDoNotFitTrap() async {
        await #expect(processExitsWith: .failure) {
            _ = Tensor.siluAttention(
                query: .zeros([1, 1, 2, 3]), key: .zeros([1, 1, 2, 4]),
                value: .zeros([1, 1, 2, 4]))
        }
    }
}
