import Foundation
import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// The SD3 transformer, its schedule and its sampler against the reference.
@Suite struct DenoiserGoldenTests {
    static let families = GoldenFolder.families("SD3Transformer2DModel")
    static let scheduler = "scheduler_flow_match_euler"

    private func open(_ family: String) throws -> (MMDiT, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let model = try GoldenFixture(family).folder().denoiser(into: store, at: "denoiser")
        try store.checkComplete()
        return (model, store)
    }

    @Test("blocks, velocity, loss and gradients", arguments: families)
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
            try golden.expect(image, "out.block.\(index).hidden_states")
            let key = "out.block.\(index).encoder_hidden_states"
            #expect(golden.has(key) == (prompt != nil))
            if let prompt { try golden.expect(prompt, key) }
        }
        try golden.expect(velocity, "out.sample")
        let loss = (velocity - (try golden("in.target"))).square().mean()
        try golden.expectLoss(loss, "out.loss")
        loss.backward()
        try golden.expectGradient(of: latents, "hidden_states")
        try golden.expectGradient(of: context, "encoder_hidden_states")
        try golden.expectGradients(in: store) { "denoiser." + $0 }
        #expect(store["denoiser.pos_embed.pos_embed"]?.requiresGradient == false)
    }

    @Test("guided sampling", arguments: families)
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
            steps: expected.shape[0], guidance: try golden.number("cfg.in.guidance_scale"))
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
                    golden.expect(
                        state, equals: row(expected, step), "cfg step \(step)", within: 1e-3)
                })
        }
        let short = model.sample(
            from: start, context: row(context, 1), pooled: row(pooled, 1),
            unprompted: (row(context, 0), row(pooled, 0)), sampler: sampler)
        expectClose(short, last, within: 0)
    }

    @Test(
        "noise levels of scheduler_flow_match_euler", .enabled(if: GoldenFolder.contains(scheduler))
    )
    func noiseLevels() throws {
        let golden = try GoldenFixture(Self.scheduler).values()
        func compare(_ made: [Double], _ name: String, scale: Double = 1) throws {
            try golden.expect(
                Tensor(made.map { Float($0 * scale) }, shape: [made.count]), name,
                within: 1e-6 * scale * 4)
        }
        for shift in golden.names(matching: /shift([0-9.]+)\.train\.sigmas/) {
            let schedule = FlowSchedule(shift: try #require(Double(shift)))
            let table = schedule.trainingSigmas
            try compare(table, "shift\(shift).train.sigmas")
            try compare(table, "shift\(shift).train.timesteps", scale: 1000)
        }
        for name in golden.names(matching: /(shift.+\.steps[0-9]+)\.sigmas/) {
            let match = try #require(name.wholeMatch(of: /shift([0-9.]+)\.steps([0-9]+)/))
            let schedule = FlowSchedule(shift: try #require(Double(match.1)))
            let sigmas = schedule.sigmas(steps: try #require(Int(match.2)))
            try compare(sigmas, name + ".sigmas")
            try compare(Array(sigmas.dropLast()), name + ".timesteps", scale: 1000)
        }
        // A shift of e^mu is the one that follows the picture's size, over levels not shifted yet.
        for name in golden.names(matching: /(dynamic_mu.+)\.sigmas/) {
            let match = try #require(name.wholeMatch(of: /dynamic_mu([0-9.]+)\.steps([0-9]+)/))
            let schedule = FlowSchedule(shift: exp(try #require(Double(match.1))))
            let last = Double(try #require(Int(match.2)) - 1)
            let sigmas = stride(from: 0, through: last, by: 1).map { step in
                schedule.shifted(1 + (0.001 - 1) * step / last)
            }
            try compare(sigmas + [0], name + ".sigmas")
        }
    }

    @Test(
        "sampling run of scheduler_flow_match_euler", .enabled(if: GoldenFolder.contains(scheduler))
    )
    func samplerFollowsALinearField() throws {
        let golden = try GoldenFixture(Self.scheduler).values()
        let data = try #require(
            FileManager.default.contents(
                atPath: GoldenFixture(Self.scheduler).path + "/scheduler_config.json"))
        let schedule = try JSONDecoder().decode(FlowSchedule.self, from: data)
        let offset = try golden("sampling.in.b")
        let expected = try golden("sampling.out.trajectory")
        _ = EulerSampler(schedule: schedule, steps: expected.shape[0])(
            from: try golden("sampling.in.x"),
            velocity: { state, _, _ in state * 0.3 + offset },
            eachStep: { step, state in
                golden.expect(
                    state, equals: expected.narrowed(axis: 0, start: step, length: 1),
                    "sampling step \(step)", within: 1e-5)
            })
    }

    @Test("noising of scheduler_flow_match_euler", .enabled(if: GoldenFolder.contains(scheduler)))
    func noisingAndVelocityAgreeWithTheSchedule() throws {
        let golden = try GoldenFixture(Self.scheduler).values()
        let (data, noise) = (try golden("noising.in.sample"), try golden("noising.in.noise"))
        let time = (try golden("noising.in.timesteps") / 1000).reshaped([-1, 1, 1, 1])
        try golden.expect((1 - time) * data + time * noise, "noising.out.noisy", within: 1e-5)
        try golden.expect(noise - data, "noising.out.velocity_target", within: 1e-6)
    }

    @Test("the prompt's order is nothing to the denoiser", arguments: families)
    func promptOrder(_ family: String) throws {
        let (model, _) = try open(family)
        let golden = try GoldenFixture(family).values()
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
