/// What the loop itself needs of a stage plan.
public struct LoopPlan: Equatable, Sendable {
    public var name: String
    public var seed: UInt64
    /// Threads of the tensor engine; 0 stands for every core.
    public var threads: Int
    /// Parts that learn, as prefixes of parameter names.
    public var train: [String]
    /// Whether low-rank adapters learn too.
    public var trainsAdapters = false
    public var optimizer: OptimizerPlan
    public var schedule: SchedulePlan
    public var batch: BatchPlan
    public var length: StageLength
    public var validate: ValidatePlan
    public var checkpoint: CheckpointPlan
    public var log: LogPlan
    public var spikes = GuardPlan()
    public var processes = ProcessesPlan()

    /// Number of optimizer steps for a data set of `examples`.
    public func steps(examples: Int) -> Int {
        switch length {
        case .steps(let steps): steps
        case .epochs(let epochs):
            max(1, Int((epochs * Double(examples) / Double(batch.samples)).rounded(.up)))
        }
    }
}

/// AdamW and clipping (`optimizer:`).
public struct OptimizerPlan: Equatable, Sendable {
    /// Learning rate of every part that `rates` does not name.
    public var rate: Double
    /// Learning rates by prefix of parameter names; the longest match counts.
    public var rates: [String: Double]
    /// Weight decay of matrices; vectors (norms, biases) are never decayed.
    public var decay: Double
    /// Weight decays by prefix, as with `rates`.
    public var decays: [String: Double]
    /// Decay rates of the two moments.
    public var betas: [Double]
    public var epsilon: Double
    /// Largest norm of all gradients together; 0 switches clipping off.
    public var clip: Double
    /// With `dtype: float16`, what the loss is multiplied by at first, so that small gradients do not vanish.
    public var lossScale = 65_536.0
    /// Steps without an overflow after which that scale doubles.
    public var lossScaleInterval = 2000

    public init(
        rate: Double, rates: [String: Double] = [:], decay: Double = 0,
        decays: [String: Double] = [:], betas: [Double] = [0.9, 0.999], epsilon: Double = 1e-8,
        clip: Double = 1
    ) {
        self.rate = rate
        self.rates = rates
        self.decay = decay
        self.decays = decays
        self.betas = betas
        self.epsilon = epsilon
        self.clip = clip
    }

    /// Learning rate of a parameter.
    public func rate(of name: String) -> Double { longestMatch(name, in: rates) ?? rate }

    /// Weight decay of a parameter of `rank` axes.
    public func decay(of name: String, rank: Int) -> Double {
        rank < 2 ? 0 : longestMatch(name, in: decays) ?? decay
    }

    private func longestMatch(_ name: String, in table: [String: Double]) -> Double? {
        table.filter { isPrefix($0.key, of: name) }.max { $0.key.count < $1.key.count }?.value
    }
}

/// Learning rate over the steps (`schedule:`).
public struct SchedulePlan: Codable, Equatable, Sendable {
    /// Course after the warm-up.
    public enum Kind: String, Codable, CaseIterable, Sendable {
        /// Stays.
        case constant
        /// Falls in a line to 0 at the last step.
        case linear
        /// Falls in half a cosine wave to 0 at the last step.
        case cosine
    }

    public var kind: Kind
    /// Warm-up from 0: below 1 a share of the steps (rounded up), from 1 on a number of steps.
    public var warmup: Double

    public init(kind: Kind = .cosine, warmup: Double = 0.03) {
        self.kind = kind
        self.warmup = warmup
    }

    /// Steps of warm-up in a run of `steps`.
    public func warmupSteps(of steps: Int) -> Int {
        min(steps, Int((warmup < 1 ? warmup * Double(steps) : warmup).rounded(.up)))
    }

    enum CodingKeys: String, CodingKey { case kind, warmup }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        kind = try values.decodeIfPresent(Kind.self, forKey: .kind) ?? .cosine
        warmup = try values.decodeIfPresent(Double.self, forKey: .warmup) ?? 0.03
        try refuse(warmup < 0, "must be 0 or more", CodingKeys.warmup)
    }
}

/// Samples of one optimizer step (`batch:`).
public struct BatchPlan: Equatable, Sendable {
    /// Samples per optimizer step.
    public var samples: Int
    /// Samples that pass the model at once; gradients accumulate over the micro-batches of a step.
    public var micro: Int
    /// Whether the samples of a micro-batch stand back to back in one row instead of being padded.
    public var packed: Bool
    /// Tokens that pass the model at once, instead of a number of samples; nil leaves it to `micro`.
    public var tokens: Int?

    public init(samples: Int, micro: Int? = nil, packed: Bool = false, tokens: Int? = nil) {
        self.samples = samples
        self.micro = micro ?? samples
        self.packed = packed
        self.tokens = tokens
    }

    /// How the samples of a step, of these lengths, are cut into micro-batches: places in each, in order.
    ///
    /// By tokens, the longest samples come first and each goes where it still fits (first fit decreasing); one
    /// that is longer than the limit passes alone.
    public func microBatches(of lengths: [Int]) -> [[Int]] {
        guard let tokens else {
            return stride(from: 0, to: lengths.count, by: micro).map {
                Array($0..<min($0 + micro, lengths.count))
            }
        }
        var parts: [(length: Int, places: [Int])] = []
        for place in lengths.indices.sorted(by: { (-lengths[$0], $0) < (-lengths[$1], $1) }) {
            if let fit = parts.firstIndex(where: { $0.length + lengths[place] <= tokens }) {
                parts[fit].length += lengths[place]
                parts[fit].places.append(place)
            } else {
                parts.append((lengths[place], [place]))
            }
        }
        return parts.map { $0.places.sorted() }.sorted { $0[0] < $1[0] }
    }
}

extension BatchPlan: Codable {
    enum CodingKeys: String, CodingKey { case samples, micro, packed, tokens }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        samples = try values.decode(Int.self, forKey: .samples)
        let micro = try values.decodeIfPresent(Int.self, forKey: .micro)
        self.micro = micro ?? samples
        tokens = try values.decodeIfPresent(Int.self, forKey: .tokens)
        packed = try values.decodeIfPresent(Bool.self, forKey: .packed) ?? false
        try refuse(samples < 1, "must be 1 or more", CodingKeys.samples)
        try refuse(
            self.micro < 1 || self.micro > samples, "must lie between 1 and samples (\(samples))",
            CodingKeys.micro)
        try refuse(tokens.map { $0 < 1 } ?? false, "must be 1 or more", CodingKeys.tokens)
        try refuse(
            tokens != nil && !packed, "needs packed: true, or padding would exceed it",
            CodingKeys.tokens)
        try refuse(
            tokens != nil && micro.map { $0 != samples } ?? false,
            "stands beside micro; write one of the two", CodingKeys.tokens)
    }
}

/// Validation loss (`validate:`).
public struct ValidatePlan: Codable, Equatable, Sendable {
    /// Steps between two validations; 0 for none. The last step is always validated.
    public var every: Int
    /// Most micro-batches of one validation.
    public var batches: Int

    public init(every: Int = 0, batches: Int = 8) {
        self.every = every
        self.batches = batches
    }

    enum CodingKeys: String, CodingKey { case every, batches }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        every = try values.decodeIfPresent(Int.self, forKey: .every) ?? 0
        batches = try values.decodeIfPresent(Int.self, forKey: .batches) ?? 8
        try refuse(every < 0, "must be 0 (never) or more", CodingKeys.every)
        try refuse(batches < 1, "must be 1 or more", CodingKeys.batches)
    }
}

/// Checkpoints (`checkpoint:`).
public struct CheckpointPlan: Codable, Equatable, Sendable {
    /// Steps between two checkpoints; 0 for none but the last.
    public var every: Int
    /// Newest checkpoints that are kept.
    public var keep: Int
    /// Whether the one with the least validation loss is kept as well.
    public var best: Bool
    /// Whether checkpoints are written while training goes on, from a copy of what is trained and of the
    /// optimizer's state; else training waits, without the copy's memory.
    public var background: Bool

    public init(every: Int = 0, keep: Int = 2, best: Bool = true, background: Bool = true) {
        self.every = every
        self.keep = keep
        self.best = best
        self.background = background
    }

    enum CodingKeys: String, CodingKey { case every, keep, best, background }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        every = try values.decodeIfPresent(Int.self, forKey: .every) ?? 0
        keep = try values.decodeIfPresent(Int.self, forKey: .keep) ?? 2
        best = try values.decodeIfPresent(Bool.self, forKey: .best) ?? true
        background = try values.decodeIfPresent(Bool.self, forKey: .background) ?? true
        try refuse(every < 0, "must be 0 (only the last) or more", CodingKeys.every)
        try refuse(keep < 1, "must be 1 or more", CodingKeys.keep)
    }
}

/// Metrics (`log:`).
public struct LogPlan: Codable, Equatable, Sendable {
    /// Steps between two lines of metrics.
    public var every: Int
    /// Pictures that are rebuilt from their visual tokens at each validation; 0 for none.
    public var pictures: Int

    public init(every: Int = 10, pictures: Int = 4) {
        self.every = every
        self.pictures = pictures
    }

    enum CodingKeys: String, CodingKey { case every, pictures }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        every = try values.decodeIfPresent(Int.self, forKey: .every) ?? 10
        pictures = try values.decodeIfPresent(Int.self, forKey: .pictures) ?? 4
        try refuse(every < 1, "must be 1 or more", CodingKeys.every)
        try refuse(
            !(0...64).contains(pictures), "must lie between 0 (none) and 64", CodingKeys.pictures)
    }
}

extension OptimizerPlan: Codable {
    enum CodingKeys: String, CodingKey {
        case rate, rates, decay, decays, betas, epsilon, clip, lossScale, lossScaleInterval
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        rate = try values.decode(Double.self, forKey: .rate)
        rates = try values.decodeIfPresent([String: Double].self, forKey: .rates) ?? [:]
        decay = try values.decodeIfPresent(Double.self, forKey: .decay) ?? 0
        decays = try values.decodeIfPresent([String: Double].self, forKey: .decays) ?? [:]
        betas = try values.decodeIfPresent([Double].self, forKey: .betas) ?? [0.9, 0.999]
        epsilon = try values.decodeIfPresent(Double.self, forKey: .epsilon) ?? 1e-8
        clip = try values.decodeIfPresent(Double.self, forKey: .clip) ?? 1
        lossScale = try values.decodeIfPresent(Double.self, forKey: .lossScale) ?? 65_536
        lossScaleInterval =
            try values.decodeIfPresent(Int.self, forKey: .lossScaleInterval) ?? 2000
        try refuse(rate < 0, "must be 0 or more", CodingKeys.rate)
        try refuse(rates.values.contains { $0 < 0 }, "has a negative rate", CodingKeys.rates)
        try refuse(decay < 0, "must be 0 or more", CodingKeys.decay)
        try refuse(decays.values.contains { $0 < 0 }, "has a negative decay", CodingKeys.decays)
        try refuse(
            betas.count != 2 || !betas.allSatisfy { (0..<1).contains($0) },
            "must be two numbers from 0 to below 1", CodingKeys.betas)
        try refuse(epsilon <= 0, "must be more than 0", CodingKeys.epsilon)
        try refuse(!(lossScale >= 1), "must be 1 or more", CodingKeys.lossScale)
        try refuse(lossScaleInterval < 1, "must be 1 or more", CodingKeys.lossScaleInterval)
        try refuse(clip < 0, "must be 0 (off) or more", CodingKeys.clip)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(rate, forKey: .rate)
        try values.encode(SortedTable(rates), forKey: .rates)
        try values.encode(decay, forKey: .decay)
        try values.encode(SortedTable(decays), forKey: .decays)
        try values.encode(betas, forKey: .betas)
        try values.encode(epsilon, forKey: .epsilon)
        try values.encode(clip, forKey: .clip)
        try values.encode(lossScale, forKey: .lossScale)
        try values.encode(lossScaleInterval, forKey: .lossScaleInterval)
    }
}
