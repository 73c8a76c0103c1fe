import Torch
import TorchNN

/// Hyperparameters of a VQ autoencoder: diffusers' `config.json` of a `VQModel`, with one key more
/// for LlamaGen's.
public struct VQModelConfiguration: Codable, Equatable, Sendable {
    /// The two convolutional halves.
    public let convolutions: ConvolutionConfiguration
    /// Channels between the halves and the 1 x 1 convolutions.
    public let latentChannels: Int
    /// Rows of the codebook.
    public let codeCount: Int
    /// Width of a row.
    public let codeWidth: Int
    /// Codes and vectors are compared, and decoded, at unit length (LlamaGen).
    public let normalizesCodes: Bool
    /// Nominal side of a picture, pixels.
    public let sampleSize: Int

    enum CodingKeys: String, CodingKey {
        case className = "_class_name"
        case latentChannels = "latent_channels"
        case codeCount = "num_vq_embeddings"
        case codeWidth = "vq_embed_dim"
        case normalizesCodes = "codebook_l2_norm"
        case sampleSize = "sample_size"
        case scaling = "scaling_factor"
        case normType = "norm_type"
        case looksUp = "lookup_from_codebook"
    }

    public init(
        convolutions: ConvolutionConfiguration, latentChannels: Int, codeCount: Int, codeWidth: Int,
        normalizesCodes: Bool = false, sampleSize: Int = 32
    ) {
        self.convolutions = convolutions
        self.latentChannels = latentChannels
        self.codeCount = codeCount
        self.codeWidth = codeWidth
        self.normalizesCodes = normalizesCodes
        self.sampleSize = sampleSize
    }

    /// LlamaGen's tokenizers: an eighth or a sixteenth of the side, 16384 codes of width 8.
    public static func llamaGen(levels: [Int] = [1, 1, 2, 2, 4]) -> VQModelConfiguration {
        let widths = levels.map { $0 * 128 }
        let last = widths.count - 1
        return VQModelConfiguration(
            convolutions: ConvolutionConfiguration(
                widths: widths, encoderAttends: widths.indices.map { $0 == last },
                decoderAttends: widths.indices.map { $0 == 0 }),
            latentChannels: 256, codeCount: 16_384, codeWidth: 8, normalizesCodes: true,
            sampleSize: 256)
    }
}

extension VQModelConfiguration {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        convolutions = try ConvolutionConfiguration(from: decoder)
        latentChannels = try values.size(.latentChannels, standard: 3)
        codeCount = try values.size(.codeCount, standard: 256)
        codeWidth = try values.size(.codeWidth, standard: latentChannels)
        normalizesCodes = try values.flag(.normalizesCodes, standard: false)
        sampleSize = try values.size(.sampleSize, standard: 32)
        let norm = try values.decodeIfPresent(String.self, forKey: .normType) ?? "group"
        try values.require(norm == "group", .normType, "only group is known here, not \"\(norm)\"")
        try values.require(
            try !values.flag(.looksUp, standard: false), .looksUp, "only false is known here")
    }

    public func encode(to encoder: any Encoder) throws {
        try convolutions.encode(to: encoder)
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode("VQModel", forKey: .className)
        try values.encode(latentChannels, forKey: .latentChannels)
        try values.encode(codeCount, forKey: .codeCount)
        try values.encode(codeWidth, forKey: .codeWidth)
        if normalizesCodes { try values.encode(true, forKey: .normalizesCodes) }
        try values.encode(sampleSize, forKey: .sampleSize)
    }
}

/// What vector quantisation makes of latents.
public struct Quantized {
    /// The codes' vectors with the latents' gradient (straight through), `[B, e, h, w]`.
    public let vectors: Tensor
    /// int64 `[B, h, w]`.
    public let indices: Tensor
    /// `mean((sg q - z)^2) + 0.25 mean((q - sg z)^2)` as diffusers weighs it, scalar.
    public let loss: Tensor
}

/// A VQ autoencoder: diffusers' VQModel (ITHQ) and LlamaGen's VQ-8 and VQ-16, under diffusers'
/// names.
public struct VQModel: ImageTokenizer {
    /// The hyperparameters it was built from.
    public let configuration: VQModelConfiguration
    let encoder: ConvolutionEncoder
    let decoder: ConvolutionDecoder
    let quant: Conv2d
    let codebook: Tensor  // [n, e]
    let postQuant: Conv2d

    public init(_ configuration: VQModelConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let (convolutions, z, e) = (
            configuration.convolutions, configuration.latentChannels, configuration.codeWidth
        )
        encoder = try ConvolutionEncoder(convolutions, channels: z, in: scope["encoder"])
        decoder = try ConvolutionDecoder(convolutions, channels: z, in: scope["decoder"])
        quant = try Conv2d(z, e, kernel: 1, in: scope["quant_conv"])
        codebook = try scope["quantize"]["embedding"].parameter(
            "weight", shape: [configuration.codeCount, e],
            initial: .uniform(bound: 1 / Double(configuration.codeCount)))
        postQuant = try Conv2d(e, z, kernel: 1, in: scope["post_quant_conv"])
    }

    public var codeCount: Int { configuration.codeCount }
    public var downscale: Int { configuration.convolutions.downscale }

    /// Vectors before quantisation, `[B, e, h, w]`.
    public func encode(_ pixels: Tensor) -> Tensor { quant(encoder(pixels)) }

    public func indices(_ pixels: Tensor) -> Tensor {
        withoutGradients { nearest(encode(pixels)) }
    }

    /// Nearest codes, int64 `[B, h, w]`, of vectors `[B, e, h, w]`; the lowest of equals.
    ///
    /// Always in fp32: nearly equal distances change order in less.
    public func nearest(_ vectors: Tensor) -> Tensor {
        withoutGradients {
            let (batch, height, width) = (vectors.shape[0], vectors.shape[2], vectors.shape[3])
            let codes = codes().to(.float32)
            let rows = unit(
                vectors.to(.float32).permuted([0, 2, 3, 1]).reshaped([-1, vectors.shape[1]]))
            let distances = codes.square().sum(axis: 1) - rows.matmul(codes.transposed(0, 1)) * 2
            return (-distances).argmax(axis: -1).reshaped([batch, height, width])
        }
    }

    /// The codes' vectors, `[B, e, h, w]`, of indices `[B, h, w]`.
    public func vectors(of indices: Tensor) -> Tensor {
        codes().rows(at: indices).permuted([0, 3, 1, 2])
    }

    /// Vectors `[B, e, h, w]` to their codes, with what training needs.
    public func quantize(_ vectors: Tensor) -> Quantized {
        let indices = nearest(vectors)
        let codes = self.vectors(of: indices)
        let loss =
            (codes.detached() - vectors).square().mean()
            + (codes - vectors.detached()).square().mean() * 0.25
        return Quantized(
            vectors: vectors + (codes - vectors).detached(), indices: indices, loss: loss)
    }

    /// Pictures of quantised vectors `[B, e, h, w]`.
    public func decode(vectors: Tensor) -> Tensor { decoder(postQuant(vectors)) }

    public func decode(indices: Tensor) -> Tensor { decode(vectors: vectors(of: indices)) }

    private func codes() -> Tensor { unit(codebook) }

    /// Rows at unit length where the model compares directions.
    private func unit(_ rows: Tensor) -> Tensor {
        guard configuration.normalizesCodes else { return rows }
        let lengths = rows.square().sum(axis: -1, keepingAxis: true).sqrt()
        return rows / lengths.clamped(min: 1e-12, max: nil)
    }
}
