/// What a stage starts from: `model:` is one folder, that folder with parts that it lacks, or a mapping with a folder
/// for each part.
public enum ModelSource: Codable, Equatable, Sendable {
    /// A folder with a whole model, as a stage saves it; the others in place of its own, which it need not have.
    case folder(
        PlanPath, denoiser: PlanPath? = nil, latents: PlanPath? = nil, codebook: PlanPath? = nil)
    /// Folders of the parts.
    case parts(PartPaths)

    enum CodingKeys: String, CodingKey { case folder, denoiser, latents, codebook }

    public init(from decoder: any Decoder) throws {
        if let folder = try? decoder.singleValueContainer().decode(PlanPath.self) {
            self = .folder(folder)
            return
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        if let folder = try values.decodeIfPresent(PlanPath.self, forKey: .folder) {
            self = .folder(
                folder, denoiser: try values.decodeIfPresent(PlanPath.self, forKey: .denoiser),
                latents: try values.decodeIfPresent(PlanPath.self, forKey: .latents),
                codebook: try values.decodeIfPresent(PlanPath.self, forKey: .codebook))
        } else {
            self = .parts(try PartPaths(from: decoder))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .folder(let folder, denoiser: nil, latents: nil, codebook: nil):
            try folder.encode(to: encoder)
        case .folder(let folder, let denoiser, let latents, let codebook):
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(folder, forKey: .folder)
            try values.encodeIfPresent(denoiser, forKey: .denoiser)
            try values.encodeIfPresent(latents, forKey: .latents)
            try values.encodeIfPresent(codebook, forKey: .codebook)
        case .parts(let parts): try parts.encode(to: encoder)
        }
    }
}

/// Folders of a model's parts; one that is nil is not there or made anew.
public struct PartPaths: Codable, Equatable, Sendable {
    /// Vision tower.
    public var vision: PlanPath?
    /// Projector to start from; nil for a new one.
    public var projector: PlanPath?
    /// Perceiver to start from; nil for a new one.
    public var perceiver: PlanPath?
    /// Language model with its tokenizer.
    public var language: PlanPath?
    /// Denoising transformer of the reconstruction.
    public var denoiser: PlanPath?
    /// Frozen latents of the reconstruction, or of ROSS.
    public var latents: PlanPath?
    /// Frozen codebook of the cognition tasks, and of ASVR.
    public var codebook: PlanPath?

    public init(
        vision: PlanPath? = nil, projector: PlanPath? = nil, perceiver: PlanPath? = nil,
        language: PlanPath? = nil,
        denoiser: PlanPath? = nil, latents: PlanPath? = nil, codebook: PlanPath? = nil
    ) {
        self.vision = vision
        self.projector = projector
        self.perceiver = perceiver
        self.language = language
        self.denoiser = denoiser
        self.latents = latents
        self.codebook = codebook
    }

    /// The parts that have a folder, by key.
    var named: [(String, PlanPath)] {
        [
            ("vision", vision), ("projector", projector), ("perceiver", perceiver),
            ("language", language),
            ("denoiser", denoiser), ("latents", latents), ("codebook", codebook),
        ].compactMap { name, path in path.map { (name, $0) } }
    }
}
