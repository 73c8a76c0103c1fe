import CTorch

/// The hyperparameters of one AdamW update.
public struct AdamWSettings: Sendable {
    /// Learning rate.
    public var rate: Double
    /// Decay rates of the mean of gradients and of the mean of their squares.
    public var beta1: Double, beta2: Double
    /// Added to the root of the second moment.
    public var epsilon: Double
    /// Decoupled weight decay, multiplied by the rate.
    public var decay: Double
    /// Which update this is for these weights, 1 for the first.
    public var step: Int

    /// What every gradient is multiplied by, in the precision of the moments: 1 over the scale of the loss.
    public var gradientFactor: Double

    /// Settings of one update.
    public init(
        rate: Double, beta1: Double, beta2: Double, epsilon: Double, decay: Double, step: Int,
        gradientFactor: Double = 1
    ) {
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.decay = decay
        self.step = step
        self.gradientFactor = gradientFactor
    }
}

/// One AdamW update (arXiv:1711.05101, algorithm 2) of many weights in place, one pass over their memory.
///
/// - Parameters:
///   - gradients: one per weight, of its type or fp32.
///   - masters: what takes the update where the weight is bf16 or fp16, nil for other weights: an fp32 copy; or,
///     int16 beside a bf16 weight, what the fp32 bits of the master are above those of the weight, counted in units of
///     the master's last place, so that both together are the master in no more memory than it takes alone. Half a
///     unit of the weight that is rounded down becomes one master below.
///   - firstMoments: as `secondMoments`, fp32 (fp64 for fp64 weights), of the weights' shapes.
public func updateAdamW(
    _ settings: AdamWSettings, weights: [Tensor], gradients: [Tensor], masters: [Tensor?],
    firstMoments: [Tensor], secondMoments: [Tensor]
) {
    var values = ct_adamw_settings(
        rate: settings.rate, beta1: settings.beta1, beta2: settings.beta2,
        epsilon: settings.epsilon,
        decay: settings.decay, step: Int64(settings.step),
        gradient_factor: settings.gradientFactor)
    let count = weights.count
    guard
        [gradients.count, masters.count, firstMoments.count, secondMoments.count]
            == Array(repeating: count, count: 4)
    else {
        fatalError(
            "updateAdamW: \(count) weights, \(gradients.count) gradients, \(masters.count) masters")
    }
    let status = withExtendedLifetime((weights, gradients, masters, firstMoments, secondMoments)) {
        ct_adamw(
            &values, weights.map { $0.handle }, gradients.map { $0.handle },
            masters.map { $0?.handle }, firstMoments.map { $0.handle },
            secondMoments.map { $0.handle }, count)
    }
    check(status, "updateAdamW", "\(count) weights")
}

/// The Euclidean norm of all values of all tensors together, in fp32: a scalar.
public func totalNorm(_ tensors: [Tensor]) -> Tensor {
    let handles = tensors.map { Optional($0.handle) }
    return withExtendedLifetime(tensors) {
        created("totalNorm", "\(tensors.count) tensors") {
            ct_total_norm(handles, handles.count, $0)
        }
    }
}

/// Multiplies every value of every tensor in place, without derivative.
public func scale(_ tensors: [Tensor], by factor: Double) {
    let handles = tensors.map { Optional($0.handle) }
    let status = withExtendedLifetime(tensors) { ct_scale_all(handles, handles.count, factor) }
    check(status, "scale", "\(tensors.count) tensors")
}
