import Foundation
import Torch
import TorchNN

// Shapes: B pictures, l snapshot tokens, N tile tokens (m tiles of l), D width, h heads, e = D / h.

/// Gathers the detail of any number of tile tokens into the snapshot's fixed grid.
///
/// With `x = [V_lo; q]` and all tile tokens `H` (VLSA equations 1 and 2, as read in
/// `Documentation/perception.md`):
///
///     gather:  x += o1( act(q(x) k(H)^T s) v(H) )
///     mix:     x += o2( mixAct(x k2(x)^T s') x )
///
/// Both outputs start at zero, so before the first step the result is the snapshot itself.
public struct SAPerceiver {
    public let configuration: PerceiverConfiguration
    let query: Tensor  // [1, D]
    let gather: Gather
    let mix: Mix

    public init(_ configuration: PerceiverConfiguration, width: Int, in scope: ParameterScope)
        throws
    {
        guard configuration.headCount > 0, width % configuration.headCount == 0 else {
            throw VLSAError.configuration(
                "perceiver.heads is \(configuration.headCount), which does not divide the width \(width)"
            )
        }
        self.configuration = configuration
        query = try scope.parameter("query", shape: [1, width], initial: .normal(deviation: 0.02))
        gather = try Gather(configuration, width: width, in: scope["gather"])
        mix = try Mix(configuration, width: width, in: scope["mix"])
    }

    /// - Parameters:
    ///   - snapshot: tokens of the low-resolution snapshot, `[B, l, D]`.
    ///   - tiles: tokens of each picture's tiles, `[B, N, D]`; every picture of a call has the same number.
    ///   - places: centres of the snapshot's and the tiles' tokens, in snapshot cells; used with
    ///     ``CropPosition/gaussian``.
    /// - Returns: visual tokens `[B, l, D]` and the pooled token `[B, D]`.
    public func callAsFunction(_ snapshot: Tensor, tiles: Tensor, places: TokenPlaces)
        -> (tokens: Tensor, pooled: Tensor)
    {
        let length = snapshot.shape[1]
        var x = withQuery(snapshot)  // [B, l + 1, D]
        x = x + gather(x, attendingTo: tiles, places: places)
        x = x + mix(x)
        return (
            x.narrowed(axis: 1, start: 0, length: length),
            x.narrowed(axis: 1, start: length, length: 1).squeezed(1)
        )
    }

    /// Where each output token gathers from: its share of what it takes from each tile token, `[B, l + 1, N]`,
    /// float32, the appended query last. Magnitudes of the gather step's weights, the mean over heads; rows
    /// sum to 1.
    public func gathered(_ snapshot: Tensor, tiles: Tensor, places: TokenPlaces) -> Tensor {
        gather.weights(withQuery(snapshot), attendingTo: tiles, places: places)
    }

    private func withQuery(_ snapshot: Tensor) -> Tensor {
        let slot = query.unsqueezed(0).expanded(to: [snapshot.shape[0], 1, snapshot.shape[2]])
        return Tensor.concatenated([snapshot, slot.to(snapshot.dtype)], axis: 1)
    }
}

/// Centres of tokens in units of snapshot cells, `(x, y)` from the upper left corner.
public struct TokenPlaces {
    /// `[l, 2]`
    public let snapshot: Tensor
    /// `[N, 2]`, the same for every picture of a call: pictures are called by tile grid.
    public let tiles: Tensor

    public init(snapshot: Tensor, tiles: Tensor) {
        self.snapshot = snapshot
        self.tiles = tiles
    }

    /// Places for a picture cut into `columns` x `rows` tiles, each of `side` x `side` tokens, with a
    /// snapshot of `side` x `side` tokens over the same picture; tile tokens are tile by tile, row by row.
    public init(columns: Int, rows: Int, side: Int, device: Device) {
        var small: [Float] = []
        for y in 0..<side { for x in 0..<side { small += [Float(x) + 0.5, Float(y) + 0.5] } }
        var large: [Float] = []
        large.reserveCapacity(columns * rows * side * side * 2)
        for row in 0..<rows {
            for column in 0..<columns {
                for y in 0..<side {
                    for x in 0..<side {
                        large.append((Float(column * side + x) + 0.5) / Float(columns))
                        large.append((Float(row * side + y) + 0.5) / Float(rows))
                    }
                }
            }
        }
        snapshot = Tensor(small, shape: [side * side, 2], device: device)
        tiles = Tensor(large, shape: [columns * rows * side * side, 2], device: device)
    }
}

/// The first step: snapshot tokens attend to tile tokens.
struct Gather {
    let configuration: PerceiverConfiguration
    let queryNorm: LayerNorm?
    let keyNorm: LayerNorm?
    let query: Linear
    let key: Linear
    let value: Linear?
    let output: Linear
    let prior: GaussianPrior?

    init(_ configuration: PerceiverConfiguration, width: Int, in scope: ParameterScope) throws {
        self.configuration = configuration
        let norms = configuration.normalizesInput
        queryNorm = norms ? try LayerNorm(width, epsilon: 1e-5, in: scope["query_norm"]) : nil
        keyNorm = norms ? try LayerNorm(width, epsilon: 1e-5, in: scope["tile_norm"]) : nil
        query = try Linear(width, width, bias: false, in: scope["q_proj"])
        key = try Linear(
            width, width, bias: false,
            in: scope[configuration.sharesKeyAndValue ? "kv_proj" : "k_proj"])
        value =
            configuration.sharesKeyAndValue
            ? nil : try Linear(width, width, bias: false, in: scope["v_proj"])
        output = try Linear(width, width, bias: false, initial: .zeros, in: scope["o_proj"])
        prior =
            configuration.cropPosition == .gaussian
            ? try GaussianPrior(headCount: configuration.headCount, in: scope["prior"]) : nil
    }

    /// `[B, l + 1, D]` attending to `[B, N, D]`; the increment of the first.
    func callAsFunction(_ x: Tensor, attendingTo tiles: Tensor, places: TokenPlaces) -> Tensor {
        let (q, k, v) = projected(x, tiles, places)
        return output(attended(q, k, v, configuration.activation, configuration).joinedHeads())
    }

    /// How strongly each of `[B, l + 1, D]` takes from each of `[B, N, D]`: magnitudes of the weights, the mean
    /// over heads, each row divided by its sum. `[B, l + 1, N]`, float32.
    func weights(_ x: Tensor, attendingTo tiles: Tensor, places: TokenPlaces) -> Tensor {
        let (q, k, _) = projected(x, tiles, places)
        // A head at a time: the scores of all together would not fit beside a large picture.
        let sum = (0..<configuration.headCount).map { head in
            let scores = q[.all, head].to(.float32).matmul(
                k[.all, head].to(.float32).transposed(-2, -1))
            switch configuration.activation {
            case .softmax: return scores.softmax(axis: -1)
            case .silu: return scores.silu().abs()
            case .none: return scores.abs()
            }
        }.reduce(Tensor(0, device: x.device)) { $0 + $1 }
        return sum / sum.sum(axis: -1, keepingAxis: true)
    }

    /// Queries, keys and values by head, queries scaled, the prior's columns appended.
    private func projected(
        _ x: Tensor, _ tiles: Tensor, _ places: TokenPlaces
    ) -> (query: Tensor, key: Tensor, value: Tensor) {
        let heads = configuration.headCount
        let width = Double(x.shape[2] / heads)
        let x = queryNorm?(x) ?? x
        let tiles = keyNorm?(tiles) ?? tiles
        let keys = key(tiles)
        let v = (value?(tiles) ?? keys).splitHeads(heads)  // [B, h, N, e]
        var q = query(x).splitHeads(heads)  // [B, h, l + 1, e]
        var k = keys.splitHeads(heads)  // [B, h, N, e]
        if configuration.scale != .none { q = q * (1 / width.squareRoot()) }
        if let prior { (q, k) = prior(q, k, places: places) }
        return (q, k, v)
    }
}

/// The second step: the gathered tokens attend to each other, with themselves as queries and values.
struct Mix {
    let configuration: PerceiverConfiguration
    let norm: LayerNorm?
    let key: Linear
    let output: Linear

    init(_ configuration: PerceiverConfiguration, width: Int, in scope: ParameterScope) throws {
        self.configuration = configuration
        norm =
            configuration.normalizesInput
            ? try LayerNorm(width, epsilon: 1e-5, in: scope["norm"]) : nil
        key = try Linear(width, width, bias: false, in: scope["k_proj"])
        output = try Linear(width, width, bias: false, initial: .zeros, in: scope["o_proj"])
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let heads = configuration.headCount
        let width = Double(x.shape[2] / heads)
        let x = norm?(x) ?? x
        let v = x.splitHeads(heads)
        let q = configuration.scale == .none ? v : v * (1 / width.squareRoot())
        return output(
            attended(
                q, key(x).splitHeads(heads), v,
                configuration.mixActivation ?? configuration.activation, configuration
            ).joinedHeads())
    }
}

/// `act(q k^T) v`, scores in float32; `q` is already scaled. `[B, h, n, e']`, `[B, h, N, e']`, `[B, h, N, e]`.
private func attended(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ activation: PerceiverActivation,
    _ configuration: PerceiverConfiguration
) -> Tensor {
    let factor = configuration.scale == .count ? 1 / Double(k.shape[2]) : 1
    let own = v.dtype
    let v = v.to(q.dtype)  // the Gaussian's columns make wide queries and keys of narrow ones
    switch activation {
    case .softmax:
        let extra = k.shape[3] - v.shape[3]
        // The fused kernel wants values as wide as keys; the zeros are cut off again.
        let values = extra == 0 ? v : v.padded([0, extra], value: 0)
        let mixed = Tensor.attention(query: q, key: k, value: values, scale: 1)
        return (extra == 0 ? mixed : mixed.narrowed(axis: 3, start: 0, length: v.shape[3])).to(own)
    case .silu:
        return Tensor.siluAttention(query: q, key: k, value: v, factor: factor).to(own)
    case .none:
        // Linear, so keys meet values first and no scores are made.
        let states = k.to(.float32).transposed(-2, -1).matmul(v.to(.float32))  // [B, h, e', e]
        return (q.to(.float32).matmul(states) * factor).to(own)
    }
}

/// Learned Gaussian around each snapshot token, one for every head.
///
/// `-α |p + o - p'|²` is a dot product of four numbers on either side, so it rides on the queries and keys and
/// no table of scores is ever made. Heads start spread over the cell, each on its own field: a Gaussian whose
/// deviation is half of the field's side, `α = 2 h` in cells.
struct GaussianPrior {
    let logSharpness: Tensor  // [h]
    let offset: Tensor  // [h, 2], in cells

    init(headCount: Int, in scope: ParameterScope) throws {
        logSharpness = try scope.parameter(
            "log_sharpness", shape: [headCount], initial: .constant(2))
        offset = try scope.parameter(
            "offset", shape: [headCount, 2],
            initial: .tensor { Tensor(GaussianPrior.spread(headCount), shape: [headCount, 2]) })
    }

    /// Centres of the most nearly square grid of `count` fields over one cell, relative to its middle.
    static func spread(_ count: Int) -> [Float] {
        let columns = Int(Double(count).squareRoot().rounded(.up))
        let rows = (count + columns - 1) / columns
        var centres: [Float] = []
        for index in 0..<count {
            centres.append((Float(index % columns) + 0.5) / Float(columns) - 0.5)
            centres.append((Float(index / columns) + 0.5) / Float(rows) - 0.5)
        }
        return centres
    }

    private func squaredLength(_ points: Tensor) -> Tensor {
        let squares: Tensor = points.square()
        return squares.sum(axis: -1, keepingAxis: true)
    }

    /// Appends four columns to queries `[B, h, l + 1, e]` and keys `[B, h, N, e]`.
    func callAsFunction(_ q: Tensor, _ k: Tensor, places: TokenPlaces) -> (Tensor, Tensor) {
        let (count, heads) = (q.shape[0], q.shape[1])
        let (length, tiles) = (places.snapshot.shape[0], places.tiles.shape[0])
        let sharpness = logSharpness.to(.float32).exp().reshaped([heads, 1, 1])
        let centre: Tensor =
            places.snapshot.unsqueezed(0) + offset.to(.float32).unsqueezed(1)  // [h, l, 2]
        let linear: Tensor = centre * (sharpness * 2)  // [h, l, 2]
        let flat: Tensor = -sharpness.expanded(to: [heads, length, 1])  // [h, l, 1]
        let norm: Tensor = -(squaredLength(centre) * sharpness)  // [h, l, 1]
        let left = Tensor.concatenated([linear, flat, norm], axis: -1)
            .padded([0, 0, 0, 1], value: 0)  // [h, l + 1, 4]; the appended query stays free
            .unsqueezed(0).expanded(to: [count, heads, length + 1, 4])
        let one = Tensor.ones([tiles, 1], device: places.tiles.device)
        let right = Tensor.concatenated(
            [places.tiles, squaredLength(places.tiles), one], axis: -1
        ).reshaped([1, 1, tiles, 4]).expanded(to: [count, heads, tiles, 4])
        return (
            Tensor.concatenated([q.to(.float32), left], axis: -1),
            Tensor.concatenated([k.to(.float32), right], axis: -1)
        )
    }
}
