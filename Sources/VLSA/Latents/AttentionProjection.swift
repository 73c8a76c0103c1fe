import Torch
import TorchNN

// Shapes: B batch, N tokens, W width that enters, C width that leaves, H heads.

/// DualToken's way from a tower's width to a code's (its `prequant_sem`): attention whose heads are
/// averaged instead of put side by side, beside a linear shortcut, then a gated feed-forward layer.
///
/// With LN normalising over the last axis: `y = proj(LN3(x)) + attn(LN1(x))`,
/// `out = y + w2(gelu(w0 u) · w1 u)`, `u = LN(LN2(y))`. Every token attends to every other.
struct AttentionProjection {
    let norm1: LayerNorm
    let entry: Tensor  // [3 W, W], rows of query, key, value
    let queryBias: Tensor  // [W]
    let valueBias: Tensor  // [W]; keys have none
    let exit: Linear
    let norm3: LayerNorm
    let shortcut: Linear
    let norm2: LayerNorm
    let innerNorm: LayerNorm
    let gate: Linear
    let up: Linear
    let down: Linear
    let headCount: Int

    /// `headCount` heads of width C each: `headCount * C` is W.
    init(_ width: Int, to codeWidth: Int, headCount: Int, in scope: ParameterScope) throws {
        self.headCount = headCount
        let (own, mlp, hidden) = (scope["attn"], scope["mlp"], 2 * codeWidth)
        norm1 = try LayerNorm(width, epsilon: 1e-5, in: scope["norm1"])
        entry = try own["qkv"].parameter("weight", shape: [3 * width, width], initial: .fanIn)
        queryBias = try own.parameter("q_bias", shape: [width], initial: .zeros)
        valueBias = try own.parameter("v_bias", shape: [width], initial: .zeros)
        exit = try Linear(codeWidth, codeWidth, in: own["proj"])
        norm3 = try LayerNorm(width, epsilon: 1e-5, in: scope["norm3"])
        shortcut = try Linear(width, codeWidth, in: scope["proj"])
        norm2 = try LayerNorm(codeWidth, epsilon: 1e-5, in: scope["norm2"])
        innerNorm = try LayerNorm(codeWidth, epsilon: 1e-6, in: mlp["norm"])
        gate = try Linear(codeWidth, hidden, in: mlp["w0"])
        up = try Linear(codeWidth, hidden, in: mlp["w1"])
        down = try Linear(hidden, codeWidth, in: mlp["w2"])
    }

    /// `[B, N, W]` to `[B, N, C]`.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let y = shortcut(norm3(x)) + attention(norm1(x))
        let inner = innerNorm(norm2(y))
        return y + down(.gated(.geluTanh, gate: gate(inner), up: up(inner)))
    }

    private func attention(_ x: Tensor) -> Tensor {
        let width = x.shape[2]
        let weights = entry.split(sizes: [width, width, width], axis: 0)
        let heads = Tensor.attention(
            query: x.linear(weights[0], bias: queryBias).splitHeads(headCount),
            key: x.linear(weights[1], bias: nil).splitHeads(headCount),
            value: x.linear(weights[2], bias: valueBias).splitHeads(headCount))  // [B, H, N, C]
        return exit(heads.mean(axis: 1))
    }
}
