import AnyRes
import Torch
import TorchNN

// Shapes: B pictures, C latent channels, h x w latent cells, l visual tokens, d language width.

/// Rebuilds pictures' latents from their visual tokens: the reconstruction side of perception alignment.
///
/// The denoiser sees the noised latent and, through ``Epigone``, the visual tokens; it predicts the velocity of the
/// ``RectifiedFlow``, and what it thereby says of the latent is held against the latent (VLSA equation 3).
public struct Reconstruction {
    public let configuration: ObjectiveConfiguration
    let flow: RectifiedFlow
    let epigone: Epigone
    let denoiser: MMDiT
    let frozen: LatentTargets

    init(
        _ configuration: ObjectiveConfiguration, epigone: Epigone, denoiser: MMDiT,
        latents: any LatentCodec
    ) throws {
        let size = configuration.pictureSize
        let cell = latents.downscale * denoiser.configuration.patchSize
        guard size > 0, size % cell == 0 else {
            throw VLSAError.configuration(
                "objective.pictureSize is \(size); it must be a multiple of \(cell) "
                    + "(the latents' \(latents.downscale) pixels a cell, patches of "
                    + "\(denoiser.configuration.patchSize) cells)")
        }
        guard size / cell <= denoiser.configuration.positionGrid else {
            throw VLSAError.configuration(
                "objective.pictureSize \(size) gives \(size / cell) patches a side, but the denoiser's "
                    + "position table ends at \(denoiser.configuration.positionGrid)")
        }
        guard latents.channels == denoiser.configuration.channels else {
            throw VLSAError.configuration(
                "the latents have \(latents.channels) channels, the denoiser expects "
                    + "\(denoiser.configuration.channels)")
        }
        guard denoiser.configuration.outputChannels == latents.channels else {
            throw VLSAError.configuration(
                "the denoiser gives \(denoiser.configuration.outputChannels) channels for latents of "
                    + "\(latents.channels): its out_channels must equal its in_channels")
        }
        self.configuration = configuration
        flow = RectifiedFlow(time: configuration.time, target: configuration.target)
        self.epigone = epigone
        self.denoiser = denoiser
        frozen = try LatentTargets(
            latents, size: size, latent: configuration.latent, frame: .padded)
    }

    /// The frozen latents' network.
    public var latents: any LatentCodec { frozen.codec }

    /// The frozen targets of some pictures: the padded picture at `pictureSize`, encoded. `[B, C, h, w]`, float32.
    ///
    /// Each picture is encoded on its own, so that its latent depends on no other.
    ///
    /// - Parameters:
    ///   - keys: of the pictures' content and cut, for the cache; as many as pictures.
    ///   - cache: where latents are kept; nil encodes every picture.
    ///   - generators: one for each picture, or the same for several, with ``LatentTarget/sample``; nil takes the
    ///     means all the same.
    public func targets(
        of pictures: [TiledPicture], keys: [String] = [], cache: LatentCache? = nil,
        generators: [Generator]? = nil, device: Device
    ) -> Tensor {
        frozen(of: pictures, keys: keys, cache: cache, generators: generators, device: device)
    }

    /// Sum over the pictures of each one's mean reconstruction error, float32.
    ///
    /// - Parameters:
    ///   - z: frozen latents, `[B, C, h, w]`.
    ///   - tokens: visual tokens, `[B, l, d]`; `pooled`: the pooled tokens, `[B, d]`.
    ///   - generators: one for each picture, or the same for several; they draw the times and the noise, and in
    ///     training, before those, which prompts are dropped.
    ///   - isCheckpointed: keeps only what passes from block to block of the denoiser for the derivative.
    public func loss(
        of z: Tensor, tokens: Tensor, pooled: Tensor, generators: [Generator],
        isCheckpointed: Bool = false
    ) -> Tensor {
        var prompt = epigone(tokens, pooled: pooled)
        if configuration.promptDropout > 0, gradientsEnabled {
            let draws = generators.map { Tensor.uniform([1], generator: $0).item() }
            let kept = Tensor(
                draws.map { $0 < configuration.promptDropout ? Float(0) : 1 },
                shape: [draws.count, 1],
                device: tokens.device
            ).to(prompt.pooled.dtype)
            prompt = (prompt.context * kept.unsqueezed(2), prompt.pooled * kept)
        }
        return flow.loss(of: z, generators: generators) { noised, time in
            denoiser(
                noised.to(tokens.dtype), timesteps: time * 1000, context: prompt.context,
                pooled: prompt.pooled, isCheckpointed: isCheckpointed)
        }.sum()
    }

    /// Pictures from noise through the visual tokens alone: Euler steps along the flow, decoded, `[B, 3, H, W]`
    /// in -1...1 (not clamped).
    ///
    /// - Parameters:
    ///   - steps: number of Euler steps.
    ///   - guidance: weight of the tokens' prompt against one of zeros; 1 leaves guidance out.
    ///   - generator: draws the noise.
    public func sample(
        tokens: Tensor, pooled: Tensor, steps: Int, guidance: Double = 1, generator: Generator
    ) -> Tensor {
        withoutGradients {
            let side = configuration.pictureSize / latents.downscale
            let noise = Tensor.normal(
                [tokens.shape[0], latents.channels, side, side], generator: generator
            ).to(tokens.device)
            let prompt = epigone(tokens, pooled: pooled)
            let z = denoiser.sample(
                from: noise, context: prompt.context, pooled: prompt.pooled,
                sampler: EulerSampler(
                    schedule: FlowSchedule(shift: configuration.time.shift), steps: steps,
                    guidance: guidance))
            return latents.decode(z)
        }
    }
}
