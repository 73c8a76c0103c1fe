/// The factor that keeps fp16 gradients from vanishing, found while training (arXiv:1710.03740, section 3.2).
///
/// The loss is multiplied by ``scale`` before the backward pass and the gradient divided by it in fp32, inside the
/// optimizer. A gradient that overflows halves the scale, and the step is taken again; after ``interval`` steps without
/// one the scale doubles. It is saved with the run, being part of what the next step depends on.
public struct LossScaler: Codable, Equatable, Sendable {
    /// What the loss is multiplied by: a power of two where it began as one.
    public private(set) var scale: Double
    /// Steps without overflow after which the scale doubles.
    public let interval: Int
    /// Steps since the scale last changed.
    public private(set) var steady = 0

    /// Above this a scale gains nothing: the smallest fp32 gradients are then normal fp16 numbers.
    static let largest = 16_777_216.0

    /// - Parameters:
    ///   - scale: to begin with.
    ///   - interval: steps without overflow after which it doubles.
    public init(scale: Double = 65_536, interval: Int = 2000) {
        self.scale = scale
        self.interval = interval
    }

    /// Counts a step whose gradient was finite.
    public mutating func succeeded() {
        steady += 1
        guard steady >= interval else { return }
        scale = min(scale * 2, Self.largest)
        steady = 0
    }

    /// Halves the scale after an overflow.
    ///
    /// - Returns: false when it is 1 already: then the gradient itself is not finite.
    public mutating func overflowed() -> Bool {
        guard scale > 1 else { return false }
        scale = max(1, scale / 2)
        steady = 0
        return true
    }
}
