import Foundation
import Testing

@testable import Torch

@Suite struct GradientTests {
    @Test func gradientsAddUpUntilCleared() throws {
        let x = Tensor([1, 2] as [Float], shape: [2])
        #expect(!x.requiresGradient && x.gradient == nil)
        x.requiresGradient = true
        x.square().sum().backward()
        x.square().sum().backward()
        #expect(try #require(x.gradient).floats() == [4, 8])
        x.gradient = nil
        #expect(x.gradient == nil)
        (x * 3).backward(Tensor([1, 10] as [Float], shape: [2]))
        #expect(try #require(x.gradient).floats() == [3, 30])
    }

    @Test func detachedValuesStopTheGradient() throws {
        let x = Tensor(3)
        x.requiresGradient = true
        (x * x.detached()).backward()
        #expect(try #require(x.gradient).item() == 3)
    }

    @Test func scopesSwitchRecordingAndRestoreIt() {
        struct Stop: Error {}
        let x = Tensor(2)
        x.requiresGradient = true
        withoutGradients {
            #expect(!(x * 2).requiresGradient)
            withGradients { #expect((x * 2).requiresGradient) }
            #expect(!(x * 2).requiresGradient)
        }
        #expect(throws: Stop.self) { try withoutGradients { throw Stop() } }
        #expect((x * 2).requiresGradient)
    }

    @Test func recordingIsAThreadsOwnBusiness() {
        final class Answer: @unchecked Sendable {  // written before, read after the semaphore
            var recorded = false
        }
        let answer = Answer()
        let done = DispatchSemaphore(value: 0)
        withoutGradients {
            Thread {
                let x = Tensor(2)
                x.requiresGradient = true
                answer.recorded = (x * 2).requiresGradient
                done.signal()
            }.start()
            done.wait()
        }
        #expect(answer.recorded)
    }

    @Test func gradientsOfChosenInputsLeaveLeavesAlone() throws {
        let (x, y, unused) = (Tensor(2), Tensor(5), Tensor(1))
        for leaf in [x, y, unused] { leaf.requiresGradient = true }
        let z = x * x * y
        let gradients = z.gradients(of: [x, y, unused], keepingGraph: true)
        #expect(gradients.map { $0?.item() } == [20, 4, nil])
        #expect(x.gradient == nil)
        z.backward()
        #expect(try #require(x.gradient).item() == 20)
    }

    @Test func generatorsRepeatAndContinueFromTheirState() {
        let (one, two) = (Generator(seed: 5), Generator(seed: 5))
        #expect(
            Tensor.normal([9], generator: one).bytes() == Tensor.normal([9], generator: two).bytes()
        )
        let state = one.state
        let next = Tensor.uniform([4], generator: one).floats()
        one.state = state
        #expect(Tensor.uniform([4], generator: one).floats() == next)
        #expect(next.allSatisfy { (0..<1).contains($0) })
        let other = Generator(seed: 6)
        #expect(
            Tensor.normal([9], generator: other).bytes()
                != Tensor.normal([9], generator: two).bytes())
        #expect(Tensor.randomPermutation(50, generator: one).ints().sorted() == Array(0..<50))
        #expect(two.accepts(state: state) && !two.accepts(state: [1, 2]))
    }

    @Test func samplingFollowsTheWeights() {
        let weights = Tensor([0, 1, 3] as [Float], shape: [3])
        let draws = weights.sampled(4000, replacing: true, generator: Generator(seed: 1)).ints()
        #expect(!draws.contains(0))
        #expect(abs(Double(draws.count { $0 == 2 }) / 4000 - 0.75) < 0.03)
    }

    @Test func normalValuesHaveTheirMoments() {
        let values = Tensor.normal([40_000], dtype: .float64, generator: Generator(seed: 2))
        #expect(abs(values.mean().item()) < 0.02)
        #expect(abs(values.variance(axis: 0).item() - 1) < 0.03)
    }

    @Test func aWatchedTensorAddsUpTheSquaresOfWhatReachesIt() throws {
        let x = Tensor([1.0, -2, 3] as [Float], shape: [3])
        x.requiresGradient = true
        let (seen, squares) = (x * 2).watchingGradient()
        #expect(squares.item() == 0)
        let sum = (seen * Tensor([1.0, 2, 3] as [Float], shape: [3])).sum()
        sum.backward()
        #expect(squares.item() == 14)
        #expect(x.gradient?.floats() == [2, 4, 6])
        let still = withoutGradients { x.watchingGradient() }
        #expect(still.tensor.floats() == x.floats() && still.squares.item() == 0)
    }
}
