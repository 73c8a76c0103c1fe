import Foundation
import Testing
import Torch

@testable import VLSA

@Suite struct ObjectiveTests {
    @Test(
        "times of the densities",
        arguments: [(0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.9, 0.9642857)])
    func shiftedTimes(_ u: Double, _ expected: Double) {
        let sampling = TimeSampling(density: .uniform, shift: 3)
        #expect(abs(sampling.time(uniform: u, normal: 0) - expected) < 1e-6)
    }

    @Test(
        "mode sampling",
        arguments: [(0.1, 0.802569), (0.25, 0.616416), (0.5, 0.5), (0.9, 0.197431)])
    func modeTimes(_ u: Double, _ expected: Double) {
        let sampling = TimeSampling(density: .mode, modeScale: 1.29, shift: 1)
        #expect(abs(sampling.time(uniform: u, normal: 0) - expected) < 1e-6)
    }

    @Test func logitNormalIsTheSigmoidOfANormal() {
        let sampling = TimeSampling(density: .logitNormal, mean: 0.5, deviation: 2, shift: 1)
        #expect(abs(sampling.time(uniform: 0, normal: -0.25) - 0.5) < 1e-12)
    }

    @Test func aPerfectVelocityCostsNothingAndX0IsTSquaredTimesVelocity() {
        let z = Tensor.normal([3, 2, 4, 4], generator: Generator(seed: 1))
        let time = TimeSampling(density: .uniform, shift: 1)
        // From z_t and t the network can know the noise when it is told z: v = (z_t - z) / t.
        let perfect = RectifiedFlow(time: time, target: .x0).loss(
            of: z, generators: (0..<3).map { Generator(seed: $0) }
        ) { noised, t in (noised - z) / t.reshaped([3, 1, 1, 1]) }
        #expect(perfect.max().item() < 1e-8)

        var times: [Float] = []
        func loss(_ target: ReconstructionTarget) -> [Float] {
            RectifiedFlow(time: time, target: target).loss(
                of: z, generators: (0..<3).map { Generator(seed: $0) }
            ) { noised, t in
                times = t.floats()
                return noised * 0.3
            }.floats()
        }
        let (velocity, x0) = (loss(.velocity), loss(.x0))
        for index in 0..<3 {
            let expected = velocity[index] * times[index] * times[index]
            #expect(abs(x0[index] - expected) <= 1e-6 * max(1, abs(expected)))
        }
    }
}
