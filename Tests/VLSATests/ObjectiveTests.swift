import AnyRes
import Foundation
import Testing
import Torch
import TorchNN

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

    /// The limits that are let through, for every draw.
    @Test(arguments: [-1, 0, 1.29, 1.75])
    func modeTimesStayWithinTheirRange(scale: Double) {
        let sampling = TimeSampling(density: .mode, modeScale: scale, shift: 3)
        for step in 0...1000 {
            let t = sampling.time(uniform: Double(step) / 1000, normal: 0)
            #expect(t > -1e-9 && t < 1 + 1e-9, "\(t) at \(step)")
        }
    }

    @Test func aScheduleCountsByItsPointsAndNotByTheWeight() {
        var objective = ObjectiveConfiguration(
            balance: .schedule, weight: 0, schedule: [WeightPoint(step: 0, weight: 1)])
        #expect(objective.hasWeight)
        objective.schedule[0].weight = 0
        objective.weight = 1
        #expect(!objective.hasWeight)
    }

    /// About half of the prompts are zeros, so that what the tokens are makes no difference; none without gradients.
    @Test func promptsAreDroppedInTrainingAlone() throws {
        var configuration = TinyStack.configuration
        configuration.objective.promptDropout = 0.5
        let model = try TinyStack.model(configuration)
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        let reconstruction = try #require(model.reconstruction)
        let z = Tensor.normal([1, 4, 14, 14], generator: Generator(seed: 1))
        func dropped() -> Int {
            (0..<40).count { seed in
                let losses = [UInt64(5), 6].map { tokens in
                    reconstruction.loss(
                        of: z,
                        tokens: Tensor.normal([1, 16, 32], generator: Generator(seed: tokens)),
                        pooled: Tensor.normal([1, 32], generator: Generator(seed: tokens + 9)),
                        generators: [Generator(seed: UInt64(seed))]
                    ).item()
                }
                return losses[0] == losses[1]
            }
        }
        #expect((8...32).contains(dropped()))
        #expect(withoutGradients { dropped() } == 0)
    }

    /// Draws around the mean with the encoder's own deviation, another one for every generator.
    @Test func sampledTargetsAreDrawnFromTheLatentsDistribution() throws {
        var configuration = TinyStack.configuration
        configuration.objective.pictureSize = 32
        configuration.objective.latent = .sample
        #expect(throws: VLSAError.self) { try TinyStack.model(configuration) }
        var folders = try TinyStack.folders()
        folders.latents = GoldenFixture("autoencoder_kl").path
        let model = try VLSAModel(assembling: folders, configuration: configuration)
        let reconstruction = try #require(model.reconstruction)
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        let codec = try #require(reconstruction.latents as? AutoencoderKL)
        func target(_ seed: UInt64?) -> Tensor {
            reconstruction.targets(
                of: [picture], generators: seed.map { [Generator(seed: $0)] }, device: .cpu)
        }
        let mean = target(nil)
        #expect(target(1).floats() == target(1).floats())
        #expect(target(1).floats() != target(2).floats() && target(1).floats() != mean.floats())
        let square = resized(picture.paddedPicture(), width: 32, height: 32)
        let pixels = Tensor(square.planar(), shape: [1, 3, 32, 32]).to(.float32) * (2 / 255) - 1
        let deviation = codec.distribution(pixels).deviation * codec.configuration.scaling
        let draws = (0..<200).map { (target($0) - mean) / deviation }
        let spread = Tensor.stacked(draws, axis: 0).square().mean().item()
        #expect(abs(spread - 1) < 0.02, "\(spread)")
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

    @Test(arguments: [(0, 2.0), (10, 2.0), (15, 1.5), (20, 1.0), (35, 0.5), (50, 0.0), (99, 0.0)])
    func scheduledWeightsLieOnTheLinesBetweenTheirPoints(step: Int, expected: Double) {
        let objective = ObjectiveConfiguration(
            balance: .schedule, weight: 7,
            schedule: [
                WeightPoint(step: 10, weight: 2), WeightPoint(step: 20, weight: 1),
                WeightPoint(step: 50, weight: 0),
            ])
        #expect(abs(objective.weight(at: step) - expected) < 1e-12)
    }

    @Test func uncertaintyIsThePrintedSumAndStartsAtTheWeight() throws {
        let store = ParameterStore(seed: 1)
        let balance = try UncertaintyBalance(weight: 0.2, in: store.scope["balance"])
        #expect(balance.weight(of: "text") == 1)
        #expect(abs(balance.weight(of: "visual") - 0.2) < 1e-6)
        store.train(["balance"])
        let s = try #require(store["balance.log_variance"])
        withoutGradients { s.copy(from: Tensor([0.3, -0.4], shape: [2])) }
        // Two micro-batches' sums over 3 and 5 units, divided by 8, give the whole batch's objective.
        var objective = 0.0
        for (text, visual, count) in [(6.0, 2.0, 3), (10.0, 4.0, 5)] {
            let share =
                (balance.objective(of: "text", sum: Tensor(text), count: count)
                    + balance.objective(of: "visual", sum: Tensor(visual), count: count)) / 8
            share.backward()
            objective += share.item()
        }
        let (text, visual) = (2.0, 0.75)  // means
        let expected = exp(-0.3) * text + 0.15 + 0.5 * exp(0.4) * visual - 0.2
        #expect(abs(objective - expected) < 1e-5)
        let gradient = try #require(s.gradient).doubles()
        #expect(abs(gradient[0] - (0.5 - exp(-0.3) * text)) < 1e-5)
        #expect(abs(gradient[1] - (0.5 - 0.5 * exp(0.4) * visual)) < 1e-5)
    }

    @Test(arguments: [
        (#"{"balance": "schedule"}"#, "schedule"),
        (#"{"schedule": [{"step": 0, "weight": 1}]}"#, "schedule"),
        (#"{"balance": "uncertainty", "weight": 0}"#, "weight"),
        (#"{"weight": -1}"#, "weight"),
        (
            #"{"balance": "schedule", "schedule": [{"step": 5, "weight": 1}, {"step": 5, "weight": 2}]}"#,
            "schedule"
        ),
        (#"{"balance": "schedule", "schedule": [{"step": 0, "weight": -1}]}"#, "schedule"),
        (#"{"time": {"shift": 0}}"#, "shift"), (#"{"time": {"shift": -1}}"#, "shift"),
        (#"{"time": {"deviation": -1}}"#, "deviation"),
        (#"{"time": {"density": "mode", "modeScale": 50}}"#, "modeScale"),
        (#"{"time": {"density": "mode", "modeScale": -1.1}}"#, "modeScale"),
        (#"{"promptDropout": 1}"#, "promptDropout"), (#"{"promptDropout": -0.1}"#, "promptDropout"),
    ])
    func impossibleObjectivesAreRefusedByKey(json: String, key: String) throws {
        let error = #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(ObjectiveConfiguration.self, from: Data(json.utf8))
        }
        guard case .dataCorrupted(let context) = try #require(error) else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(context.codingPath.last?.stringValue == key)
    }
}
