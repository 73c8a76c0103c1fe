import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// The SD3 transformer, its schedule and its sampler against the reference.
@Suite struct DenoiserGoldenTests {
    private func open(_ family: String) throws -> (MMDiT, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let model = try GoldenFixture(family).folder().denoiser(into: store, at: "denoiser")
        try store.checkComplete()
        return (model, store)
    }

    @Test("blocks, velocity, loss and gradients", arguments: ["sd3", "sd35"])
    func matchesReference(_ family: String) throws {
        let (model, store) = try open(family)
        store.train(["denoiser"])
        let golden = try GoldenFixture(family).values()
        let latents = try golden("in.hidden_states")
        let context = try golden("in.encoder_hidden_states")
        latents.requiresGradient = true
        context.requiresGradient = true
        var blocks: [(Int, Tensor, Tensor?)] = []
        let velocity = model.traced(
            latents, timesteps: try golden("in.timestep"), context: context,
            pooled: try golden("in.pooled_projections")
        ) { blocks.append(($0, $1, $2)) }
        for (index, image, prompt) in blocks {
            expectClose(
                image, try golden("out.block.\(index).hidden_states"), "block \(index), image")
            let key = "out.block.\(index).encoder_hidden_states"
            #expect(golden.has(key) == (prompt != nil))
            if let prompt { expectClose(prompt, try golden(key), "block \(index), prompt") }
        }
        expectClose(velocity, try golden("out.sample"), "velocity")
        let loss = (velocity - (try golden("in.target"))).square().mean()
        expectLoss(loss, try golden.number("out.loss"))
        loss.backward()
        try golden.expectGradient(of: latents, "hidden_states")
        try golden.expectGradient(of: context, "encoder_hidden_states")
        try golden.expectGradients(in: store) { "denoiser." + $0 }
        #expect(store["denoiser.pos_embed.pos_embed"]?.requiresGradient == false)
    }

    @Test("guided sampling", arguments: ["sd3", "sd35"])
    func guidedSampling(_ family: String) throws {
        let (model, _) = try open(family)
        let golden = try GoldenFixture(family).values()
        let context = try golden("in.encoder_hidden_states")
        let pooled = try golden("in.pooled_projections")
        func row(_ tensor: Tensor, _ index: Int) -> Tensor {
            tensor.narrowed(axis: 0, start: index, length: 1)
        }
        let expected = try golden("cfg.out.trajectory")
        let sampler = EulerSampler(
            steps: 4, guidance: try golden.number("cfg.in.guidance_scale"))
        let start = try golden("cfg.in.latents")
        let last = withoutGradients {
            sampler(
                from: start,
                velocity: { state, times, isPrompted in
                    let index = isPrompted ? 1 : 0
                    return model(
                        state, timesteps: times, context: row(context, index),
                        pooled: row(pooled, index))
                },
                eachStep: { step, state in
                    expectClose(state, row(expected, step), within: 1e-3, "step \(step)")
                })
        }
        let short = model.sample(
            from: start, context: row(context, 1), pooled: row(pooled, 1),
            unprompted: (row(context, 0), row(pooled, 0)), sampler: sampler)
        expectClose(short, last, within: 0)
    }

    @Test("noise levels", arguments: [1.0, 3.0])
    func schedule(_ shift: Double) throws {
        let golden = try GoldenFixture("scheduler_flow_match_euler").values()
        let schedule = FlowSchedule(shift: shift)
        func compare(_ made: [Double], _ name: String, scale: Double = 1) throws {
            let expected = try golden(name)
            expectClose(
                Tensor(made.map { Float($0 * scale) }, shape: [made.count]), expected,
                within: 1e-6 * scale * 4, name)
        }
        let table = schedule.trainingSigmas
        try compare(table, "shift\(shift).train.sigmas")
        try compare(table, "shift\(shift).train.timesteps", scale: 1000)
        for steps in [1, 4, 28, 50] {
            let sigmas = schedule.sigmas(steps: steps)
            try compare(sigmas, "shift\(shift).steps\(steps).sigmas")
            try compare(
                Array(sigmas.dropLast()), "shift\(shift).steps\(steps).timesteps", scale: 1000)
        }
    }

    @Test func samplerFollowsALinearField() throws {
        let golden = try GoldenFixture("scheduler_flow_match_euler").values()
        let folder = GoldenFixture("scheduler_flow_match_euler").path
        let data = try #require(
            FileManager.default.contents(atPath: folder + "/scheduler_config.json"))
        let schedule = try JSONDecoder().decode(FlowSchedule.self, from: data)
        #expect(schedule == FlowSchedule(shift: 3, trainSteps: 1000))
        let offset = try golden("sampling.in.b")
        let expected = try golden("sampling.out.trajectory")
        _ = EulerSampler(schedule: schedule, steps: 10)(
            from: try golden("sampling.in.x"),
            velocity: { state, _, _ in state * 0.3 + offset },
            eachStep: { step, state in
                expectClose(
                    state, expected.narrowed(axis: 0, start: step, length: 1), within: 1e-5)
            })
    }

    @Test func noisingAndVelocityAgreeWithTheSchedule() throws {
        let golden = try GoldenFixture("scheduler_flow_match_euler").values()
        let (data, noise) = (try golden("noising.in.sample"), try golden("noising.in.noise"))
        let time = (try golden("noising.in.timesteps") / 1000).reshaped([3, 1, 1, 1])
        expectClose(
            (1 - time) * data + time * noise, try golden("noising.out.noisy"), within: 1e-5)
        expectClose(noise - data, try golden("noising.out.velocity_target"), within: 1e-6)
    }

    @Test func promptOrderIsNothingToTheDenoiser() throws {
        let (model, _) = try open("sd3")
        let golden = try GoldenFixture("sd3").values()
        let context = try golden("in.encoder_hidden_states")
        func velocity(_ context: Tensor) throws -> Tensor {
            model(
                try golden("in.hidden_states"), timesteps: try golden("in.timestep"),
                context: context, pooled: try golden("in.pooled_projections"))
        }
        expectClose(
            try velocity(context), try velocity(context.flipped(axis: 1)), within: 1e-5)
    }

    @Test func aNewDenoiserPassesNothingOnAndRoundTrips() throws {
        let configuration = MMDiTConfiguration(
            sampleSize: 8, channels: 4, layerCount: 2, headWidth: 8, headCount: 2,
            contextWidth: 12, pooledWidth: 10, positionGrid: 6, normalizesQueries: true,
            dualAttentionLayers: [0])
        let store = ParameterStore(seed: 3)
        let model = try MMDiT(configuration, in: store.scope["denoiser"])
        let generator = Generator(seed: 1)
        let latents = Tensor.normal([1, 4, 8, 8], generator: generator)
        let velocity = model(
            latents, timesteps: Tensor([Float(500)], shape: [1]),
            context: Tensor.normal([1, 3, 12], generator: generator),
            pooled: Tensor.normal([1, 10], generator: generator))
        #expect(velocity.abs().max().item() == 0)
        let folder = try TemporaryFolder.make()
        try saveFolder(configuration, part: "denoiser", of: store, to: folder)
        let again = ParameterStore(seed: 4)
        let loaded = try CheckpointFolder(folder).denoiser(into: again)
        try again.checkComplete()
        #expect(loaded.configuration == configuration)
        for name in store.names {
            expectClose(try #require(again[name]), try #require(store[name]), within: 0, name)
        }
    }
}
