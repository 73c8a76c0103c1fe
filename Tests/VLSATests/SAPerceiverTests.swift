import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct SAPerceiverTests {
    static let switches: [PerceiverConfiguration] = {
        var all: [PerceiverConfiguration] = []
        for activation in [PerceiverActivation.silu, .softmax] {
            for scale in [PerceiverScale.none, .sqrt, .count] {
                for position in [CropPosition.off, .gaussian] {
                    for isShared in [true, false] {
                        all.append(
                            PerceiverConfiguration(
                                activation: activation, scale: scale, sharesKeyAndValue: isShared,
                                headCount: 2, normalizesInput: isShared, cropPosition: position))
                    }
                }
            }
        }
        // One head, equation 2's other readings.
        all.append(
            PerceiverConfiguration(
                activation: .silu, mixActivation: PerceiverActivation.none, scale: .none,
                headCount: 1, normalizesInput: false))
        all.append(
            PerceiverConfiguration(
                activation: .softmax, mixActivation: PerceiverActivation.none, scale: .count,
                headCount: 1, cropPosition: .gaussian))
        all.append(
            PerceiverConfiguration(
                activation: .silu, mixActivation: .softmax, scale: .count, headCount: 4))
        return all
    }()

    static func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
        Tensor.normal(shape, generator: Generator(seed: seed))
    }

    @Test("at step 0 the result is the snapshot, to the bit", arguments: switches)
    func startsAsSnapshot(_ configuration: PerceiverConfiguration) throws {
        let perceiver = try SAPerceiver(
            configuration, width: 8, in: ParameterStore(seed: 3).scope["perceiver"])
        let snapshot = Self.random([2, 4, 8], 1)
        let (tokens, _) = perceiver(
            snapshot, tiles: Self.random([2, 24, 8], 2),
            places: TokenPlaces(columns: 3, rows: 2, side: 2, device: .cpu))
        #expect(tokens.floats() == snapshot.floats())
    }

    @Test("gather and mix are the printed sums", arguments: switches)
    func matchesPlainSums(_ configuration: PerceiverConfiguration) throws {
        let store = ParameterStore(seed: 3)
        let perceiver = try SAPerceiver(configuration, width: 8, in: store.scope["perceiver"])
        let generator = Generator(seed: 8)
        for (_, tensor) in store.tensors() {
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * 0.5)
        }
        let (snapshot, tiles) = (Self.random([1, 4, 8], 1), Self.random([1, 24, 8], 2))
        let places = TokenPlaces(columns: 3, rows: 2, side: 2, device: .cpu)
        let (tokens, pooled) = perceiver(snapshot, tiles: tiles, places: places)

        // The same by loops over queries, keys and heads, in Double.
        func rows(_ x: Tensor) -> [[Double]] {
            let (n, d) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
            let flat = x.floats().map(Double.init)
            return (0..<n).map { Array(flat[$0 * d..<($0 + 1) * d]) }
        }
        func weight(_ name: String) throws -> Tensor {
            try #require(store["perceiver." + name])
        }
        func norm(_ x: [[Double]], _ name: String) throws -> [[Double]] {
            guard configuration.normalizesInput else { return x }
            let (scale, shift) = (
                try weight(name + ".weight").floats(), try weight(name + ".bias").floats()
            )
            return x.map { row in
                let mean = row.reduce(0, +) / 8
                let variance = row.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 8
                return row.indices.map {
                    (row[$0] - mean) / (variance + 1e-5).squareRoot() * Double(scale[$0])
                        + Double(shift[$0])
                }
            }
        }
        func apply(_ name: String, _ x: [[Double]]) throws -> [[Double]] {
            let w = rows(try weight(name + ".weight"))
            return x.map { row in w.map { zip($0, row).map(*).reduce(0, +) } }
        }
        func attend(
            _ q: [[Double]], _ k: [[Double]], _ v: [[Double]], _ activation: PerceiverActivation,
            bias: (_ head: Int, _ query: Int, _ key: Int) -> Double
        ) -> [[Double]] {
            q.indices.map { i in
                (0..<heads).flatMap { head -> [Double] in
                    let part = head * width..<(head + 1) * width
                    var scores = k.indices.map { j in
                        var dot = zip(q[i][part], k[j][part]).map(*).reduce(0, +)
                        if configuration.scale != .none { dot /= Double(width).squareRoot() }
                        return dot + bias(head, i, j)
                    }
                    if activation == .softmax {
                        let top = scores.max() ?? 0
                        scores = scores.map { exp($0 - top) }
                        let sum = scores.reduce(0, +)
                        scores = scores.map { $0 / sum }
                    } else {
                        if activation == .silu { scores = scores.map { $0 / (1 + exp(-$0)) } }
                        if configuration.scale == .count {
                            scores = scores.map { $0 / Double(k.count) }
                        }
                    }
                    return part.map { column in
                        k.indices.map { scores[$0] * v[$0][column] }.reduce(0, +)
                    }
                }
            }
        }
        let (heads, width) = (configuration.headCount, 8 / configuration.headCount)
        func add(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
            zip(a, b).map { zip($0, $1).map(+) }
        }
        var x = rows(snapshot) + rows(try weight("query"))
        let q = try apply("gather.q_proj", norm(x, "gather.query_norm"))
        let h = try norm(rows(tiles), "gather.tile_norm")
        let isShared = configuration.sharesKeyAndValue
        let k = try apply(isShared ? "gather.kv_proj" : "gather.k_proj", h)
        let v = isShared ? k : try apply("gather.v_proj", h)
        var bias: (Int, Int, Int) -> Double = { _, _, _ in 0 }
        if configuration.cropPosition == .gaussian {
            let sharpness = try weight("gather.prior.log_sharpness").floats().map {
                exp(Double($0))
            }
            let offset = rows(try weight("gather.prior.offset"))
            let (low, high) = (rows(places.snapshot), rows(places.tiles))
            bias = { head, i, j in
                guard i < low.count else { return 0 }
                let dx = low[i][0] + offset[head][0] - high[j][0]
                let dy = low[i][1] + offset[head][1] - high[j][1]
                return -sharpness[head] * (dx * dx + dy * dy)
            }
        }
        x = add(
            x, try apply("gather.o_proj", attend(q, k, v, configuration.activation, bias: bias)))
        let n = try norm(x, "mix.norm")
        let mixed = attend(
            n, try apply("mix.k_proj", n), n,
            configuration.mixActivation ?? configuration.activation
        ) { _, _, _ in 0 }
        x = add(x, try apply("mix.o_proj", mixed))

        let result = rows(tokens) + rows(pooled)
        let worst = zip(result, x).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? 1
        let largest = x.flatMap { $0.map(abs) }.max() ?? 0
        // Unscaled SiLU sums grow to thousands; float32 keeps about seven digits of them.
        #expect(worst < 1e-5 * (10 + largest), "off by \(worst) of \(largest)")
    }

    @Test func gradientsReachEveryParameterOnceOutputsMove() throws {
        let store = ParameterStore(seed: 3)
        let perceiver = try SAPerceiver(Self.switches[2], width: 8, in: store.scope["perceiver"])
        let generator = Generator(seed: 8)
        for (_, tensor) in store.tensors() {
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * 0.5)
        }
        store.train(["perceiver"])
        let (tokens, pooled) = perceiver(
            Self.random([2, 4, 8], 1), tiles: Self.random([2, 24, 8], 2),
            places: TokenPlaces(columns: 2, rows: 3, side: 2, device: .cpu))
        (tokens.square().sum() + pooled.square().sum()).backward()
        for (name, tensor) in store.trainable {
            let gradient = try #require(tensor.gradient, "\(name) has none")
            #expect(gradient.norm().item() > 0, "\(name)")
        }
    }

    @Test func headsMustDivideTheWidth() {
        #expect(throws: VLSAError.self) {
            try SAPerceiver(
                PerceiverConfiguration(headCount: 3), width: 8,
                in: ParameterStore(seed: 1).scope["perceiver"])
        }
    }

    @Test func aGatherStepWithoutActivationIsRefused() {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(
                PerceiverConfiguration.self, from: Data(#"{"act": "none"}"#.utf8))
        }
    }

    @Test(arguments: [
        (PerceiverConfiguration(), false), (PerceiverConfiguration(), true),
        (PerceiverConfiguration(activation: .softmax, scale: .sqrt), false),
        (PerceiverConfiguration(headCount: 8, cropPosition: .gaussian), false),
        (
            PerceiverConfiguration(
                activation: .softmax, scale: .sqrt, headCount: 8, cropPosition: .gaussian), true
        ),
    ])
    func manyTilesFitIntoAGibibyte(_ configuration: PerceiverConfiguration, isHalf: Bool) async {
        await #expect(processExitsWith: .success) {
            [configuration = configuration as PerceiverConfiguration, isHalf = isHalf as Bool] in
            let cost = try PerceiverCost(
                configuration: configuration, width: 1024, tokens: 576, tiles: 36,
                dtype: isHalf ? .bfloat16 : .float32)
            guard cost.extraBytes > 0 else { fatalError("the peak is not known") }
            guard cost.extraBytes < 1 << 30 else {
                fatalError("\(cost.extraBytes >> 20) MiB")
            }
        }
    }
}
