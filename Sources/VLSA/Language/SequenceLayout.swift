import Torch

/// How the token rows `[B, T]` of a batch are to be read.
public enum SequenceLayout: Equatable, Sendable {
    /// One sequence a row. Pads, if any, stand on the right: causality keeps them from every real
    /// token, and the loss is asked only where it is meant.
    case dense
    /// So many pads in front of each row, to be seen by nobody.
    case leftPadded([Int])
    /// One row of sequences back to back, of these lengths. None sees another, and positions start
    /// again with each.
    case packed([Int])

    /// Positions of `count` tokens after `past` earlier ones: `[count]`, or `[B, count]` with pads
    /// in front.
    func positions(count: Int, past: Int, device: Device) -> Tensor {
        switch self {
        case .dense:
            return Tensor(Array(past..<past + count), shape: [count], device: device)
        case .leftPadded(let pads):
            let all = pads.flatMap { pad in (past..<past + count).map { max(0, $0 - pad) } }
            return Tensor(all, shape: [pads.count, count], device: device)
        case .packed(let lengths):
            guard past == 0, lengths.reduce(0, +) == count else {
                fatalError("packed lengths \(lengths) for \(count) tokens after \(past)")
            }
            return Tensor(lengths.flatMap { Array(0..<$0) }, shape: [count], device: device)
        }
    }
}

/// Which keys each query may see, worked out once a forward pass and window for all layers.
enum AttentionPlan {
    /// Query i sees keys 0...i; no mask needed.
    case causal
    /// Every query sees every key: one token that follows all the others.
    case everything
    /// The last so many keys only, for one query.
    case recent(Int)
    /// What the mask says: true where seen, `[.., T, S]`.
    case masked(Tensor)
    /// Separately for each of these lengths, within its own window.
    case packed([(length: Int, plan: AttentionPlan)])

    init(layout: SequenceLayout, count: Int, past: Int, window: Int?, device: Device) {
        let total = past + count
        let exceeds = window.map { total > $0 } ?? false
        switch layout {
        case .dense:
            if count == 1, let window, exceeds {
                self = .recent(window)
            } else if count == 1 {
                self = .everything
            } else if past == 0, !exceeds {
                self = .causal
            } else {
                self = .masked(
                    Self.mask(
                        count: count, past: past, window: window, pads: nil, device: device))
            }
        case .leftPadded(let pads):
            self = .masked(
                Self.mask(
                    count: count, past: past, window: window, pads: pads, device: device))
        case .packed(let lengths):
            self = .packed(
                lengths.map { length in
                    let plan = AttentionPlan(
                        layout: .dense, count: length, past: 0, window: window, device: device)
                    return (length, plan)
                })
        }
    }

    /// True where a query sees a key, `[T, S]`, or `[B, 1, T, S]` with pads in front.
    ///
    /// A query always sees itself, so that a pad's row has something to sum to one over.
    private static func mask(
        count: Int, past: Int, window: Int?, pads: [Int]?, device: Device
    ) -> Tensor {
        let keys = Tensor.arange(past + count, device: device).unsqueezed(0)  // [1, S]
        let queries = Tensor.arange(from: past, to: past + count, device: device).unsqueezed(1)
        var seen = keys .<= queries  // [T, S]
        if let window { seen = seen.logicalAnd(keys .> queries - Double(window)) }
        guard let pads else { return seen }
        let first = Tensor(pads, shape: [pads.count, 1, 1, 1], device: device)
        return seen.logicalAnd((keys .>= first).logicalOr(keys .== queries))
    }

    /// - Parameters:
    ///   - query: `[B, H, T, d]`.
    ///   - key: `[B, K, S, d]`, and `value` likewise.
    /// - Returns: `[B, H, T, d]`.
    func attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor {
        switch self {
        case .causal:
            return Tensor.attention(query: query, key: key, value: value, isCausal: true)
        case .everything:
            return Tensor.attention(query: query, key: key, value: value)
        case .recent(let window):
            let start = key.shape[2] - window
            return Tensor.attention(
                query: query, key: key.narrowed(axis: 2, start: start, length: window),
                value: value.narrowed(axis: 2, start: start, length: window))
        case .masked(let mask):
            return Tensor.attention(query: query, key: key, value: value, mask: mask)
        case .packed(let parts):
            var start = 0
            let results = parts.map { part in
                defer { start += part.length }
                return part.plan.attend(
                    query: query.narrowed(axis: 2, start: start, length: part.length),
                    key: key.narrowed(axis: 2, start: start, length: part.length),
                    value: value.narrowed(axis: 2, start: start, length: part.length))
            }
            return results.count == 1 ? results[0] : Tensor.concatenated(results, axis: 2)
        }
    }
}
