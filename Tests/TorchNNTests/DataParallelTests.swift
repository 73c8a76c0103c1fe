import Foundation
import GoldenSupport
import Synchronization
import Testing
import Torch

@testable import TorchNN

/// Several threads stand for processes, each with weights and an optimizer of its own.
@Suite struct DataParallelTests {
    private static let shapes = [[7, 5], [5], [90, 11], [1], [33]]

    /// Weights of two groups, some in half precision.
    private static func groups(_ dtype: DType) -> [ParameterGroup] {
        let start = Generator(seed: 9)
        let weights = shapes.enumerated().map { index, shape in
            let weight = Tensor.normal(
                shape, dtype: index == 3 ? .float32 : dtype, generator: start)
            weight.requiresGradient = true
            return (name: "w\(index).weight", tensor: weight)
        }
        return [
            ParameterGroup(name: "a", parameters: Array(weights[..<2]), rate: 0.01, decay: 0.1),
            ParameterGroup(name: "b", parameters: Array(weights[2...]), rate: 0.03, decay: 0),
        ]
    }

    /// The gradient of a weight in a micro-batch; some have none: weight 4 in odd steps anywhere, weight 1 on all but
    /// the first half of the micro-batches.
    private static func gradient(_ weight: Int, step: Int, micro: Int, dtype: DType) -> Tensor? {
        if weight == 4, step % 2 == 1 { return nil }
        if weight == 1, micro > 1 { return nil }
        return .normal(
            shapes[weight], dtype: dtype,
            generator: Generator(seed: UInt64(1000 * step + 10 * micro + weight)))
    }

    private struct Outcome {
        var weights: [[Float]] = []
        var norms: [Double] = []
        var state: [(String, [UInt8])] = []
    }

    /// Trains with the sum of four micro-batches' gradients in `size` processes.
    private static func trained(
        _ dtype: DType, size: Int, zero: ZeroStage, steps: Range<Int>, bucketCount: Int = 100,
        from state: [(String, [UInt8])]? = nil, weights: [[Float]]? = nil
    ) -> [Outcome] {
        let port = freePort()
        let outcomes = Mutex([Int: Outcome]())
        inThreads(size) { rank in
            do {
                let group = try ProcessGroup(
                    rank: rank, size: size, at: .init(host: "127.0.0.1", port: port), timeout: 20)
                let outcome = try trained(
                    dtype, group, zero: zero, steps: steps, bucketCount: bucketCount, from: state,
                    weights: weights)
                outcomes.withLock { $0[rank] = outcome }
            } catch {
                Issue.record(error)
            }
        }
        return outcomes.withLock { all in (0..<size).compactMap { all[$0] } }
    }

    private static func trained(
        _ dtype: DType, _ processes: ProcessGroup, zero: ZeroStage, steps: Range<Int>,
        bucketCount: Int, from state: [(String, [UInt8])]?, weights: [[Float]]?
    ) throws -> Outcome {
        let groups = groups(dtype)
        let all = groups.flatMap { $0.parameters.map(\.tensor) }
        for (weight, values) in zip(all, weights ?? []) {
            weight.detached().copy(from: Tensor(values, shape: weight.shape))
        }
        let parallel = DataParallel(
            groups, processes: processes, zero: zero, bucketCount: bucketCount)
        let optimizer = AdamW(groups: parallel.groups)
        if let state {
            let whole = AdamW(groups: groups)
            let models = Dictionary(uniqueKeysWithValues: whole.state)
            let saved = Dictionary(uniqueKeysWithValues: state)
            try parallel.restore(optimizer) { name in
                guard let model = models[name], let bytes = saved[name] else { return nil }
                return bytes.withUnsafeBytes {
                    Tensor(bytes: $0, shape: model.shape, dtype: model.dtype)
                }
            }
        }
        var outcome = Outcome()
        for step in steps {
            let micros = (0..<4).filter { $0 % processes.size == processes.rank }
            let sums = GradientSum(all)
            for round in 0..<(4 + processes.size - 1) / processes.size {
                for (index, weight) in all.enumerated() where round < micros.count {
                    guard
                        let more = gradient(
                            index, step: step, micro: micros[round], dtype: weight.dtype)
                    else { continue }
                    weight.gradient = weight.gradient.map { $0 + more } ?? more
                }
                if zero != .gradients { sums.add() }
                try parallel.micro()
            }
            sums.finish()
            try parallel.finish()
            outcome.norms.append(try parallel.clip(maxNorm: 3))
            optimizer.step(rateMultiplier: 1 / Double(1 + step))
            try parallel.spread()
            optimizer.clearGradients()
        }
        outcome.weights = all.map { $0.detached().floats() }
        outcome.state = try parallel.state(of: optimizer).map { ($0, $1.bytes()) }
        return outcome
    }

    /// However many processes there are, and whatever is divided: weights, norms and state are those of one.
    @Test(
        arguments: [DType.float32, .bfloat16],
        [(2, ZeroStage.none), (2, .optimizer), (3, .gradients)])
    func stepsAreThoseOfOneProcess(_ dtype: DType, _ processes: (size: Int, zero: ZeroStage)) throws
    {
        let one = try #require(Self.trained(dtype, size: 1, zero: .none, steps: 0..<4).first)
        let several = Self.trained(
            dtype, size: processes.size, zero: processes.zero, steps: 0..<4)
        try #require(several.count == processes.size)
        for outcome in several {
            // Every process has the very same weights.
            #expect(outcome.weights == several[0].weights)
            for (a, b) in zip(outcome.norms, one.norms) { #expect(abs(a - b) < 1e-5 * b) }
            for (a, b) in zip(outcome.weights.joined(), one.weights.joined()) {
                let tolerance: Float = dtype == .float32 ? 1e-5 : 0.01 * max(1, abs(b))
                #expect(abs(a - b) < tolerance)
            }
        }
        #expect(several.dropFirst().allSatisfy { $0.state.isEmpty })
        let (names, state) = (
            one.state.map(\.0), Dictionary(uniqueKeysWithValues: several[0].state)
        )
        #expect(Set(names) == Set(state.keys))
        for (name, bytes) in one.state {
            let other = try #require(state[name])
            #expect(bytes.count == other.count, "\(name)")
            if name.hasSuffix(".step") { #expect(bytes == other, "\(name)") }
        }
        #expect(Self.bytes(one.state, "w4.weight.step") != Self.bytes(one.state, "w0.weight.step"))
    }

    private static func bytes(_ state: [(String, [UInt8])], _ name: String) -> [UInt8] {
        state.first { $0.0 == name }?.1 ?? []
    }

    /// State moves between one process and several, and between what is divided, to the bit.
    @Test(arguments: [DType.float32, .bfloat16])
    func stateMovesBetweenNumbersOfProcesses(_ dtype: DType) throws {
        var last = try #require(Self.trained(dtype, size: 1, zero: .none, steps: 0..<2).first)
        for (size, zero) in [(3, ZeroStage.gradients), (2, .optimizer), (2, .none), (1, .none)] {
            let next = try #require(
                Self.trained(
                    dtype, size: size, zero: zero, steps: 2..<2, from: last.state,
                    weights: last.weights
                ).first)
            let (a, b) = (
                Dictionary(uniqueKeysWithValues: last.state),
                Dictionary(uniqueKeysWithValues: next.state)
            )
            #expect(a == b && next.weights == last.weights, "\(size) \(zero)")
            last = next
        }
    }

    @Test func eachProcessKeepsItsPartOfTheState() throws {
        let port = freePort()
        let bytes = Mutex([Int]())
        inThreads(2) { rank in
            do {
                let group = try ProcessGroup(
                    rank: rank, size: 2, at: .init(host: "127.0.0.1", port: port), timeout: 20)
                let parallel = DataParallel(
                    Self.groups(.bfloat16), processes: group, zero: .optimizer)
                let optimizer = AdamW(groups: parallel.groups)
                let size = optimizer.state.filter { !$0.0.hasSuffix("step") }
                    .reduce(0) { $0 + $1.1.byteCount }
                bytes.withLock { $0.append(size) }
                try group.sum(Tensor.zeros([1]))
            } catch {
                Issue.record(error)
            }
        }
        let whole = AdamW(groups: Self.groups(.bfloat16)).state
            .filter { !$0.0.hasSuffix("step") }.reduce(0) { $0 + $1.1.byteCount }
        let parts = bytes.withLock { $0 }
        #expect(parts.reduce(0, +) == whole)
        #expect(parts.allSatisfy { $0 < whole * 6 / 10 }, "\(parts) of \(whole)")
    }
}
