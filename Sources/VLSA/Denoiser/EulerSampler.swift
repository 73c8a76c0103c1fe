import Torch

/// Follows the velocity from noise to data in straight steps, with guidance.
public struct EulerSampler {
    /// The noise levels.
    public let schedule: FlowSchedule
    /// How many.
    public let steps: Int
    /// `v = v_free + guidance (v_prompted - v_free)`; at 1 the unprompted pass is left out.
    public let guidance: Double

    public init(schedule: FlowSchedule = .init(), steps: Int, guidance: Double = 1) {
        self.schedule = schedule
        self.steps = steps
        self.guidance = guidance
    }

    /// Denoises.
    ///
    /// - Parameters:
    ///   - noise: where to start, `[B, C, h, w]`; the state is kept in fp32.
    ///   - velocity: the network, given state, timesteps `[B]` in 0...1000, and whether the prompt
    ///     is wanted.
    ///   - eachStep: called with every new state.
    /// - Returns: the last state, fp32.
    public func callAsFunction(
        from noise: Tensor,
        velocity: (_ state: Tensor, _ timesteps: Tensor, _ isPrompted: Bool) -> Tensor,
        eachStep: (_ step: Int, _ state: Tensor) -> Void = { _, _ in }
    ) -> Tensor {
        let sigmas = schedule.sigmas(steps: steps)
        var state = noise.to(.float32)
        for step in 0..<steps {
            let times = Tensor.full(
                [state.shape[0]], sigmas[step] * Double(schedule.trainSteps), device: state.device)
            var direction = velocity(state, times, true).to(.float32)
            if guidance != 1 {
                let free = velocity(state, times, false).to(.float32)
                direction = free + (direction - free) * guidance
            }
            state = state + direction * (sigmas[step + 1] - sigmas[step])
            eachStep(step, state)
        }
        return state
    }
}

extension MMDiT {
    /// Denoised latents `[B, C, h, w]` from `noise` of that shape, without gradients.
    ///
    /// - Parameters:
    ///   - context: the prompt's vectors, `[B, L, contextWidth]`.
    ///   - pooled: `[B, pooledWidth]`.
    ///   - unprompted: what stands for no prompt, when the sampler guides; zeros if nil.
    public func sample(
        from noise: Tensor, context: Tensor, pooled: Tensor,
        unprompted: (context: Tensor, pooled: Tensor)? = nil, sampler: EulerSampler
    ) -> Tensor {
        withoutGradients {
            sampler(from: noise) { state, times, isPrompted in
                let free = unprompted ?? (context.zerosLike(), pooled.zerosLike())
                return self(
                    state.to(context.dtype), timesteps: times,
                    context: isPrompted ? context : free.context,
                    pooled: isPrompted ? pooled : free.pooled)
            }
        }
    }
}
