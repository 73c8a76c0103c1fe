import Torch
import TorchNN

// Shapes: B batch, C channels, p patch side, F = 3 p p, h = H / p, w = W / p.

/// Hyperparameters of Karhunen-Loève latents: `config.json` of the folder that `vlsa codec fit`
/// writes.
public struct KLTLatentConfiguration: Codable, Equatable, Sendable {
    /// Latent channels, at most the numbers of a patch.
    public let channels: Int
    /// Side of a patch, pixels: the factor between picture and latents.
    public let patchSide: Int

    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case channels = "latent_channels"
        case patchSide = "patch_size"
    }

    /// The folder's `model_type`.
    public static let kind = "klt_latents"

    public init(channels: Int, patchSide: Int) {
        self.channels = channels
        self.patchSide = patchSide
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        channels = try values.size(.channels, limit: 1 << 16)
        patchSide = try values.size(.patchSide, limit: 1 << 10)
        try values.require(
            channels <= 3 * patchSide * patchSide, .channels,
            "more than the \(3 * patchSide * patchSide) numbers of a patch")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(Self.kind, forKey: .modelType)
        try values.encode(channels, forKey: .channels)
        try values.encode(patchSide, forKey: .patchSide)
    }
}

/// Latents in closed form: `z = scale * (basis (x - mean))` of each p x p patch x, unit variance in
/// every channel.
///
/// Computed and given in fp32, whatever the store's type.
public struct KLTLatentCodec: LatentCodec {
    /// The hyperparameters it was built from.
    public let configuration: KLTLatentConfiguration
    let basis: Tensor  // [C, F], orthonormal rows; F runs over channel, row, column
    let mean: Tensor  // [F]
    let scale: Tensor  // [C]

    /// Takes `basis`, `mean` and `scale` from `scope`; they are data and never trained.
    public init(_ configuration: KLTLatentConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let size = 3 * configuration.patchSide * configuration.patchSide
        let channels = configuration.channels
        basis = try scope.buffer(
            "basis", shape: [channels, size], initial: .zeros, dtype: .float32)
        mean = try scope.buffer("mean", shape: [size], initial: .zeros, dtype: .float32)
        scale = try scope.buffer("scale", shape: [channels], initial: .ones, dtype: .float32)
    }

    public var channels: Int { configuration.channels }
    public var downscale: Int { configuration.patchSide }

    public func encode(_ pixels: Tensor) -> Tensor {
        let p = configuration.patchSide
        let weight = basis * scale.unsqueezed(1)  // [C, F]
        let offset = -weight.matmul(mean.unsqueezed(1)).squeezed(1)  // [C]
        return pixels.to(.float32).conv2d(
            weight.reshaped([channels, 3, p, p]), bias: offset, stride: p, padding: 0)
    }

    public func decode(_ latents: Tensor) -> Tensor {
        let (batch, rows, columns) = (latents.shape[0], latents.shape[2], latents.shape[3])
        let p = configuration.patchSide
        let amounts = latents.to(.float32).permuted([0, 2, 3, 1]) / scale  // [B, h, w, C]
        return (amounts.matmul(basis) + mean)
            .reshaped([batch, rows, columns, 3, p, p])
            .permuted([0, 3, 1, 4, 2, 5])
            .reshaped([batch, 3, rows * p, columns * p])
    }
}
