import Foundation

/// Which visual objective is trained beside the text loss.
public enum ObjectiveKind: String, Codable, CaseIterable, Sendable {
    /// The text loss alone: LLaVA-1.5, LLaVA-NeXT, and row (a) of the paper's ablation.
    case none
    /// VLSA: a rectified-flow denoiser rebuilds the picture's latent from the visual tokens.
    case reconstruction
    /// ROSS: the decoder's states at the picture's places denoise its latent, see ``VLSA/ROSS``.
    case ross
    /// ASVR: the decoder's states at the picture's places predict its codes, see ``VLSA/ASVR``.
    case asvr
}

/// What the reconstruction loss compares.
public enum ReconstructionTarget: String, Codable, CaseIterable, Sendable {
    /// The latent itself, `‖z - z_θ‖²` (equation 3); equal to `t²` times the velocity's error.
    case x0
    /// The velocity, `‖(ε - z) - v‖²`.
    case velocity
}

/// Which latent of a picture is the target, where the codec has a distribution.
public enum LatentTarget: String, Codable, CaseIterable, Sendable {
    /// The distribution's mean: the same at every step.
    case mean
    /// A new draw at every step, as the public trainers take it.
    case sample
}

/// Density of the flow time `t` in training, 0 data and 1 noise.
public enum TimeDensity: String, Codable, CaseIterable, Sendable {
    case uniform
    /// `sigmoid(mean + deviation * n)`, as in SD3.
    case logitNormal
    /// `1 - u - s (cos²(πu/2) - 1 + u)`, SD3's mode sampling with scale `s`.
    case mode
}

/// How flow times are drawn, read from `objective.time`.
public struct TimeSampling: Codable, Equatable, Sendable {
    /// Density that times are drawn by.
    public var density: TimeDensity
    /// Mean of the logit-normal density's normal.
    public var mean: Double
    /// Its standard deviation.
    public var deviation: Double
    /// `s` of ``TimeDensity/mode``.
    public var modeScale: Double
    /// `t' = a t / (1 + (a - 1) t)`: above 1 it moves times towards noise (3 in SD3's released schedules).
    public var shift: Double

    public init(
        density: TimeDensity = .logitNormal, mean: Double = 0, deviation: Double = 1,
        modeScale: Double = 1.29, shift: Double = 3
    ) {
        self.density = density
        self.mean = mean
        self.deviation = deviation
        self.modeScale = modeScale
        self.shift = shift
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case density, mean, deviation, modeScale, shift
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = TimeSampling()
        density =
            try values.decodeIfPresent(TimeDensity.self, forKey: .density) ?? defaults.density
        mean = try values.number(.mean, standard: defaults.mean)
        deviation = try values.positive(.deviation, standard: defaults.deviation)
        modeScale = try values.number(.modeScale, standard: defaults.modeScale)
        shift = try values.positive(.shift, standard: defaults.shift)
        // Beyond these times leave 0...1 (arXiv:2403.03206, section 3.1): 2 / (π - 2) = 1.7519.
        try values.require(
            (-1...2 / (.pi - 2)).contains(modeScale), .modeScale,
            "must lie in -1...1.7519, not \(modeScale)")
    }

    /// The time for one uniform and one normal draw; only the one that the density needs is used.
    public func time(uniform u: Double, normal n: Double) -> Double {
        let t: Double
        switch density {
        case .uniform: t = u
        case .logitNormal: t = 1 / (1 + exp(-(mean + deviation * n)))
        case .mode: t = 1 - u - modeScale * (pow(cos(.pi * u / 2), 2) - 1 + u)
        }
        return shift * t / (1 + (shift - 1) * t)
    }
}

/// The visual objective, read from `objective` in `config.json` and in a stage file.
public struct ObjectiveConfiguration: Codable, Equatable, Sendable {
    public var kind: ObjectiveKind
    public var target: ReconstructionTarget
    public var latent: LatentTarget
    public var time: TimeSampling
    /// How the two losses are weighed (`fixed` in the paper).
    public var balance: LossBalance
    /// Weight of the visual loss in the total, `L = L_text + weight * L_visual` (1 in the paper); where
    /// `uncertainty` starts, and without use with `schedule`.
    public var weight: Double
    /// The weight over the steps, with ``LossBalance/schedule``.
    public var schedule: [WeightPoint]
    /// Share of the pictures whose prompt is zeros in a training step, so that guidance has something to go by.
    public var promptDropout: Double
    /// Side of the square, in pixels, to which the padded picture is brought before its latent is taken.
    public var pictureSize: Int
    /// Of ``ObjectiveKind/ross``; nil for the published settings.
    public var ross: ROSSConfiguration?
    /// Of ``ObjectiveKind/asvr``; nil for the published settings.
    public var asvr: ASVRConfiguration?

    public init(
        kind: ObjectiveKind = .none, target: ReconstructionTarget = .x0,
        latent: LatentTarget = .mean, time: TimeSampling = TimeSampling(),
        balance: LossBalance = .fixed, weight: Double = 1, schedule: [WeightPoint] = [],
        promptDropout: Double = 0, pictureSize: Int = 512, ross: ROSSConfiguration? = nil,
        asvr: ASVRConfiguration? = nil
    ) {
        self.kind = kind
        self.target = target
        self.latent = latent
        self.time = time
        self.balance = balance
        self.weight = weight
        self.schedule = schedule
        self.promptDropout = promptDropout
        self.pictureSize = pictureSize
        self.ross = ross
        self.asvr = asvr
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case kind, target, latent, time, balance, weight, schedule, promptDropout, pictureSize
        case ross, asvr
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = ObjectiveConfiguration()
        kind = try values.decodeIfPresent(ObjectiveKind.self, forKey: .kind) ?? defaults.kind
        target =
            try values.decodeIfPresent(ReconstructionTarget.self, forKey: .target)
            ?? defaults.target
        latent =
            try values.decodeIfPresent(LatentTarget.self, forKey: .latent) ?? defaults.latent
        time = try values.decodeIfPresent(TimeSampling.self, forKey: .time) ?? defaults.time
        balance =
            try values.decodeIfPresent(LossBalance.self, forKey: .balance) ?? defaults.balance
        weight = try values.number(.weight, standard: defaults.weight)
        schedule = try values.decodeIfPresent([WeightPoint].self, forKey: .schedule) ?? []
        promptDropout = try values.number(.promptDropout, standard: defaults.promptDropout)
        try values.require(
            (0..<1).contains(promptDropout), .promptDropout,
            "must be 0 or more and below 1, not \(promptDropout)")
        pictureSize =
            try values.decodeIfPresent(Int.self, forKey: .pictureSize) ?? defaults.pictureSize
        ross = try values.decodeIfPresent(ROSSConfiguration.self, forKey: .ross)
        asvr = try values.decodeIfPresent(ASVRConfiguration.self, forKey: .asvr)
        try checkBalance(values)
    }

    private func checkBalance(_ values: KeyedDecodingContainer<CodingKeys>) throws {
        try values.require(weight >= 0, .weight, "must be 0 or more, not \(weight)")
        try values.require(
            balance != .uncertainty || weight > 0, .weight,
            "must be above 0 for balance: uncertainty to start from")
        try values.require(
            schedule.isEmpty || balance == .schedule, .schedule,
            "is given, but balance is \(balance.rawValue); write balance: schedule")
        try values.require(
            !schedule.isEmpty || balance != .schedule, .schedule,
            "is empty; balance: schedule needs points such as {step: 0, weight: 1}")
        let steps = schedule.map(\.step)
        try values.require(
            (steps.first ?? 0) >= 0 && zip(steps, steps.dropFirst()).allSatisfy { $0 < $1 },
            .schedule, "needs rising steps from 0 on, not \(steps)")
        try values.require(
            schedule.allSatisfy { $0.weight >= 0 && $0.weight.isFinite }, .schedule,
            "has a weight below 0")
    }

    /// Whether the visual loss counts at some step.
    public var hasWeight: Bool {
        balance == .schedule ? schedule.contains { $0.weight > 0 } : weight > 0
    }

    /// Weight of the visual loss at a step, for the balances that do not learn it.
    public func weight(at step: Int) -> Double {
        balance == .schedule ? schedule.weight(at: step) : weight
    }
}
