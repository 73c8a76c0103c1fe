import Torch

/// How rotary frequencies are changed for contexts longer than the model was first trained on.
public enum RotaryScaling: Equatable, Sendable {
    case none
    /// Every frequency divided by `factor`.
    case linear(factor: Double)
    /// Low frequencies divided by `factor`, high ones kept, between them a blend (Llama 3.1).
    case llama3(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
        originalContext: Int)
}

/// Cosines and sines of rotary position embedding (arXiv:2104.09864), the two halves of a head paired.
///
/// Frequencies and angles are fp32, worked out in the order of the reference, since one rounding of a
/// frequency is 0.006 radians at position 100,000.
public struct RotaryTable {
    /// Radians per position, fp32 `[headWidth / 2]`.
    public let frequencies: Tensor

    /// - Parameters:
    ///   - headWidth: width of one head, even.
    ///   - theta: base of the geometric series of wavelengths.
    public init(
        headWidth: Int, theta: Double, scaling: RotaryScaling = .none, device: Device = .cpu
    ) {
        let exponents =
            Tensor.arange(from: 0, to: headWidth, step: 2, dtype: .float32) / Double(headWidth)
        let plain = Tensor(theta).pow(exponents).reciprocal()
        let scaled = plain.floats().map { Self.scaled($0, by: scaling) }
        frequencies = Tensor(scaled, shape: [scaled.count], device: device)
    }

    private static func scaled(_ frequency: Float, by scaling: RotaryScaling) -> Float {
        switch scaling {
        case .none: return frequency
        case .linear(let factor): return frequency / Float(factor)
        case .llama3(let factor, let low, let high, let context):
            let wavelength = Float(2 * Double.pi) / frequency
            if wavelength < Float(Double(context) / high) { return frequency }
            if wavelength > Float(Double(context) / low) { return frequency / Float(factor) }
            let share = (Float(context) / wavelength - Float(low)) / Float(high - low)
            return (1 - share) * (frequency / Float(factor)) + share * frequency
        }
    }

    /// The table for given positions.
    ///
    /// - Parameters:
    ///   - positions: int64, `[T]` or `[B, T]`, on any device.
    ///   - dtype: type of the result; the angles are fp32 all the same.
    /// - Returns: `[T, headWidth]` or `[B, 1, T, headWidth]`, ready to be broadcast to `[B, H, T, headWidth]`.
    public func callAsFunction(
        positions: Tensor, dtype: DType = .float32
    ) -> (cosines: Tensor, sines: Tensor) {
        let placed = positions.to(frequencies.device).to(.float32).unsqueezed(-1)
        let half = placed * frequencies
        var angles = Tensor.concatenated([half, half], axis: -1)
        if positions.rank == 2 { angles = angles.unsqueezed(1) }
        return (angles.cos().to(dtype), angles.sin().to(dtype))
    }

    /// The table for `count` positions from `start`: `[count, headWidth]`.
    public func callAsFunction(
        from start: Int = 0, count: Int, dtype: DType = .float32
    ) -> (cosines: Tensor, sines: Tensor) {
        self(
            positions: .arange(from: start, to: start + count, device: frequencies.device),
            dtype: dtype)
    }
}

/// Queries or keys `[B, H, T, d]` rotated by the table of their positions (``RotaryTable``).
public func applyRotary(_ heads: Tensor, _ cosines: Tensor, _ sines: Tensor) -> Tensor {
    heads.rotated(cosines: cosines, sines: sines)
}
