/// What turns scores into weights in the SA-Perceiver.
public enum PerceiverActivation: String, Codable, CaseIterable, Sendable {
    /// The paper's: `x * sigmoid(x)`, weights that need not sum to one.
    case silu
    /// Ordinary attention weights, which sum to one over the keys.
    case softmax
    /// Scores as they are, for the mix step alone: equation 2 is printed so.
    case none
}

/// How the SA-Perceiver's scores are scaled.
public enum PerceiverScale: String, Codable, CaseIterable, Sendable {
    /// The paper's literal form: scores as they are.
    case none
    /// Scores divided by the square root of the head width.
    case sqrt
    /// As `sqrt`, and the activated scores divided by the number of keys too, so that a SiLU sum over many
    /// tiles is a mean. With softmax it equals `sqrt`.
    case count
}

/// Whether the gather step knows where a tile token lies in the picture.
public enum CropPosition: String, Codable, CaseIterable, Sendable {
    /// The paper's: place reaches the model through content alone.
    case off
    /// A Gaussian around each snapshot token: every head adds `-α |p + o - p'|²` to its scores, where `p` and
    /// `p'` are the centres of snapshot and tile token in snapshot cells, and its sharpness `α` and offset
    /// `o` are learned. The appended query has no place and attends without it.
    case gaussian
}

/// Where the SA-Perceiver works: on the tower's features or on projected ones.
public enum PerceiverSpace: String, Codable, CaseIterable, Sendable {
    case vision
    case language
}

/// SA-Perceiver hyperparameters, read from `perceiver` in `config.json` and in a stage file.
public struct PerceiverConfiguration: Codable, Equatable, Sendable {
    /// Whether tiles are gathered at all; without it the model sees the snapshot alone.
    public var isEnabled: Bool
    public var activation: PerceiverActivation
    /// The mix step's own; nil for the same as ``activation``.
    public var mixActivation: PerceiverActivation?
    public var scale: PerceiverScale
    /// One projection for keys and values, as the paper prints it.
    public var sharesKeyAndValue: Bool
    public var headCount: Int
    /// Layer normalisation of what enters each step (the paper has none).
    public var normalizesInput: Bool
    public var cropPosition: CropPosition
    public var space: PerceiverSpace

    public init(
        isEnabled: Bool = true, activation: PerceiverActivation = .silu,
        mixActivation: PerceiverActivation? = nil, scale: PerceiverScale = .count,
        sharesKeyAndValue: Bool = true, headCount: Int = 1,
        normalizesInput: Bool = true, cropPosition: CropPosition = .off,
        space: PerceiverSpace = .vision
    ) {
        self.isEnabled = isEnabled
        self.activation = activation
        self.mixActivation = mixActivation
        self.scale = scale
        self.sharesKeyAndValue = sharesKeyAndValue
        self.headCount = headCount
        self.normalizesInput = normalizesInput
        self.cropPosition = cropPosition
        self.space = space
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case isEnabled = "enabled"
        case activation = "act"
        case mixActivation = "mixAct"
        case scale
        case sharesKeyAndValue = "sharedKV"
        case headCount = "heads"
        case normalizesInput = "preNorm"
        case cropPosition
        case space
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = PerceiverConfiguration()
        isEnabled = try values.decodeIfPresent(Bool.self, forKey: .isEnabled) ?? defaults.isEnabled
        activation =
            try values.decodeIfPresent(PerceiverActivation.self, forKey: .activation)
            ?? defaults.activation
        try values.require(
            activation != .none, .activation, "none is for mixAct; write silu or softmax")
        mixActivation = try values.decodeIfPresent(PerceiverActivation.self, forKey: .mixActivation)
        scale = try values.decodeIfPresent(PerceiverScale.self, forKey: .scale) ?? defaults.scale
        sharesKeyAndValue =
            try values.decodeIfPresent(Bool.self, forKey: .sharesKeyAndValue)
            ?? defaults.sharesKeyAndValue
        headCount =
            try values.decodeIfPresent(Int.self, forKey: .headCount) ?? defaults.headCount
        normalizesInput =
            try values.decodeIfPresent(Bool.self, forKey: .normalizesInput)
            ?? defaults.normalizesInput
        cropPosition =
            try values.decodeIfPresent(CropPosition.self, forKey: .cropPosition)
            ?? defaults.cropPosition
        space = try values.decodeIfPresent(PerceiverSpace.self, forKey: .space) ?? defaults.space
    }
}
