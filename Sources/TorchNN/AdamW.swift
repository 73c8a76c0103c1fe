import Torch

/// Parameters that are trained with one learning rate and one weight decay.
public struct ParameterGroup {
    /// For messages and metrics, such as `perceiver`.
    public let name: String
    /// Full names and tensors.
    public let parameters: [(name: String, tensor: Tensor)]
    /// Learning rate before the schedule's multiplier.
    public let rate: Double
    /// Decoupled weight decay, per step and unit of rate.
    public let decay: Double

    /// A group of trained parameters.
    public init(
        name: String, parameters: [(name: String, tensor: Tensor)], rate: Double, decay: Double
    ) {
        self.name = name
        self.parameters = parameters
        self.rate = rate
        self.decay = decay
    }
}

/// Adam with decoupled weight decay (arXiv:1711.05101).
///
/// Weights in bf16 or fp16 have an fp32 master that takes the updates; the weight is its rounding. Beside a bf16 weight
/// only the rest of the master is kept, 2 bytes, see ``updateAdamW(_:weights:gradients:masters:firstMoments:secondMoments:)``.
/// A parameter without gradient is left alone in that step, its decay and count of steps included.
public final class AdamW {
    /// What is trained.
    public let groups: [ParameterGroup]
    let beta1: Double
    let beta2: Double
    let epsilon: Double

    private struct Slot {
        let name: String
        let weight: Tensor
        let master: Tensor?
        let first: Tensor
        let second: Tensor
        var steps = 0

        init(_ name: String, _ weight: Tensor) {
            self.name = name
            self.weight = weight
            let wide: DType = weight.dtype == .float64 ? .float64 : .float32
            master =
                switch weight.dtype {
                case .bfloat16: .zeros(weight.shape, dtype: .int16, device: weight.device)
                case .float16: weight.detached().to(wide)
                default: nil
                }
            first = .zeros(weight.shape, dtype: wide, device: weight.device)
            second = .zeros(weight.shape, dtype: wide, device: weight.device)
        }

        /// What `master` is called in the state.
        var masterName: String { "\(name).\(AdamW.masterKind(of: weight.dtype) ?? "")" }
    }

    private var slots: [[Slot]]

    /// Reserves all state at once, so that too little memory shows before the first step.
    public init(
        groups: [ParameterGroup], beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8
    ) {
        self.groups = groups
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        slots = groups.map { group in
            group.parameters.map { Slot($0.name, $0.tensor) }
        }
    }

    /// All trained tensors.
    public var tensors: [Tensor] { slots.flatMap { $0.map(\.weight) } }

    /// Updates every weight that has a gradient, with each group's rate times `rateMultiplier`.
    ///
    /// - Parameter gradientFactor: what every gradient is multiplied by, in fp32 whatever its type.
    public func step(rateMultiplier: Double = 1, gradientFactor: Double = 1) {
        for (index, group) in groups.enumerated() {
            var waiting: [Int: [(slot: Slot, gradient: Tensor)]] = [:]
            for position in slots[index].indices {
                guard let gradient = slots[index][position].weight.gradient else { continue }
                slots[index][position].steps += 1
                let slot = slots[index][position]
                waiting[slot.steps, default: []].append((slot, gradient))
            }
            for (step, members) in waiting {
                let settings = AdamWSettings(
                    rate: group.rate * rateMultiplier, beta1: beta1, beta2: beta2, epsilon: epsilon,
                    decay: group.decay, step: step, gradientFactor: gradientFactor)
                updateAdamW(
                    settings, weights: members.map(\.slot.weight),
                    gradients: members.map(\.gradient),
                    masters: members.map(\.slot.master), firstMoments: members.map(\.slot.first),
                    secondMoments: members.map(\.slot.second))
            }
        }
    }

    /// Forgets the gradients of all trained weights.
    public func clearGradients() {
        for slot in slots.joined() { slot.weight.gradient = nil }
    }

    // MARK: State

    /// What belongs to the master of weights of a type: `remainder` beside bf16, `master` beside fp16, else nothing.
    static func masterKind(of dtype: DType) -> String? {
        switch dtype {
        case .bfloat16: "remainder"
        case .float16: "master"
        default: nil
        }
    }

    /// All that the next step depends on besides weights and gradients, under `NAME.exp_avg`,
    /// `NAME.exp_avg_sq`, `NAME.step` and `NAME.remainder` of bf16 weights (int16), `NAME.master` of fp16 ones (fp32).
    public var state: [(String, Tensor)] {
        slots.joined().flatMap { slot in
            var tensors = [
                ("\(slot.name).exp_avg", slot.first), ("\(slot.name).exp_avg_sq", slot.second),
                ("\(slot.name).step", Tensor([slot.steps], shape: [])),
            ]
            if let master = slot.master { tensors.append((slot.masterName, master)) }
            return tensors
        }
    }

    /// Continues from a saved ``state``, to the bit.
    ///
    /// - Parameter tensor: the saved tensor of a name, nil when there is none.
    /// - Throws: ``ParameterError/foreignState(reason:)`` before anything is changed.
    public func restore(_ tensor: (String) throws -> Tensor?) throws {
        var copies: [(target: Tensor, source: Tensor)] = []
        var steps: [[Int]] = []
        func take(_ name: String, for target: Tensor) throws {
            guard let source = try tensor(name) else {
                throw ParameterError.foreignState(reason: "\"\(name)\" is missing")
            }
            guard source.shape == target.shape, source.dtype == target.dtype else {
                throw ParameterError.foreignState(
                    reason: "\"\(name)\" is \(source.shape) \(source.dtype), "
                        + "expected \(target.shape) \(target.dtype)")
            }
            copies.append((target, source))
        }
        for group in slots {
            var groupSteps: [Int] = []
            for slot in group {
                try take("\(slot.name).exp_avg", for: slot.first)
                try take("\(slot.name).exp_avg_sq", for: slot.second)
                if let master = slot.master { try take(slot.masterName, for: master) }
                let counter = Tensor([0], shape: [])
                try take("\(slot.name).step", for: counter)
                groupSteps.append(copies.removeLast().source.itemInt())
            }
            steps.append(groupSteps)
        }
        for (target, source) in copies { target.copy(from: source) }
        for (index, group) in steps.enumerated() {
            for (position, count) in group.enumerated() { slots[index][position].steps = count }
        }
    }

    /// As ``restore(_:)``, from a file that ``state`` was written to.
    public func restore(from file: SafetensorsFile) throws {
        try restore { name in file.contains(name) ? try file.tensor(name) : nil }
    }
}

/// Scales the gradients of `tensors` down, together, where their total norm is above `maxNorm`.
///
/// - Returns: the norm before. A norm that is not finite leaves the gradients alone: check it before the
///   step.
@discardableResult
public func clipGradients(of tensors: [Tensor], maxNorm: Double) -> Double {
    let gradients = tensors.compactMap(\.gradient)
    let norm = totalNorm(gradients).item()
    let factor = maxNorm / (norm + 1e-6)
    if norm.isFinite, factor < 1 { scale(gradients, by: factor) }
    return norm
}
