import Torch

/// Bytes to the numbers a tower was trained on: `(byte * scale - mean) / deviation`, channel by
/// channel.
public struct PixelNormalization: Codable, Equatable, Sendable {
    /// Of each channel, after scaling.
    public let mean: [Double]
    /// Of each channel, after scaling.
    public let deviation: [Double]
    /// What a byte is multiplied by first.
    public let scale: Double

    enum CodingKeys: String, CodingKey {
        case mean = "image_mean"
        case deviation = "image_std"
        case scale = "rescale_factor"
    }

    public init(mean: [Double], deviation: [Double], scale: Double = 1.0 / 255) {
        self.mean = mean
        self.deviation = deviation
        self.scale = scale
    }

    /// CLIP's statistics.
    public static let clip = PixelNormalization(
        mean: [0.48145466, 0.4578275, 0.40821073],
        deviation: [0.26862954, 0.26130258, 0.27577711])
    /// -1...1.
    public static let siglip = PixelNormalization(
        mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5])
    /// ImageNet's statistics, DINOv2's.
    public static let imageNet = PixelNormalization(
        mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        mean = try values.decode([Double].self, forKey: .mean)
        deviation = try values.decode([Double].self, forKey: .deviation)
        scale = try values.positive(.scale, standard: 1.0 / 255)
        try values.require(mean.count == 3, .mean, "three numbers are needed")
        try values.require(
            deviation.count == 3 && deviation.allSatisfy { $0 > 0 }, .deviation,
            "three numbers above 0 are needed")
    }

    /// Normalised pixels of bytes `[..., 3, h, w]`, in `dtype`.
    ///
    /// Equal to the reference's to the last bit in fp32: the product in double precision, rounded
    /// once, then the rest in fp32. There are only 256 bytes, so the values come from a table.
    public func callAsFunction(_ bytes: Tensor, dtype: DType = .float32) -> Tensor {
        guard bytes.dtype == .uint8, bytes.rank >= 3, bytes.shape[bytes.rank - 3] == 3 else {
            fatalError("normalising pixels: bytes [..., 3, h, w] needed, got \(bytes.shape)")
        }
        let table = Tensor(
            (0..<3).flatMap { channel in
                (0..<256).map { byte in
                    (Float(Double(byte) * scale) - Float(mean[channel])) / Float(deviation[channel])
                }
            }, shape: [768, 1], device: bytes.device
        ).to(dtype)
        let firstRows = Tensor([0, 256, 512], shape: [3, 1, 1], device: bytes.device)
        return table.rows(at: bytes.to(.int64) + firstRows).squeezed(-1)
    }
}
