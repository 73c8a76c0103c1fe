import CTorch
import Testing

@testable import Torch

/// Attention large enough for blocks, against scores in fp64, on every kind of processor that this one can be.
@Suite(.serialized) struct BlockAttentionTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        let heads: Int, shared: Int, queries: Int, keys: Int, width: Int, depth: Int
        var causal = false
        var mask = Mask.none

        enum Mask: Sendable { case none, bool, bias }

        var testDescription: String {
            "\(heads)/\(shared) heads, \(queries) x \(keys), \(width)/\(depth)\(causal ? ", causal" : "") \(mask)"
        }
    }

    /// A type on a kind of processor, and how far from the exact result it may be in the mean square: bf16 keeps 0.2
    /// to 0.4 %.
    struct Kernel: Sendable, CustomTestStringConvertible {
        let dtype: DType
        let most: ct_instructions
        var tolerance: Double { dtype == .float32 ? 2e-6 : 6e-3 }
        var testDescription: String { "\(dtype), instructions \(most.rawValue)" }
    }

    static let kernels = [
        Kernel(dtype: .bfloat16, most: CT_MATRIX_UNIT),
        Kernel(dtype: .bfloat16, most: CT_AVX512_BF16),
        Kernel(dtype: .bfloat16, most: CT_AVX512),
        Kernel(dtype: .float32, most: CT_AVX512), Kernel(dtype: .float32, most: CT_AVX2),
        Kernel(dtype: .float32, most: CT_PORTABLE),
    ]

    static let shapes: [Shape] = [
        Shape(heads: 2, shared: 2, queries: 577, keys: 577, width: 64, depth: 64),
        Shape(heads: 4, shared: 2, queries: 75, keys: 290, width: 72, depth: 72),
        Shape(heads: 4, shared: 1, queries: 300, keys: 300, width: 40, depth: 40, causal: true),
        Shape(heads: 2, shared: 2, queries: 130, keys: 70, width: 64, depth: 64, causal: true),
        Shape(heads: 2, shared: 2, queries: 70, keys: 130, width: 64, depth: 64, causal: true),
        Shape(heads: 2, shared: 1, queries: 100, keys: 290, width: 32, depth: 32, mask: .bool),
        Shape(heads: 2, shared: 2, queries: 33, keys: 65, width: 16, depth: 16, mask: .bias),
        Shape(heads: 2, shared: 1, queries: 17, keys: 150, width: 20, depth: 52),
        // Few heads and many keys, which are taken in parts backward.
        Shape(heads: 1, shared: 1, queries: 75, keys: 1001, width: 64, depth: 64),
    ]

    static func leaf(_ shape: [Int], _ seed: UInt64, _ dtype: DType = .bfloat16) -> Tensor {
        // By token, as a model's products give them.
        let tensor = Tensor.normal(
            [shape[0], shape[2], shape[1], shape[3]], generator: Generator(seed: seed)
        ).to(dtype).transposed(1, 2)
        tensor.requiresGradient = true
        return tensor
    }

    static func wide(_ tensor: Tensor) -> Tensor {
        let copy = tensor.detached().to(.float64)
        copy.requiresGradient = true
        return copy
    }

    /// Root of the mean square of the difference, over that of the expected.
    static func distance(_ found: Tensor, _ expected: Tensor) -> Double {
        ((found.to(.float64) - expected).norm() / expected.norm()).item()
    }

    @Test(arguments: shapes, kernels) func isTheComposedForm(_ shape: Shape, _ kernel: Kernel)
        throws
    {
        ct_limit_instructions(kernel.most)
        defer { ct_limit_instructions(CT_MATRIX_UNIT) }
        let narrow = [
            Self.leaf([2, shape.heads, shape.queries, shape.width], 1, kernel.dtype),
            Self.leaf([2, shape.shared, shape.keys, shape.width], 2, kernel.dtype),
            Self.leaf([2, shape.shared, shape.keys, shape.depth], 3, kernel.dtype),
        ]
        let exact = narrow.map(Self.wide)
        let group = shape.heads / shape.shared
        var mask: Tensor?
        if shape.mask != .none {
            // Row 0 of the bool mask sees nothing.
            let drawn = Tensor.uniform(
                [2, 1, shape.queries, shape.keys], generator: Generator(seed: 9))
            let rows = Tensor.arange(shape.queries).reshaped([shape.queries, 1])
            mask =
                shape.mask == .bool
                ? (drawn .> 0.4).logicalAnd(rows .> 0)
                : (drawn * 4).to(kernel.dtype)
        }
        let found = Tensor.attention(
            query: narrow[0], key: narrow[1], value: narrow[2], mask: mask, isCausal: shape.causal)
        var scores =
            exact[0].matmul(exact[1].repeated(by: group).transposed(-2, -1))
            / Double(shape.width).squareRoot()
        if shape.causal {
            let hidden = Tensor.ones([shape.queries, shape.keys], dtype: .bool)
                .upperTriangle(diagonal: 1)
            scores = scores.filled(where: hidden, with: -1e30)
        }
        if let mask, shape.mask == .bias { scores = scores + mask.to(.float64) }
        var weights: Tensor
        if let mask, shape.mask == .bool {
            weights =
                scores.filled(where: mask.logicalNot(), with: -1e30).softmax(axis: -1)
                * mask.to(.float64)
        } else {
            weights = scores.softmax(axis: -1)
        }
        let expected = weights.matmul(exact[2].repeated(by: group))
        #expect(found.dtype == kernel.dtype && found.allFinite())
        #expect(Self.distance(found.detached(), expected.detached()) < kernel.tolerance)
        let cotangent = Tensor.normal(found.shape, generator: Generator(seed: 4)).to(kernel.dtype)
        (found * cotangent).sum().backward()
        (expected * cotangent.to(.float64)).sum().backward()
        for (a, b) in zip(narrow, exact) {
            #expect(
                Self.distance(try #require(a.gradient), try #require(b.gradient)) < kernel.tolerance
            )
        }
    }

    @Test(arguments: [(1, 64), (4, 40)], kernels)
    func siluWeightsToo(heads: (Int, width: Int), kernel: Kernel) throws {
        ct_limit_instructions(kernel.most)
        defer { ct_limit_instructions(CT_MATRIX_UNIT) }
        let (heads, width) = heads
        let narrow = [
            Self.leaf([2, heads, 100, width], 1, kernel.dtype),
            Self.leaf([2, heads, 290, width], 2, kernel.dtype),
            Self.leaf([2, heads, 290, 48], 3, kernel.dtype),
        ]
        let exact = narrow.map(Self.wide)
        let found = Tensor.siluAttention(
            query: narrow[0], key: narrow[1], value: narrow[2], factor: 0.3)
        let scores = exact[0].matmul(exact[1].transposed(-2, -1))
        let expected = (scores.silu() * 0.3).matmul(exact[2])
        #expect(Self.distance(found.detached(), expected.detached()) < kernel.tolerance)
        let cotangent = Tensor.normal(found.shape, generator: Generator(seed: 4)).to(kernel.dtype)
        (found * cotangent).sum().backward()
        (expected * cotangent.to(.float64)).sum().backward()
        for (a, b) in zip(narrow, exact) {
            #expect(
                Self.distance(try #require(a.gradient), try #require(b.gradient)) < kernel.tolerance
            )
        }
    }

    @Test func onlyWantedDerivativesAreComputedAndRunsAreEqual() throws {
        let leaves = [
            Self.leaf([1, 2, 80, 32], 1), Self.leaf([1, 2, 80, 32], 2),
            Self.leaf([1, 2, 80, 32], 3),
        ]
        for wanted in 0..<3 {
            var runs: [[Float]] = []
            for _ in 0..<2 {
                let inputs = leaves.map { $0.detached() }
                inputs[wanted].requiresGradient = true
                Tensor.attention(query: inputs[0], key: inputs[1], value: inputs[2]).sum()
                    .backward()
                for (index, tensor) in inputs.enumerated() where index != wanted {
                    #expect(tensor.gradient == nil)
                }
                runs.append(try #require(inputs[wanted].gradient).to(.float32).floats())
            }
            #expect(runs[0] == runs[1])
        }
    }

    /// Few heads and many keys, which several threads divide among them backward; a process of its own, since the number
    /// of threads is everybody's.
    @Test func keysInPartsGiveTheSame() async {
        await #expect(processExitsWith: .success) {
            func derivatives(threads: Int) -> [Tensor] {
                TorchRuntime.threads = threads
                let leaves = [75, 1001, 1001].enumerated().map {
                    BlockAttentionTests.leaf([1, 1, $1, 64], UInt64($0), .float32)
                }
                Tensor.attention(query: leaves[0], key: leaves[1], value: leaves[2]).square().sum()
                    .backward()
                return leaves.map { $0.gradient! }
            }
            for (alone, together) in zip(derivatives(threads: 1), derivatives(threads: 4)) {
                guard BlockAttentionTests.distance(together, alone.to(.float64)) < 2e-6 else {
                    fatalError("parts do not add up")
                }
            }
        }
    }

    @Test func withoutTheMatrixUnitTheResultIsNearlyTheSame() {
        defer { ct_limit_instructions(CT_MATRIX_UNIT) }
        let (q, k, v) = (
            Self.leaf([1, 2, 90, 32], 1), Self.leaf([1, 2, 90, 32], 2),
            Self.leaf([1, 2, 90, 32], 3)
        )
        let first = Tensor.attention(query: q, key: k, value: v).detached()
        ct_limit_instructions(CT_AVX512)
        let second = Tensor.attention(query: q, key: k, value: v).detached()
        #expect(Self.distance(first, second.to(.float64)) < 6e-3)
    }
}

extension Tensor {
    /// Each head `count` times, as query heads that share it see it.
    fileprivate func repeated(by count: Int) -> Tensor { repeated(count, axis: 1) }
}
