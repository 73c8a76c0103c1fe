import Torch
import TorchNN

// Shapes: P pictures, k noised copies of each, M = P k, g x g tokens, N = g g, C channels of a token, H language width,
// D width.

/// A diffusion transformer over a picture's token grid, steered token by token by the decoder's states at the picture's
/// places: ROSS' denoiser (arXiv:2410.09575) as its authors released it.
///
/// Blocks are those of DiT with adaLN-Zero (arXiv:2212.09748), with a shift, scale and gate for each token rather than
/// for each picture. The names are those below `net` of the released files.
struct StateDenoiser {
    let entry: Conv2d
    let positions: Tensor  // [1, N, D], data and not a weight
    let time: FeedForward
    let condition: Linear
    let blocks: [StateBlock]
    let modulation: Linear
    let out: Linear
    let stateWidth: Int

    /// - Parameters:
    ///   - channels: C.
    ///   - side: g.
    ///   - stateWidth: H.
    init(
        _ configuration: ROSSConfiguration, channels: Int, side: Int, stateWidth: Int,
        in scope: ParameterScope
    ) throws {
        let width = configuration.width
        self.stateWidth = stateWidth
        entry = try Conv2d(
            channels, width, kernel: 1, initial: even(channels, width),
            in: scope["x_embedder"]["proj"])
        positions = try scope.buffer(
            "pos_embed", shape: [1, side * side, width],
            initial: .tensor { positionTable(width: width, side: side, base: side) })
        let spread = Initial.normal(deviation: 0.02)
        let steps = scope["t_embedder"]["mlp"]
        time = FeedForward(
            first: try Linear(timeFrequencies, width, initial: spread, in: steps[0]),
            second: try Linear(width, width, initial: spread, in: steps[2]), activation: .silu)
        condition = try Linear(stateWidth, width, initial: spread, in: scope["z_embedder"][1])
        blocks = try (0..<configuration.layerCount).map { index in
            try StateBlock(
                width: width, headCount: configuration.headCount, in: scope["blocks"][index])
        }
        let ending = scope["final_layer"]
        modulation = try Linear(
            width, 2 * width, initial: .zeros, in: ending["adaLN_modulation"][1])
        out = try Linear(width, channels, initial: .zeros, in: ending["linear"])
    }

    /// The noise in `noised`; nothing but zeros before the first update.
    ///
    /// - Parameters:
    ///   - noised: `[M, C, g, g]`, a picture's copies one after the other, in the weights' dtype.
    ///   - steps: of the diffusion, M of 0...999.
    ///   - states: the decoder's last hidden states at the tokens' places, row by row, `[P, N, H]`.
    /// - Returns: `[M, C, g, g]`.
    func callAsFunction(_ noised: Tensor, steps: [Int], states: Tensor) -> Tensor {
        let steer = steering(steps: steps, states: states).silu()  // [M, N, D]
        var tokens = placed(noised)  // [M, N, D]
        for block in blocks { tokens = block(tokens, steer: steer) }
        let ending = modulation(steer).chunked(2, axis: -1)
        return out(steered(tokens, shift: ending[0], scale: ending[1]))
            .transposed(1, 2).reshaped(noised.shape)
    }

    /// Tokens with their places, `[M, N, D]`, of `[M, C, g, g]`.
    func placed(_ noised: Tensor) -> Tensor {
        let tokens = entry(noised)
        return tokens.reshaped([tokens.shape[0], tokens.shape[1], -1]).transposed(1, 2)
            + positions.to(tokens.dtype)
    }

    /// What each token is steered by, `[M, N, D]`: its step's code and its normed state.
    func steering(steps: [Int], states: Tensor) -> Tensor {
        let (pictures, places) = (states.shape[0], states.shape[1])
        let normed = states.layerNorm(weight: nil, bias: nil, epsilon: 1e-5, width: stateWidth)
        let told = condition(normed.silu())  // [P, N, D]
        let copies = steps.count / pictures
        let times = Tensor(steps.map(Float.init), shape: [steps.count], device: states.device)
        return time(timeCode(times).to(states.dtype)).unsqueezed(1)
            + told.unsqueezed(1).expanded(to: [pictures, copies, places, told.shape[2]])
            .reshaped([steps.count, places, told.shape[2]])
    }
}

/// Attention of all tokens and a feed-forward layer, each shifted, scaled and gated token by token.
struct StateBlock {
    let modulation: Linear
    let entry: Linear
    let exit: Linear
    let feedForward: FeedForward
    let headCount: Int

    init(width: Int, headCount: Int, in scope: ParameterScope) throws {
        self.headCount = headCount
        modulation = try Linear(width, 6 * width, initial: .zeros, in: scope["adaLN_modulation"][1])
        entry = try Linear(
            width, 3 * width, initial: even(width, 3 * width), in: scope["attn"]["qkv"])
        exit = try Linear(width, width, initial: even(width, width), in: scope["attn"]["proj"])
        feedForward = FeedForward(
            first: try Linear(
                width, 4 * width, initial: even(width, 4 * width), in: scope["mlp"]["fc1"]),
            second: try Linear(
                4 * width, width, initial: even(4 * width, width), in: scope["mlp"]["fc2"]),
            activation: .geluTanh)
    }

    /// - Parameters:
    ///   - x: `[M, N, D]`; so is the result.
    ///   - steer: `silu` of the steering, `[M, N, D]`.
    func callAsFunction(_ x: Tensor, steer: Tensor) -> Tensor {
        let chunks = modulation(steer).chunked(6, axis: -1)
        let heads = entry(steered(x, shift: chunks[0], scale: chunks[1])).chunked(3, axis: -1)
            .map { $0.splitHeads(headCount) }
        let seen = Tensor.attention(query: heads[0], key: heads[1], value: heads[2]).joinedHeads()
        let attended = x + chunks[2] * exit(seen)
        let fed = feedForward(steered(attended, shift: chunks[3], scale: chunks[4]))
        return attended + chunks[5] * fed
    }
}

/// `LN(x) (1 + scale) + shift`, the norm without weights, all `[M, N, D]`.
private func steered(_ x: Tensor, shift: Tensor, scale: Tensor) -> Tensor {
    let rows = [x.shape[0] * x.shape[1], 1, x.shape[2]]
    return modulated(
        x.reshaped(rows), shift: shift.reshaped(rows), scale: scale.reshaped(rows)
    ).reshaped(x.shape)
}

/// Xavier's even spread.
private func even(_ inWidth: Int, _ outWidth: Int) -> Initial {
    .uniform(bound: (6 / Double(inWidth + outWidth)).squareRoot())
}
