import AnyRes
import Torch
import TorchNN

// Shapes: P pictures, k noised copies of each, M = P k, g x g tokens, N = g g, c latent channels, r latent cells along a
// token's side, C = c r r channels of a token, H language width.

/// ROSS hyperparameters, read from `objective.ross` in `config.json` and in a stage file.
public struct ROSSConfiguration: Codable, Equatable, Sendable {
    /// Width of the denoiser's tokens, a multiple of 4 and of ``headCount``.
    public var width: Int
    /// Blocks of the denoiser.
    public var layerCount: Int
    /// Attention heads of a block.
    public var headCount: Int
    /// Latent cells along a token's side; they become channels of the token. The picture is brought to
    /// g x `cellsPerToken` x the codec's cell pixels a side: with 2 and cells of 8 pixels 16 pixels a token.
    public var cellsPerToken: Int
    /// How the noise grows from step to step.
    public var betaSchedule: BetaSchedule
    /// Times that each picture is noised in a step, with a time and noise of their own.
    public var noiseSamples: Int

    /// Settings; the defaults are those of the released code.
    public init(
        width: Int = 1024, layerCount: Int = 3, headCount: Int = 16, cellsPerToken: Int = 2,
        betaSchedule: BetaSchedule = .cosine, noiseSamples: Int = 4
    ) {
        self.width = width
        self.layerCount = layerCount
        self.headCount = headCount
        self.cellsPerToken = cellsPerToken
        self.betaSchedule = betaSchedule
        self.noiseSamples = noiseSamples
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case width
        case layerCount = "layers"
        case headCount = "heads"
        case cellsPerToken, betaSchedule, noiseSamples
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = ROSSConfiguration()
        width = try values.size(.width, standard: defaults.width, limit: 1 << 16)
        layerCount = try values.size(.layerCount, standard: defaults.layerCount, limit: 1 << 10)
        headCount = try values.size(.headCount, standard: defaults.headCount, limit: 1 << 16)
        cellsPerToken = try values.size(
            .cellsPerToken, standard: defaults.cellsPerToken, limit: 1 << 6)
        betaSchedule =
            try values.decodeIfPresent(BetaSchedule.self, forKey: .betaSchedule)
            ?? defaults.betaSchedule
        noiseSamples = try values.size(
            .noiseSamples, standard: defaults.noiseSamples, limit: 1 << 10)
        try values.require(
            width % headCount == 0, .headCount,
            "\(headCount) heads do not divide the width \(width)")
        try values.require(
            width % 4 == 0, .width,
            "must be a multiple of 4, for the sines of the places, not \(width)")
    }
}

/// Reconstructive visual instruction tuning (ROSS, arXiv:2410.09575): the decoder's last hidden states at a picture's
/// places tell a denoiser what noise was added to the picture's frozen latent.
///
/// `x_t = √ᾱ_t z + √(1 - ᾱ_t) ε` at an even draw of t, and the loss is the mean of `(ε - ε_θ(x_t, t, h))²`, over
/// ``ROSSConfiguration/noiseSamples`` draws of t and ε a picture. The state of a place tells of the latent cells under the
/// same token, so it has seen that token.
public struct ROSS {
    /// What the denoiser is built by.
    public let configuration: ROSSConfiguration
    let schedule: DiffusionSchedule
    let denoiser: StateDenoiser
    let frozen: LatentTargets

    /// - Parameters:
    ///   - side: g.
    ///   - stateWidth: H.
    init(
        _ objective: ObjectiveConfiguration, side: Int, stateWidth: Int, latents: any LatentCodec,
        frame: TargetFrame, in scope: ParameterScope
    ) throws {
        configuration = objective.ross ?? ROSSConfiguration()
        let cells = configuration.cellsPerToken
        schedule = DiffusionSchedule(configuration.betaSchedule)
        frozen = try LatentTargets(
            latents, size: side * cells * latents.downscale, latent: objective.latent, frame: frame)
        denoiser = try StateDenoiser(
            configuration, channels: latents.channels * cells * cells, side: side,
            stateWidth: stateWidth, in: scope)
    }

    /// The frozen latents' network.
    public var latents: any LatentCodec { frozen.codec }
    /// Side of the square that the picture is brought to before its latent is taken, pixels.
    public var pictureSize: Int { frozen.size }

    /// The frozen latents of some pictures on the tokens' grid, `[P, C, g, g]`, float32; see
    /// ``Reconstruction/targets(of:keys:cache:generators:device:)``.
    public func targets(
        of pictures: [TiledPicture], keys: [String] = [], cache: LatentCache? = nil,
        generators: [Generator]? = nil, device: Device
    ) -> Tensor {
        folded(
            frozen(of: pictures, keys: keys, cache: cache, generators: generators, device: device),
            by: configuration.cellsPerToken)
    }

    /// Sum over the pictures of each one's mean error, a float32 scalar.
    ///
    /// - Parameters:
    ///   - z: targets, `[P, C, g, g]`.
    ///   - states: the decoder's last hidden states at the pictures' places, `[P, N, H]`.
    ///   - generators: one for each picture, or the same for several; they draw the steps and the noise, so that a
    ///     picture's draws do not depend on its neighbours.
    public func loss(of z: Tensor, states: Tensor, generators: [Generator]) -> Tensor {
        let copies = configuration.noiseSamples
        var steps: [Int] = []
        var draws: [Tensor] = []
        for generator in generators {
            for _ in 0..<copies {
                let u = Tensor.uniform([1], generator: generator).item()
                let count = DiffusionSchedule.stepCount
                steps.append(min(Int(u * Double(count)), count - 1))
                draws.append(.normal(Array(z.shape.dropFirst()), generator: generator))
            }
        }
        let noise = Tensor.stacked(draws, axis: 0).to(z.device)  // [M, C, g, g]
        let data = z.unsqueezed(1).expanded(to: [z.shape[0], copies] + z.shape.dropFirst())
            .reshaped(noise.shape)
        let found = denoiser(
            schedule.noised(data, noise: noise, steps: steps).to(states.dtype), steps: steps,
            states: states)
        return (noise - found.to(.float32)).square().mean(axes: [1, 2, 3]).sum() / Double(copies)
    }
}

/// `[P, c, g r, g r]` to `[P, c r r, g, g]`: the cells of each r x r square become channels, row by row.
func folded(_ latents: Tensor, by r: Int) -> Tensor {
    guard r > 1 else { return latents }
    let (p, c, g) = (latents.shape[0], latents.shape[1], latents.shape[2] / r)
    return latents.reshaped([p, c, g, r, g, r]).permuted([0, 1, 3, 5, 2, 4])
        .reshaped([p, c * r * r, g, g])
}
