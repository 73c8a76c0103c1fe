import Torch
import TorchNN

// Shapes: M places, D depths, E width, C width of a code's vector, K codes.

/// Predicts a place's codes one depth after the other: ASVR's visual head (arXiv:2506.09040, after RQ-Transformer,
/// arXiv:2203.01941), under the names of the released files.
///
/// The sequence of a place has one slot a depth. The first holds what the decoder says of the place, slot d the sum of the
/// vectors of the codes before depth d; slot d names the code of depth d with a head of its own.
struct DepthTransformer {
    let codeEntry: Linear?  // nil with one depth, where no code comes before another
    let layers: [DepthLayer]
    let norm: RMSNorm
    let heads: [Linear]

    /// - Parameters:
    ///   - depth: D.
    ///   - codeCount: K.
    ///   - codeWidth: C.
    init(
        width: Int, layerCount: Int, headCount: Int, depth: Int, codeCount: Int, codeWidth: Int,
        in scope: ParameterScope
    ) throws {
        codeEntry = depth > 1 ? try Linear(codeWidth, width, in: scope["in_mlp_1"]) : nil
        layers = try (0..<layerCount).map { index in
            try DepthLayer(
                width: width, headCount: headCount, depth: depth,
                in: scope["head_transformer"][index])
        }
        norm = try RMSNorm(width, epsilon: 1e-6, in: scope["headnorm"])
        heads = try (0..<depth).map { try Linear(width, codeCount, in: scope["heads"][$0]) }
    }

    /// - Parameters:
    ///   - first: what the first slot holds, `[M, E]`.
    ///   - vectors: of the codes, `[M, D, C]`; nil with one depth.
    /// - Returns: what the heads read, `[M, D, E]`.
    func callAsFunction(_ first: Tensor, vectors: Tensor?) -> Tensor {
        norm(layers.reduce(slots(first, vectors: vectors)) { $1($0) })
    }

    /// The sequences, `[M, D, E]`.
    func slots(_ first: Tensor, vectors: Tensor?) -> Tensor {
        let opening = first.unsqueezed(1)
        guard let codeEntry, let vectors else { return opening }
        let before = vectors.narrowed(axis: 1, start: 0, length: heads.count - 1)
            .cumulativeSum(axis: 1)
        return Tensor.concatenated([opening, codeEntry(before.to(first.dtype))], axis: 1)
    }

    /// Cross-entropy summed over places and depths, a float32 scalar.
    ///
    /// - Parameters:
    ///   - read: what the heads read, `[M, D, E]`.
    ///   - codes: int64 `[M, D]`.
    func loss(_ read: Tensor, codes: Tensor) -> Tensor {
        heads.indices.map { depth in
            let rows = read[.all, depth]
            let (weight, bias) = (heads[depth].weight, heads[depth].bias)
            // The bias as one column more, so that logits need not all be in memory.
            guard let bias else { fatalError("a head of codes without bias") }
            return Tensor.linearCrossEntropy(
                hidden: .concatenated(
                    [rows, rows.narrowed(axis: 1, start: 0, length: 1).onesLike()], axis: 1),
                weight: .concatenated([weight, bias.unsqueezed(1)], axis: 1),
                targets: codes[.all, depth].contiguous())
        }.reduce(Tensor.zeros([], device: read.device)) { $0 + $1 }
    }
}

/// Attention of a slot to itself and those before it, then a feed-forward layer of each depth's own.
///
/// As published, what the second residual carries on is the normed value: `r = norm(x + attention)`, `r + mlp_d(r)`.
struct DepthLayer {
    let norm1: RMSNorm
    let entryWeight: Tensor  // [3 E, E]: query, key, value
    let entryBias: Tensor
    let exit: Linear
    let norm2: RMSNorm
    let first: Tensor  // [2 E, D E]: of each depth its own columns
    let second: Tensor  // [E, D 2 E]
    let headCount: Int

    init(width: Int, headCount: Int, depth: Int, in scope: ParameterScope) throws {
        self.headCount = headCount
        let attention = scope["self_attention"]
        norm1 = try RMSNorm(width, epsilon: 1e-6, in: scope["layernorm1"])
        // PyTorch's own starting values of an attention.
        entryWeight = try attention.parameter(
            "in_proj_weight", shape: [3 * width, width],
            initial: .uniform(bound: (6 / Double(4 * width)).squareRoot()))
        entryBias = try attention.parameter("in_proj_bias", shape: [3 * width], initial: .zeros)
        exit = try Linear(
            width, width, initial: .uniform(bound: 1 / Double(width).squareRoot()),
            in: attention["out_proj"])
        norm2 = try RMSNorm(width, epsilon: 1e-6, in: scope["layernorm2"])
        first = try scope["linear1"].parameter(
            "weight", shape: [2 * width, depth * width], initial: .fanIn)
        second = try scope["linear2"].parameter(
            "weight", shape: [width, depth * 2 * width], initial: .fanIn)
    }

    /// - Parameter x: `[M, D, E]`; so is the result.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let heads = norm1(x).linear(entryWeight, bias: entryBias).chunked(3, axis: -1)
            .map { $0.splitHeads(headCount) }
        let seen = Tensor.attention(
            query: heads[0], key: heads[1], value: heads[2], isCausal: true
        ).joinedHeads()
        let carried = norm2(x + exit(seen))
        return carried + fed(carried)
    }

    private func fed(_ x: Tensor) -> Tensor {
        let (depth, width) = (x.shape[1], x.shape[2])
        let entry = first.reshaped([2 * width, depth, width]).permuted([1, 2, 0])  // [D, E, 2 E]
        let exit = second.reshaped([width, depth, 2 * width]).permuted([1, 2, 0])  // [D, 2 E, E]
        return x.transposed(0, 1).matmul(entry).gelu().matmul(exit).transposed(0, 1)
    }
}
