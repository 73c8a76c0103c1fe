import Torch
import TorchNN

/// Hyperparameters of a KL autoencoder: diffusers' `config.json` of an `AutoencoderKL`.
public struct AutoencoderKLConfiguration: Codable, Equatable, Sendable {
    /// The two convolutional halves.
    public let convolutions: ConvolutionConfiguration
    /// Channels of a latent.
    public let latentChannels: Int
    /// Model latents are `(z - shift) * scaling`.
    public let scaling: Double
    /// See ``scaling``.
    public let shift: Double
    /// A 1 x 1 convolution after the encoder.
    public let hasQuantConvolution: Bool
    /// A 1 x 1 convolution before the decoder.
    public let hasPostQuantConvolution: Bool
    /// Nominal side of a picture, pixels.
    public let sampleSize: Int

    enum CodingKeys: String, CodingKey {
        case className = "_class_name"
        case latentChannels = "latent_channels"
        case scaling = "scaling_factor"
        case shift = "shift_factor"
        case hasQuantConvolution = "use_quant_conv"
        case hasPostQuantConvolution = "use_post_quant_conv"
        case sampleSize = "sample_size"
    }

    public init(
        convolutions: ConvolutionConfiguration, latentChannels: Int, scaling: Double = 0.18215,
        shift: Double = 0, hasQuantConvolution: Bool = true, hasPostQuantConvolution: Bool = true,
        sampleSize: Int = 32
    ) {
        self.convolutions = convolutions
        self.latentChannels = latentChannels
        self.scaling = scaling
        self.shift = shift
        self.hasQuantConvolution = hasQuantConvolution
        self.hasPostQuantConvolution = hasPostQuantConvolution
        self.sampleSize = sampleSize
    }
}

extension AutoencoderKLConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        convolutions = try ConvolutionConfiguration(from: decoder)
        latentChannels = try values.size(.latentChannels, standard: 4)
        scaling = try values.positive(.scaling, standard: 0.18215)
        shift = try values.number(.shift, standard: 0)
        hasQuantConvolution = try values.flag(.hasQuantConvolution, standard: true)
        hasPostQuantConvolution = try values.flag(.hasPostQuantConvolution, standard: true)
        sampleSize = try values.size(.sampleSize, standard: 32)
    }

    public func encode(to encoder: any Encoder) throws {
        try convolutions.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode("AutoencoderKL", forKey: .className)
        try values.encode(latentChannels, forKey: .latentChannels)
        try values.encode(DecimalNumber(scaling), forKey: .scaling)
        try values.encode(DecimalNumber(shift), forKey: .shift)
        try values.encode(hasQuantConvolution, forKey: .hasQuantConvolution)
        try values.encode(hasPostQuantConvolution, forKey: .hasPostQuantConvolution)
        try values.encode(sampleSize, forKey: .sampleSize)
    }
}

/// A picture's latent distribution, diagonal normal, `[B, C, h, w]` each.
public struct LatentDistribution {
    /// `[B, C, h, w]`.
    public let mean: Tensor
    /// Clamped to -30...20.
    public let logVariance: Tensor

    /// Standard deviation.
    public var deviation: Tensor { (logVariance * 0.5).exp() }

    /// KL divergence from the standard normal, summed over each picture, `[B]`.
    public var divergence: Tensor {
        ((mean.square() + logVariance.exp() - logVariance - 1) * 0.5).sum(axes: [1, 2, 3])
    }
}

/// The variational autoencoder of SD3 and of latent diffusion (KL-f8, KL-f16), under diffusers'
/// names.
public struct AutoencoderKL: LatentCodec {
    /// The hyperparameters it was built from.
    public let configuration: AutoencoderKLConfiguration
    let encoder: ConvolutionEncoder
    let decoder: ConvolutionDecoder
    let quant: Conv2d?
    let postQuant: Conv2d?
    private let dtype: DType

    public init(_ configuration: AutoencoderKLConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        dtype = scope.store.dtype
        let (channels, convolutions) = (configuration.latentChannels, configuration.convolutions)
        encoder = try ConvolutionEncoder(convolutions, channels: 2 * channels, in: scope["encoder"])
        decoder = try ConvolutionDecoder(convolutions, channels: channels, in: scope["decoder"])
        quant =
            configuration.hasQuantConvolution
            ? try Conv2d(2 * channels, 2 * channels, kernel: 1, in: scope["quant_conv"]) : nil
        postQuant =
            configuration.hasPostQuantConvolution
            ? try Conv2d(channels, channels, kernel: 1, in: scope["post_quant_conv"]) : nil
    }

    public var channels: Int { configuration.latentChannels }
    public var downscale: Int { configuration.convolutions.downscale }

    /// Mean and log variance as the encoder gives them, `[B, 2 C, h, w]`, in the weights' dtype.
    public func moments(_ pixels: Tensor) -> Tensor {
        let raw = encoder(pixels.to(dtype))
        return quant?(raw) ?? raw
    }

    /// The unscaled latents' distribution.
    public func distribution(_ pixels: Tensor) -> LatentDistribution {
        let halves = moments(pixels).chunked(2, axis: 1)
        return LatentDistribution(
            mean: halves[0], logVariance: halves[1].clamped(min: -30, max: 20))
    }

    /// Scaled latents of the distribution's mean.
    public func encode(_ pixels: Tensor) -> Tensor { scaled(distribution(pixels).mean) }

    /// Scaled latents of a draw, as the public trainers take their targets.
    public func encode(_ pixels: Tensor, generator: Generator) -> Tensor {
        let made = distribution(pixels)
        let noise = Tensor.normal(made.mean.shape, dtype: made.mean.dtype, generator: generator)
            .to(made.mean.device)
        return scaled(made.mean + made.deviation * noise)
    }

    /// The pictures of scaled latents.
    public func decode(_ latents: Tensor) -> Tensor { decode(unscaled: unscaled(latents)) }

    /// The pictures of latents as the encoder gives them.
    public func decode(unscaled latents: Tensor) -> Tensor {
        let latents = latents.to(dtype)
        return decoder(postQuant?(latents) ?? latents)
    }

    /// `(z - shift) * scaling`.
    public func scaled(_ latents: Tensor) -> Tensor {
        (latents - configuration.shift) * configuration.scaling
    }

    /// `z / scaling + shift`.
    public func unscaled(_ latents: Tensor) -> Tensor {
        latents / configuration.scaling + configuration.shift
    }
}
