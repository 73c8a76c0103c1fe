/// How a checkpoint wants its text made: `generation_config.json`, with `config.json` behind it.
public struct GenerationConfiguration: Codable, Equatable, Sendable {
    /// Any of these ends the answer; the stop token is part of the output.
    public var stopIDs: [Int]
    /// Begins a text.
    public var startID: Int?
    /// Fills rows.
    public var padID: Int?
    /// Whether tokens are drawn; the best one is taken otherwise.
    public var samples: Bool
    /// Of the draw.
    public var temperature: Double?
    /// Only so many of the best.
    public var topK: Int?
    /// Only the best that reach this mass together.
    public var topP: Double?
    /// Above 1 makes tokens that were seen less likely.
    public var repetitionPenalty: Double?

    enum CodingKeys: String, CodingKey {
        case stopIDs = "eos_token_id"
        case startID = "bos_token_id"
        case padID = "pad_token_id"
        case samples = "do_sample"
        case temperature
        case topK = "top_k"
        case topP = "top_p"
        case repetitionPenalty = "repetition_penalty"
        case text = "text_config"
    }

    public init(
        stopIDs: [Int], startID: Int? = nil, padID: Int? = nil, samples: Bool = false,
        temperature: Double? = nil, topK: Int? = nil, topP: Double? = nil,
        repetitionPenalty: Double? = nil
    ) {
        self.stopIDs = stopIDs
        self.startID = startID
        self.padID = padID
        self.samples = samples
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        // A vision-language configuration says it of its decoder.
        let text = try values.decodeIfPresent(GenerationConfiguration.self, forKey: .text)
        let stopIDs = try values.tokenIDs(.stopIDs)
        self.stopIDs = stopIDs.isEmpty ? text?.stopIDs ?? [] : stopIDs
        startID = try values.tokenIDs(.startID).first ?? text?.startID
        padID = try values.tokenIDs(.padID).first ?? text?.padID
        samples = try values.flag(.samples, standard: false)
        temperature = try values.decodeIfPresent(Double.self, forKey: .temperature)
        topK = try values.decodeIfPresent(Int.self, forKey: .topK)
        topP = try values.decodeIfPresent(Double.self, forKey: .topP)
        repetitionPenalty = try values.decodeIfPresent(Double.self, forKey: .repetitionPenalty)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeTokenIDs(stopIDs, forKey: .stopIDs)
        try values.encodeIfPresent(startID, forKey: .startID)
        try values.encodeIfPresent(padID, forKey: .padID)
        try values.encode(samples, forKey: .samples)
        try values.encodeIfPresent(temperature, forKey: .temperature)
        try values.encodeIfPresent(topK, forKey: .topK)
        try values.encodeIfPresent(topP, forKey: .topP)
        try values.encodeIfPresent(repetitionPenalty, forKey: .repetitionPenalty)
    }
}

extension KeyedDecodingContainer {
    /// Token ids written as a number, a list, or not at all.
    func tokenIDs(_ key: Key) throws -> [Int] {
        guard contains(key), try !decodeNil(forKey: key) else { return [] }
        if let one = try? decode(Int.self, forKey: key) { return [one] }
        return try decode([Int].self, forKey: key)
    }
}

extension KeyedEncodingContainer {
    /// Token ids as the hub writes them: nothing, a number, or a list.
    mutating func encodeTokenIDs(_ ids: [Int], forKey key: Key) throws {
        if ids.count == 1 {
            try encode(ids[0], forKey: key)
        } else if !ids.isEmpty {
            try encode(ids, forKey: key)
        }
    }
}
