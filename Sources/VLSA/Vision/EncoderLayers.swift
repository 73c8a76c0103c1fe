import Torch
import TorchNN

// Shapes: B batch, N tokens, D width, F feed-forward width, H heads.

/// Attention of every token to every token.
struct EncoderAttention {
    let entry: JoinedLinear  // query, key, value
    let out: Linear
    let headCount: Int

    init(
        query: Linear, key: Linear, value: Linear, out: Linear, headCount: Int,
        in scope: ParameterScope
    ) {
        entry = JoinedLinear([query, key, value], in: scope)
        self.out = out
        self.headCount = headCount
    }

    /// - Parameter x: `[B, N, D]`; so is the result.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let heads = entry(x).map { $0.splitHeads(headCount) }
        return out(
            Tensor.attention(query: heads[0], key: heads[1], value: heads[2]).joinedHeads())
    }
}

/// Two linear layers with a pointwise function between.
struct FeedForward {
    let first: Linear
    let second: Linear
    let activation: Activation

    func callAsFunction(_ x: Tensor) -> Tensor { second(first.activated(activation.function, x)) }
}

/// The pre-norm layer that CLIP and SigLIP share, names included.
struct EncoderLayer {
    let norm1: LayerNorm
    let attention: EncoderAttention
    let norm2: LayerNorm
    let feedForward: FeedForward

    init(
        width: Int, hiddenWidth: Int, headCount: Int, layerCount: Int, epsilon: Double,
        activation: Activation, in scope: ParameterScope
    ) throws {
        // CLIP's own spreads: by width, and by depth where a residual stream is fed.
        let entry = 1 / Double(width).squareRoot() / Double(2 * layerCount).squareRoot()
        let exit = 1 / Double(width).squareRoot()
        let inner = 1 / Double(2 * width).squareRoot()
        let own = scope["self_attn"]
        norm1 = try LayerNorm(width, epsilon: epsilon, in: scope["layer_norm1"])
        attention = EncoderAttention(
            query: try Linear(width, width, initial: .normal(deviation: entry), in: own["q_proj"]),
            key: try Linear(width, width, initial: .normal(deviation: entry), in: own["k_proj"]),
            value: try Linear(width, width, initial: .normal(deviation: entry), in: own["v_proj"]),
            out: try Linear(width, width, initial: .normal(deviation: exit), in: own["out_proj"]),
            headCount: headCount, in: own)
        norm2 = try LayerNorm(width, epsilon: epsilon, in: scope["layer_norm2"])
        feedForward = FeedForward(
            first: try Linear(
                width, hiddenWidth, initial: .normal(deviation: inner), in: scope["mlp"]["fc1"]),
            second: try Linear(
                hiddenWidth, width, initial: .normal(deviation: entry), in: scope["mlp"]["fc2"]),
            activation: activation)
    }

    /// - Parameter x: `[B, N, D]`; so is the result.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let attended = x + attention(norm1(x))
        return attended + feedForward(norm2(attended))
    }
}

extension Tensor {
    /// `[B, N, D]` to `[B, H, N, D/H]`.
    func splitHeads(_ count: Int) -> Tensor {
        reshaped([shape[0], shape[1], count, shape[2] / count]).transposed(1, 2)
    }

    /// `[B, H, N, d]` to `[B, N, H d]`.
    func joinedHeads() -> Tensor {
        let (b, h, n, d) = (shape[0], shape[1], shape[2], shape[3])
        return transposed(1, 2).reshaped([b, n, h * d])
    }
}

/// Square patches of a picture as tokens, row by row.
struct PatchEmbedding {
    let projection: Conv2d
    let patchSize: Int

    init(
        channels: Int, width: Int, patchSize: Int, bias: Bool, initial: Initial,
        in scope: ParameterScope
    ) throws {
        projection = try Conv2d(
            channels, width, kernel: patchSize, stride: patchSize, bias: bias, initial: initial,
            in: scope)
        self.patchSize = patchSize
    }

    /// `[B, 3, h, w]` to `[B, (h div p)(w div p), D]`; pixels that fill no patch are ignored.
    func callAsFunction(_ pixels: Tensor) -> Tensor {
        let grid = projection(pixels)  // [B, D, h/p, w/p]
        return grid.reshaped([grid.shape[0], grid.shape[1], -1]).transposed(1, 2)
    }
}

/// Learned positions `[n, D]` of a square grid, resized to `rows` x `columns`: bicubic, a = -0.75,
/// half-pixel centres, no antialiasing, in fp32 as the reference does it.
func resizedPositions(_ positions: Tensor, rows: Int, columns: Int) -> Tensor {
    let (count, width) = (positions.shape[0], positions.shape[1])
    let side = Int(Double(count).squareRoot().rounded())
    guard side * side == count else {
        fatalError("resizing positions: \(count) of them are no square grid")
    }
    if rows == side, columns == side { return positions }
    let grid = positions.to(.float32).reshaped([1, side, side, width]).permuted([0, 3, 1, 2])
    return grid.resizedBicubic(height: rows, width: columns)
        .permuted([0, 2, 3, 1]).reshaped([rows * columns, width]).to(positions.dtype)
}
