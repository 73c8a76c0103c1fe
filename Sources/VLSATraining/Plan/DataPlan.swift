import Corpus

/// Records, pictures and how they become samples (`data:`).
public struct DataPlan: Equatable, Sendable {
    /// Record files to train on, with their shares.
    public var records: [RecordSource]
    /// Folder that picture paths in records start from; nil for text alone.
    public var images: PlanPath?
    /// Record files for the validation loss.
    public var validation: [RecordSource]
    /// Longest sequence of a sample, in tokens after the pictures are expanded.
    public var maxLength: Int
    /// Threads that read and tile pictures.
    public var workers: Int
    /// Tiled pictures kept in memory, in bytes.
    public var cacheBytes: Int
    /// Share of the records that may be left out, 0...1, before the run is stopped.
    public var maxRejected: Double
    /// Folder in which the frozen latents of reconstruction and ROSS are kept; nil encodes them at every step.
    public var latentCache: PlanPath?
    /// Most bytes of that folder.
    public var latentCacheBytes: Int
    /// Folder in which ASVR's frozen codes are kept; nil computes them at every step.
    public var codeCache: PlanPath?
    /// Most bytes of that folder.
    public var codeCacheBytes: Int
    /// Lists of tokens that the records' answers are written in, as `vlsa augment` leaves them; the vocabulary gets
    /// those it lacks.
    public var tokens: [PlanPath]
    /// Cognition turns slipped in on the fly; nil for none.
    public var augment: AugmentPlan?
}

/// A record file, and what an epoch takes of it.
public struct RecordSource: Codable, Equatable, Sendable {
    /// JSON array or JSONL; a mixture's YAML file where it stands alone.
    public var path: PlanPath
    /// `all`, `first:N`, `end:N` or `random:N`, N a number or a percentage.
    public var strategy: SamplingStrategy

    public init(path: PlanPath, strategy: SamplingStrategy = .all) {
        self.path = path
        self.strategy = strategy
    }

    enum CodingKeys: String, CodingKey { case path, sampling }

    public init(from decoder: any Decoder) throws {
        if let path = try? decoder.singleValueContainer().decode(PlanPath.self) {
            (self.path, strategy) = (path, .all)
            return
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        path = try values.decode(PlanPath.self, forKey: .path)
        let text = try values.decodeIfPresent(String.self, forKey: .sampling) ?? "all"
        guard let strategy = SamplingStrategy(text) else {
            throw PlanValueError(
                "must be all, first:N, end:N or random:N, with N a number or a percentage",
                key: CodingKeys.sampling)
        }
        self.strategy = strategy
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(path, forKey: .path)
        try values.encode("\(strategy)", forKey: .sampling)
    }
}

/// Cognition turns slipped into conversations while training (`data.augment:`): paths, and beside them the
/// keys of ``Corpus/CognitionConfiguration``.
public struct AugmentPlan: Codable, Equatable, Sendable {
    /// Folders of the task templates.
    public var templates: [PlanPath]
    /// Codebook of the tasks that ask for codes; nil for the one that `model:` names.
    public var codebook: PlanPath?
    /// Folder that keeps codes from run to run; nil computes them each time.
    public var cache: PlanPath?
    /// Most bytes of that folder.
    public var cacheBytes: Int
    /// What is asked, and how.
    public var cognition: CognitionConfiguration

    enum CodingKeys: String, CodingKey { case templates, codebook, cache, cacheBytes }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        templates = try values.paths(.templates)
        try refuse(templates.isEmpty, "names no folder", CodingKeys.templates)
        codebook = try values.decodeIfPresent(PlanPath.self, forKey: .codebook)
        cache = try values.decodeIfPresent(PlanPath.self, forKey: .cache)
        cacheBytes = try values.decodeIfPresent(Int.self, forKey: .cacheBytes) ?? 4 << 30
        try refuse(cacheBytes < 1, "must be above 0", CodingKeys.cacheBytes)
        cognition = try CognitionConfiguration(from: decoder)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(templates, forKey: .templates)
        try values.encodeIfPresent(codebook, forKey: .codebook)
        try values.encodeIfPresent(cache, forKey: .cache)
        if cache != nil { try values.encode(cacheBytes, forKey: .cacheBytes) }
        try cognition.encode(to: encoder)
    }
}

extension DataPlan: Codable {
    enum CodingKeys: String, CodingKey {
        case records, images, validation, maxLength, workers, cacheBytes, maxRejected
        case latentCache, latentCacheBytes, codeCache, codeCacheBytes, tokens, augment
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        records = try DataPlan.sources(in: values, at: .records)
        try refuse(records.isEmpty, "names no file", CodingKeys.records)
        images = try values.decodeIfPresent(PlanPath.self, forKey: .images)
        validation =
            try values.contains(.validation) && !values.decodeNil(forKey: .validation)
            ? DataPlan.sources(in: values, at: .validation) : []
        maxLength = try values.decodeIfPresent(Int.self, forKey: .maxLength) ?? 2048
        workers = try values.decodeIfPresent(Int.self, forKey: .workers) ?? 1
        cacheBytes = try values.decodeIfPresent(Int.self, forKey: .cacheBytes) ?? 256 << 20
        maxRejected = try values.decodeIfPresent(Double.self, forKey: .maxRejected) ?? 0.05
        latentCache = try values.decodeIfPresent(PlanPath.self, forKey: .latentCache)
        latentCacheBytes =
            try values.decodeIfPresent(Int.self, forKey: .latentCacheBytes) ?? 8 << 30
        codeCache = try values.decodeIfPresent(PlanPath.self, forKey: .codeCache)
        codeCacheBytes =
            try values.decodeIfPresent(Int.self, forKey: .codeCacheBytes) ?? 4 << 30
        tokens = values.contains(.tokens) ? try values.paths(.tokens) : []
        augment = try values.decodeIfPresent(AugmentPlan.self, forKey: .augment)
        try refuse(maxLength < 1, "must be 1 or more", CodingKeys.maxLength)
        try refuse(!(1...256).contains(workers), "must lie between 1 and 256", CodingKeys.workers)
        try refuse(
            !(0...1).contains(maxRejected), "must lie between 0 and 1", CodingKeys.maxRejected)
        try refuse(latentCacheBytes < 1, "must be above 0", CodingKeys.latentCacheBytes)
        try refuse(codeCacheBytes < 1, "must be above 0", CodingKeys.codeCacheBytes)
        try refuse(cacheBytes < 0, "must be 0 (no cache) or more", CodingKeys.cacheBytes)
    }

    private static func sources(
        in values: KeyedDecodingContainer<CodingKeys>, at key: CodingKeys
    ) throws -> [RecordSource] {
        if let path = try? values.decode(PlanPath.self, forKey: key) {
            return [RecordSource(path: path)]
        }
        return try values.decode([RecordSource].self, forKey: key)
    }
}

extension KeyedDecodingContainer {
    /// One path, or a list of them.
    fileprivate func paths(_ key: Key) throws -> [PlanPath] {
        if let path = try? decode(PlanPath.self, forKey: key) { return [path] }
        return try decode([PlanPath].self, forKey: key)
    }
}
