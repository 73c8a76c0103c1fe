import Torch
import TorchNN

// Shapes: B batch, N image tokens, L prompt tokens, D width, H heads, d head width.

/// Shift, scale and gate of one branch, each `[B, 1, D]`.
struct Modulation {
    let shift: Tensor
    let scale: Tensor
    let gate: Tensor

    /// `LN(x) (1 + scale) + shift`, the norm without weights.
    func callAsFunction(_ x: Tensor) -> Tensor { modulated(x, shift: shift, scale: scale) }
}

/// `LN(x) (1 + scale) + shift`.
func modulated(_ x: Tensor, shift: Tensor, scale: Tensor) -> Tensor {
    x.modulatedNorm(scale: scale, shift: shift, epsilon: 1e-6)
}

/// Queries, keys and values of one stream, with its optional norms of queries and keys.
struct StreamProjection {
    /// Query, key and value; without the query where nobody asks what the stream saw.
    let entry: JoinedLinear
    let queryNorm: RMSNorm?
    let keyNorm: RMSNorm?
    let headCount: Int

    /// - Parameters:
    ///   - names: of the query, key, value and the two norms in `scope`.
    ///   - asks: whether the queries are used; they have parameters all the same.
    init(
        _ configuration: MMDiTConfiguration, names: (String, String, String, String, String),
        asks: Bool = true, in scope: ParameterScope
    ) throws {
        let width = configuration.width
        let initial = Initial.uniform(bound: (3 / Double(width)).squareRoot())
        let layers = try [names.0, names.1, names.2].map {
            try Linear(width, width, initial: initial, in: scope[$0])
        }
        entry = JoinedLinear(asks ? layers : Array(layers.dropFirst()), in: scope)
        headCount = configuration.headCount
        let norms = configuration.normalizesQueries
        let d = configuration.headWidth
        queryNorm = norms ? try RMSNorm(d, epsilon: 1e-6, in: scope[names.3]) : nil
        keyNorm = norms ? try RMSNorm(d, epsilon: 1e-6, in: scope[names.4]) : nil
    }

    /// `[B, T, D]` to three times `[B, H, T, d]`.
    func callAsFunction(_ x: Tensor) -> (query: Tensor, key: Tensor, value: Tensor) {
        let heads = entry(x).map { $0.splitHeads(headCount) }
        return (queryNorm?(heads[0]) ?? heads[0], keyNorm?(heads[1]) ?? heads[1], heads[2])
    }

    /// The same of a stream that does not ask.
    func keysAndValues(_ x: Tensor) -> (key: Tensor, value: Tensor) {
        let heads = entry(x).map { $0.splitHeads(headCount) }
        return (keyNorm?(heads[0]) ?? heads[0], heads[1])
    }
}

/// One block: both streams have their own weights and meet in one attention.
///
/// In the last block the prompt only speaks: it has no output, no feed-forward, and its modulation
/// is scale and shift.
struct JointBlock {
    let modulation: Linear
    let promptModulation: Linear
    let image: StreamProjection
    let prompt: StreamProjection
    let imageOut: Linear
    let promptOut: Linear?
    let second: (projection: StreamProjection, out: Linear)?
    let imageFeedForward: FeedForward
    let promptFeedForward: FeedForward?

    init(_ configuration: MMDiTConfiguration, index: Int, in scope: ParameterScope) throws {
        let width = configuration.width
        let isLast = index == configuration.layerCount - 1
        let isDual = configuration.dualAttentionLayers.contains(index)
        let even = Initial.uniform(bound: (3 / Double(width)).squareRoot())
        let attention = scope["attn"]
        // Zero modulation: a new block passes its input on (adaLN-Zero, arXiv:2212.09748).
        modulation = try Linear(
            width, (isDual ? 9 : 6) * width, initial: .zeros, in: scope["norm1"]["linear"])
        promptModulation = try Linear(
            width, (isLast ? 2 : 6) * width, initial: .zeros, in: scope["norm1_context"]["linear"])
        image = try StreamProjection(
            configuration, names: ("to_q", "to_k", "to_v", "norm_q", "norm_k"), in: attention)
        prompt = try StreamProjection(
            configuration,
            names: ("add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"),
            asks: !isLast, in: attention)
        imageOut = try Linear(width, width, initial: even, in: attention["to_out"][0])
        promptOut =
            isLast ? nil : try Linear(width, width, initial: even, in: attention["to_add_out"])
        if isDual {
            let own = scope["attn2"]
            second = (
                try StreamProjection(
                    configuration, names: ("to_q", "to_k", "to_v", "norm_q", "norm_k"), in: own),
                try Linear(width, width, initial: even, in: own["to_out"][0])
            )
        } else {
            second = nil
        }
        func feedForward(_ scope: ParameterScope) throws -> FeedForward {
            let bound = Initial.uniform(bound: (6 / Double(5 * width)).squareRoot())
            return FeedForward(
                first: try Linear(width, 4 * width, initial: bound, in: scope["net"][0]["proj"]),
                second: try Linear(4 * width, width, initial: bound, in: scope["net"][2]),
                activation: .geluTanh)
        }
        imageFeedForward = try feedForward(scope["ff"])
        promptFeedForward = isLast ? nil : try feedForward(scope["ff_context"])
    }

    /// - Parameters:
    ///   - x: image tokens `[B, N, D]`.
    ///   - c: prompt tokens `[B, L, D]`.
    ///   - steer: `silu` of the conditioning, `[B, 1, D]`.
    /// - Returns: both, the prompt as nil from the last block.
    func callAsFunction(_ x: Tensor, _ c: Tensor, steer: Tensor) -> (Tensor, Tensor?) {
        let chunks = modulation(steer).chunked(second == nil ? 6 : 9, axis: -1)
        let own = Modulation(shift: chunks[0], scale: chunks[1], gate: chunks[2])
        let after = Modulation(shift: chunks[3], scale: chunks[4], gate: chunks[5])
        let told = promptModulation(steer).chunked(promptOut == nil ? 2 : 6, axis: -1)
        let normedPrompt =
            promptOut == nil
            ? modulated(c, shift: told[1], scale: told[0])
            : modulated(c, shift: told[0], scale: told[1])

        let (fromImage, fromPrompt) = attend(own(x), normedPrompt)
        var image = x + own.gate * imageOut(fromImage)
        if let second {
            let extra = modulated(x, shift: chunks[6], scale: chunks[7])
            let (q, k, v) = second.projection(extra)
            let seen = Tensor.attention(query: q, key: k, value: v).joinedHeads()
            image = image + chunks[8] * second.out(seen)
        }
        image = image + after.gate * imageFeedForward(after(image))

        guard let promptOut, let promptFeedForward else { return (image, nil) }
        let promptAfter = Modulation(shift: told[3], scale: told[4], gate: told[5])
        let prompt = c + told[2] * promptOut(fromPrompt)
        return (image, prompt + promptAfter.gate * promptFeedForward(promptAfter(prompt)))
    }

    /// As the call, run again for the derivative instead of kept where `isCheckpointed`.
    func passed(
        _ x: Tensor, _ c: Tensor, steer: Tensor, isCheckpointed: Bool
    ) -> (Tensor, Tensor?) {
        guard isCheckpointed else { return self(x, c, steer: steer) }
        let results = checkpointed([x, c, steer], results: promptOut == nil ? 1 : 2) { inputs in
            let (image, prompt) = self(inputs[0], inputs[1], steer: inputs[2])
            return [image] + (prompt.map { [$0] } ?? [])
        }
        return (results[0], promptOut == nil ? nil : results[1])
    }

    /// Attention over both streams together: `[B, N, D]` and `[B, L, D]`; in the last block nobody
    /// asks what the prompt saw.
    private func attend(_ x: Tensor, _ c: Tensor) -> (Tensor, Tensor) {
        let (xq, xk, xv) = image(x)
        guard promptOut != nil else {
            let (ck, cv) = prompt.keysAndValues(c)
            let seen = Tensor.attention(
                query: xq, key: Tensor.concatenated([xk, ck], axis: 2),
                value: Tensor.concatenated([xv, cv], axis: 2))
            return (seen.joinedHeads(), c)
        }
        let (cq, ck, cv) = prompt(c)
        let seen = Tensor.attention(
            query: Tensor.concatenated([xq, cq], axis: 2),
            key: Tensor.concatenated([xk, ck], axis: 2),
            value: Tensor.concatenated([xv, cv], axis: 2)
        ).joinedHeads()
        let parts = seen.split(sizes: [x.shape[1], c.shape[1]], axis: 1)
        return (parts[0], parts[1])
    }
}
