import AnyRes
import Prompting

/// How a model talks, read from `chat` in `config.json` and in a stage file.
public struct ChatConfiguration: Codable, Equatable, Sendable {
    public var format: ChatFormat
    /// The system text; nil for the format's own, empty for none.
    public var system: String?
    /// Labels, system text and blanks as the original LLaVA code has them, with its oddities.
    public var compat: Bool

    public init(format: ChatFormat = .llama3, system: String? = nil, compat: Bool = false) {
        self.format = format
        self.system = system
        self.compat = compat
    }

    enum CodingKeys: String, CodingKey, CaseIterable { case format, system, compat }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        format = try values.decode(ChatFormat.self, forKey: .format)
        system = try values.decodeIfPresent(String.self, forKey: .system)
        compat = try values.flag(.compat, standard: false)
    }
}

/// The sections that a stage file and a model's `config.json` share: how a picture is cut, compressed and
/// rebuilt. In a stage file each may be left out, and each key of one; the previous stage's value then stays.
public struct StageSections: Codable, Equatable, Sendable {
    public var picture: TilingConfiguration?
    public var features: FeatureSelection?
    public var perceiver: PerceiverConfiguration?
    public var unpadding: UnpaddingConfiguration?
    public var epigone: EpigoneConfiguration?
    public var objective: ObjectiveConfiguration?
    public var chat: ChatConfiguration?
    /// The keys that were read, as `objective.time.shift`; nil for sections that count whole.
    var stated: Set<String>?

    public init(
        picture: TilingConfiguration? = nil, features: FeatureSelection? = nil,
        perceiver: PerceiverConfiguration? = nil, unpadding: UnpaddingConfiguration? = nil,
        epigone: EpigoneConfiguration? = nil,
        objective: ObjectiveConfiguration? = nil, chat: ChatConfiguration? = nil
    ) {
        self.picture = picture
        self.features = features
        self.perceiver = perceiver
        self.unpadding = unpadding
        self.epigone = epigone
        self.objective = objective
        self.chat = chat
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case picture, features, perceiver, unpadding, epigone, objective, chat
    }
}

/// A model's `config.json`: the sections, resolved, and how it talks. The parts' own configurations are in the
/// part folders beside it (`vision`, `language`, and what the objective needs: `denoiser`, `latents`, `codebook`).
public struct VLSAConfiguration: Codable, Equatable, Sendable {
    /// Always `vlsa`.
    public var modelType: String
    public var picture: TilingConfiguration
    public var features: FeatureSelection
    public var perceiver: PerceiverConfiguration
    /// LLaVA-NeXT's tokens in place of the perceiver's; nil for none.
    public var unpadding: UnpaddingConfiguration?
    public var epigone: EpigoneConfiguration
    public var objective: ObjectiveConfiguration
    public var normalization: PixelNormalization
    public var chat: ChatConfiguration

    enum CodingKeys: String, CodingKey, CaseIterable {
        case modelType = "model_type"
        case picture, features, perceiver, unpadding, epigone, objective, normalization, chat
    }

    public init(
        picture: TilingConfiguration, features: FeatureSelection = FeatureSelection(),
        perceiver: PerceiverConfiguration = PerceiverConfiguration(),
        unpadding: UnpaddingConfiguration? = nil,
        epigone: EpigoneConfiguration = EpigoneConfiguration(),
        objective: ObjectiveConfiguration = ObjectiveConfiguration(),
        normalization: PixelNormalization = .clip, chat: ChatConfiguration = ChatConfiguration()
    ) {
        modelType = "vlsa"
        self.picture = picture
        self.features = features
        self.perceiver = perceiver
        self.unpadding = unpadding
        self.epigone = epigone
        self.objective = objective
        self.normalization = normalization
        self.chat = chat
    }

    /// All sections, as a stage file could state them.
    public var sections: StageSections {
        StageSections(
            picture: picture, features: features, perceiver: perceiver, unpadding: unpadding,
            epigone: epigone, objective: objective, chat: chat)
    }

    /// The same with what `sections` states put in its place.
    public func replacing(_ sections: StageSections) throws -> VLSAConfiguration {
        var result = self
        let sections = try sections.laid(over: self.sections)
        if let picture = sections.picture { result.picture = picture }
        if let features = sections.features { result.features = features }
        if let perceiver = sections.perceiver { result.perceiver = perceiver }
        if let unpadding = sections.unpadding { result.unpadding = unpadding }
        if let epigone = sections.epigone { result.epigone = epigone }
        if let objective = sections.objective { result.objective = objective }
        if let chat = sections.chat { result.chat = chat }
        return result
    }
}

/// Folders of the parts that a first stage puts together.
public struct PartFolders: Sendable, Equatable {
    public var vision: String
    /// A projector to start from, its weights under the names `linear_1` and `linear_2`; nil for a new one.
    public var projector: String?
    /// A perceiver to start from, as ``SAPerceiver/save(_:width:of:to:)`` writes it; nil for a new one.
    public var perceiver: String?
    /// Holds the tokenizer too.
    public var language: String
    public var denoiser: String?
    public var latents: String?
    /// Frozen codes that ASVR predicts.
    public var codebook: String?

    public init(
        vision: String, projector: String? = nil, perceiver: String? = nil, language: String,
        denoiser: String? = nil, latents: String? = nil, codebook: String? = nil
    ) {
        self.vision = vision
        self.projector = projector
        self.perceiver = perceiver
        self.language = language
        self.denoiser = denoiser
        self.latents = latents
        self.codebook = codebook
    }
}
