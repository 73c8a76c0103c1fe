import TorchNN

/// The decoder families; one network, told apart by biases, windows and defaults.
public enum LanguageFamily: String, Codable, Equatable, Sendable {
    case llama
    case qwen2
    case mistral
}

/// Decoder hyperparameters: `config.json` of Llama, Qwen2 or Mistral, alone or under `text_config`.
///
/// Reads what transformers 4 and 5 write (`rope_theta` and `rope_scaling`, or `rope_parameters`),
/// and writes the form of version 4, which both read.
public struct LanguageConfiguration: Equatable, Sendable {
    /// Which family, and so which defaults and biases.
    public let family: LanguageFamily
    /// Rows of the embedding, padding included.
    public internal(set) var vocabularySize: Int
    /// Token width.
    public let width: Int
    /// Width inside a feed-forward layer.
    public let hiddenWidth: Int
    /// Number of layers.
    public let layerCount: Int
    /// Query heads.
    public let headCount: Int
    /// Key and value heads, a divisor of the query heads.
    public let keyValueHeadCount: Int
    /// Width of one head.
    public let headWidth: Int
    /// Added to variances in norms.
    public let epsilon: Double
    /// Of the gate.
    public let activation: Activation
    /// Base of the rotary wavelengths.
    public let theta: Double
    /// Of rotary frequencies, for long contexts.
    public let scaling: RotaryScaling
    /// Tokens the model was trained on at once; nothing here stops a longer text.
    public let contextLength: Int
    /// Whether the embedding also scores the next token.
    public let tiesEmbeddings: Bool
    /// Biases of query, key and value.
    public let hasQueryKeyValueBias: Bool
    /// Bias of attention's output.
    public let hasOutputBias: Bool
    /// Biases of the feed-forward layers.
    public let hasFeedForwardBias: Bool
    /// A token sees this many, itself included; nil without a window.
    public let window: Int?
    /// The first so many layers have no window.
    public let unwindowedLayers: Int
    /// Begins a text.
    public let startID: Int?
    /// Any of these ends one.
    public let stopIDs: [Int]
    /// Fills rows.
    public let padID: Int?

    public init(
        family: LanguageFamily = .llama, vocabularySize: Int, width: Int, hiddenWidth: Int,
        layerCount: Int, headCount: Int, keyValueHeadCount: Int, headWidth: Int? = nil,
        epsilon: Double = 1e-5, activation: Activation = .silu, theta: Double = 10_000,
        scaling: RotaryScaling = .none, contextLength: Int = 2048, tiesEmbeddings: Bool = false,
        window: Int? = nil, startID: Int? = 1, stopIDs: [Int] = [2], padID: Int? = nil
    ) {
        self.family = family
        self.vocabularySize = vocabularySize
        self.width = width
        self.hiddenWidth = hiddenWidth
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headWidth = headWidth ?? width / headCount
        self.epsilon = epsilon
        self.activation = activation
        self.theta = theta
        self.scaling = scaling
        self.contextLength = contextLength
        self.tiesEmbeddings = tiesEmbeddings
        hasQueryKeyValueBias = family == .qwen2
        hasOutputBias = false
        hasFeedForwardBias = false
        self.window = window
        unwindowedLayers = 0
        self.startID = startID
        self.stopIDs = stopIDs
        self.padID = padID
    }

    /// The window of layer `index`, or nil.
    func window(ofLayer index: Int) -> Int? { index < unwindowedLayers ? nil : window }
}

extension LanguageConfiguration: Codable {
    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case architectures
        case text = "text_config"
        case vocabularySize = "vocab_size"
        case width = "hidden_size"
        case hiddenWidth = "intermediate_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case keyValueHeadCount = "num_key_value_heads"
        case headWidth = "head_dim"
        case epsilon = "rms_norm_eps"
        case activation = "hidden_act"
        case theta = "rope_theta"
        case scaling = "rope_scaling"
        case rotary = "rope_parameters"
        case contextLength = "max_position_embeddings"
        case tiesEmbeddings = "tie_word_embeddings"
        case hasAttentionBias = "attention_bias"
        case hasFeedForwardBias = "mlp_bias"
        case window = "sliding_window"
        case usesWindow = "use_sliding_window"
        case unwindowedLayers = "max_window_layers"
        case layerTypes = "layer_types"
        case startID = "bos_token_id"
        case stopIDs = "eos_token_id"
        case padID = "pad_token_id"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        if values.contains(.text) {
            self = try values.decode(LanguageConfiguration.self, forKey: .text)
            return
        }
        let kind = try values.decodeIfPresent(String.self, forKey: .modelType) ?? "llama"
        switch kind {
        case "llama", "llava_llama", "llava": family = .llama
        case "qwen2", "llava_qwen": family = .qwen2
        case "mistral", "llava_mistral": family = .mistral
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .modelType, in: values,
                debugDescription: "\"\(kind)\" is no decoder known here; "
                    + "known are llama, qwen2, mistral")
        }
        vocabularySize = try values.size(
            .vocabularySize, standard: family == .qwen2 ? 151_936 : 32_000)
        width = try values.size(.width, standard: 4096)
        hiddenWidth = try values.size(.hiddenWidth, standard: family.standardHiddenWidth)
        layerCount = try values.size(.layerCount, standard: 32)
        headCount = try values.size(.headCount, standard: 32)
        keyValueHeadCount = try values.size(
            .keyValueHeadCount, standard: family.standardKeyValueHeads ?? headCount)
        let hasHeadWidth = try values.decodeIfPresent(Int.self, forKey: .headWidth) != nil
        try values.require(
            hasHeadWidth || width % headCount == 0, .headCount,
            "\(headCount) heads do not divide width \(width), and there is no head_dim")
        headWidth = try values.size(.headWidth, standard: max(1, width / headCount))
        try values.require(
            headWidth % 2 == 0, .headWidth, "\(headWidth) is odd; rotary positions need pairs")
        try values.require(
            headCount % keyValueHeadCount == 0, .keyValueHeadCount,
            "\(keyValueHeadCount) key-value heads do not divide \(headCount) heads")
        epsilon = try values.positive(.epsilon, standard: 1e-6)
        activation = try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .silu
        contextLength = try values.size(
            .contextLength, standard: family.standardContextLength)
        tiesEmbeddings = try values.flag(.tiesEmbeddings, standard: false)

        let rotary = try RotarySettings(values)
        theta = rotary.theta
        scaling = rotary.scaling

        let hasBias = try values.flag(.hasAttentionBias, standard: false)
        hasQueryKeyValueBias = family == .qwen2 || (family == .llama && hasBias)
        hasOutputBias = family == .llama && hasBias
        hasFeedForwardBias =
            try family == .llama && values.flag(.hasFeedForwardBias, standard: false)

        (window, unwindowedLayers) = try Self.window(
            values, family: family, layerCount: layerCount)
        startID = try values.tokenIDs(.startID).first
        stopIDs = try values.tokenIDs(.stopIDs)
        padID = try values.tokenIDs(.padID).first
    }

    /// Mistral's window is on unless null, Qwen2's only when switched on and only in the later
    /// layers.
    private static func window(
        _ values: KeyedDecodingContainer<CodingKeys>, family: LanguageFamily, layerCount: Int
    ) throws -> (Int?, Int) {
        switch family {
        case .llama: return (nil, 0)
        case .mistral:
            if values.contains(.window), try values.decodeNil(forKey: .window) { return (nil, 0) }
            return (try values.size(.window, standard: 4096), 0)
        case .qwen2:
            guard try values.flag(.usesWindow, standard: false) else { return (nil, 0) }
            let window = try values.size(.window, standard: 4096)
            guard let types = try values.decodeIfPresent([String].self, forKey: .layerTypes) else {
                let first = try values.decodeIfPresent(Int.self, forKey: .unwindowedLayers) ?? 28
                return (window, first)
            }
            let full = types.prefix { $0 == "full_attention" }.count
            try values.require(
                types.count == layerCount
                    && types.dropFirst(full).allSatisfy { $0 == "sliding_attention" },
                .layerTypes,
                "only full attention in the first layers and a window in the rest are known")
            return (window, full)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(family.rawValue, forKey: .modelType)
        try values.encode([family.architecture], forKey: .architectures)
        try values.encode(vocabularySize, forKey: .vocabularySize)
        try values.encode(width, forKey: .width)
        try values.encode(hiddenWidth, forKey: .hiddenWidth)
        try values.encode(layerCount, forKey: .layerCount)
        try values.encode(headCount, forKey: .headCount)
        try values.encode(keyValueHeadCount, forKey: .keyValueHeadCount)
        try values.encode(headWidth, forKey: .headWidth)
        try values.encode(DecimalNumber(epsilon), forKey: .epsilon)
        try values.encode(activation, forKey: .activation)
        try values.encode(DecimalNumber(theta), forKey: .theta)
        try RotarySettings(theta: theta, scaling: scaling).encodeScaling(to: &values)
        try values.encode(contextLength, forKey: .contextLength)
        try values.encode(tiesEmbeddings, forKey: .tiesEmbeddings)
        if family == .llama {
            try values.encode(hasQueryKeyValueBias, forKey: .hasAttentionBias)
            try values.encode(hasFeedForwardBias, forKey: .hasFeedForwardBias)
        }
        if family == .mistral {
            if let window {
                try values.encode(window, forKey: .window)
            } else {
                try values.encodeNil(forKey: .window)
            }
        }
        if family == .qwen2 {
            try values.encode(window != nil, forKey: .usesWindow)
            if let window {
                try values.encode(window, forKey: .window)
                try values.encode(unwindowedLayers, forKey: .unwindowedLayers)
            }
        }
        try values.encodeIfPresent(startID, forKey: .startID)
        try values.encodeTokenIDs(stopIDs, forKey: .stopIDs)
        try values.encodeIfPresent(padID, forKey: .padID)
    }
}

extension LanguageFamily {
    fileprivate var standardHiddenWidth: Int {
        switch self {
        case .llama: 11_008
        case .qwen2: 22_016
        case .mistral: 14_336
        }
    }

    fileprivate var standardKeyValueHeads: Int? {
        switch self {
        case .llama: nil
        case .qwen2: 32
        case .mistral: 8
        }
    }

    fileprivate var standardContextLength: Int {
        switch self {
        case .llama: 2048
        case .qwen2: 32_768
        case .mistral: 131_072
        }
    }

    fileprivate var architecture: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .mistral: "MistralForCausalLM"
        }
    }
}

/// Base and frequency scaling of the rotary positions, in either of the two forms they are written
/// in.
private struct RotarySettings {
    let theta: Double
    let scaling: RotaryScaling

    enum ScalingKeys: String, CodingKey {
        case kind = "rope_type"
        case oldKind = "type"
        case theta = "rope_theta"
        case factor
        case lowFactor = "low_freq_factor"
        case highFactor = "high_freq_factor"
        case originalLength = "original_max_position_embeddings"
    }

    init(theta: Double, scaling: RotaryScaling) {
        self.theta = theta
        self.scaling = scaling
    }

    init(_ values: KeyedDecodingContainer<LanguageConfiguration.CodingKeys>) throws {
        var theta = try values.positive(.theta, standard: 10_000)
        var scaling = RotaryScaling.none
        for key in [LanguageConfiguration.CodingKeys.scaling, .rotary]
        where try values.contains(key) && !values.decodeNil(forKey: key) {
            let inner = try values.nestedContainer(keyedBy: ScalingKeys.self, forKey: key)
            theta = try inner.positive(.theta, standard: theta)
            let kind =
                try inner.decodeIfPresent(String.self, forKey: .kind)
                ?? inner.decodeIfPresent(String.self, forKey: .oldKind) ?? "default"
            switch kind {
            case "default": continue
            case "linear":
                scaling = .linear(factor: try inner.positive(.factor, standard: 1))
            case "llama3":
                scaling = .llama3(
                    factor: try inner.positive(.factor, standard: 8),
                    lowFrequencyFactor: try inner.positive(.lowFactor, standard: 1),
                    highFrequencyFactor: try inner.positive(.highFactor, standard: 4),
                    originalContext: try inner.size(.originalLength, standard: 8192))
            default:
                throw DecodingError.dataCorruptedError(
                    forKey: .kind, in: inner,
                    debugDescription: "\"\(kind)\" is no rotary scaling known here; "
                        + "known are default, linear, llama3")
            }
        }
        self.theta = theta
        self.scaling = scaling
    }

    func encodeScaling(
        to values: inout KeyedEncodingContainer<LanguageConfiguration.CodingKeys>
    ) throws {
        switch scaling {
        case .none: try values.encodeNil(forKey: .scaling)
        case .linear(let factor):
            var inner = values.nestedContainer(keyedBy: ScalingKeys.self, forKey: .scaling)
            try inner.encode("linear", forKey: .kind)
            try inner.encode(DecimalNumber(factor), forKey: .factor)
        case .llama3(let factor, let low, let high, let length):
            var inner = values.nestedContainer(keyedBy: ScalingKeys.self, forKey: .scaling)
            try inner.encode("llama3", forKey: .kind)
            try inner.encode(DecimalNumber(factor), forKey: .factor)
            try inner.encode(DecimalNumber(low), forKey: .lowFactor)
            try inner.encode(DecimalNumber(high), forKey: .highFactor)
            try inner.encode(length, forKey: .originalLength)
        }
    }
}
