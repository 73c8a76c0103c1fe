/// How bytes become a tower's input values: `(Float(byte * rescaleFactor) - mean) / deviation`, the product in
/// doubles and the rest in floats, channel by channel.
public struct Normalisation: Equatable, Sendable {
    /// What a byte is multiplied with; nil for not at all.
    public let rescaleFactor: Double?
    /// Mean of red, green and blue; nil for no normalisation.
    public let mean: [Float]?
    /// Standard deviation of red, green and blue; nil for no normalisation.
    public let deviation: [Float]?

    /// One value for every byte and channel, `[3, 256]`: all there is to compute.
    public let table: [Float]

    /// Means and deviations are of values after `rescaleFactor`.
    public init(rescaleFactor: Double? = 1.0 / 255, mean: [Float]?, deviation: [Float]?) {
        self.rescaleFactor = rescaleFactor
        self.mean = mean
        self.deviation = deviation
        table = (0..<3).flatMap { channel in
            (0..<256).map { byte -> Float in
                let scaled = rescaleFactor.map { Float(Double(byte) * $0) } ?? Float(byte)
                guard let mean, let deviation else { return scaled }
                return (scaled - mean[channel]) / deviation[channel]
            }
        }
    }

    /// OpenAI CLIP's.
    public static let clip = Normalisation(
        mean: [0.48145466, 0.4578275, 0.40821073], deviation: [0.26862954, 0.26130258, 0.27577711])
    /// SigLIP's: -1...1.
    public static let siglip = Normalisation(mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5])
    /// ImageNet's, as DINOv2 uses.
    public static let imageNet = Normalisation(
        mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])

    /// Values of views `[n, 3, h, w]` whose planes have `plane` = h * w bytes.
    public func values(of bytes: [UInt8], plane: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: bytes.count) { buffer, count in
            bytes.withUnsafeBufferPointer { bytes in
                table.withUnsafeBufferPointer { table in
                    for (index, start) in stride(from: 0, to: bytes.count, by: plane).enumerated() {
                        let channel = table.baseAddress! + index % 3 * 256
                        for i in start..<start + plane { buffer[i] = channel[Int(bytes[i])] }
                    }
                }
            }
            count = bytes.count
        }
    }
}
