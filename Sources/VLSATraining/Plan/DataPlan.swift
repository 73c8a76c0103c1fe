/// Records, pictures and how they become samples (`data:`).
public struct DataPlan: Equatable, Sendable {
    /// Record files to train on, with their shares.
    public var records: [RecordSource]
    /// Folder that picture paths in records start from; nil for text alone.
    public var images: PlanPath?
    /// Record files for the validation loss.
    public var validation: [RecordSource]
    /// Chat format, by its name (`plain`, `vicuna_v1`, `llama_3`, `chatml`, `mistral`, `llama_2`).
    public var format: String
    /// Longest sequence of a sample, in tokens after the pictures are expanded.
    public var maxLength: Int
    /// Threads that read and tile pictures.
    public var workers: Int
    /// Tiled pictures kept in memory, in bytes.
    public var cacheBytes: Int
    /// Cognition turns slipped in on the fly; nil for none.
    public var augment: AugmentPlan?
}

/// A record file, and how much of it an epoch takes.
public struct RecordSource: Codable, Equatable, Sendable {
    /// JSON array, JSONL or mixture YAML.
    public var path: PlanPath
    /// Share of the records an epoch takes, 0...1.
    public var share: Double

    public init(path: PlanPath, share: Double = 1) {
        self.path = path
        self.share = share
    }

    enum CodingKeys: String, CodingKey { case path, share }

    public init(from decoder: any Decoder) throws {
        if let path = try? decoder.singleValueContainer().decode(PlanPath.self) {
            (self.path, share) = (path, 1)
            return
        }
        let values = try decoder.container(keyedBy: CodingKeys.self)
        path = try values.decode(PlanPath.self, forKey: .path)
        share = try values.decodeIfPresent(Double.self, forKey: .share) ?? 1
        try refuse(
            !(share > 0 && share <= 1), "must be more than 0 and at most 1", CodingKeys.share)
    }
}

/// Cognition tasks slipped into conversations while training (`data.augment:`).
public struct AugmentPlan: Codable, Equatable, Sendable {
    /// Folder of the task templates.
    public var templates: PlanPath
    /// Chance that a record with a picture gets a task, 0...1.
    public var probability: Double
    /// Relative weight of each task, by the name of its template folder; empty for all alike.
    public var tasks: [String: Double]
    /// Seed of the choices; nil for the plan's.
    public var seed: UInt64?

    enum CodingKeys: String, CodingKey { case templates, probability, tasks, seed }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        templates = try values.decode(PlanPath.self, forKey: .templates)
        probability = try values.decodeIfPresent(Double.self, forKey: .probability) ?? 1
        tasks = try values.decodeIfPresent([String: Double].self, forKey: .tasks) ?? [:]
        seed = try values.decodeIfPresent(UInt64.self, forKey: .seed)
        try refuse(
            !(0...1).contains(probability), "must lie between 0 and 1", CodingKeys.probability)
        try refuse(tasks.values.contains { $0 < 0 }, "has a negative weight", CodingKeys.tasks)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(templates, forKey: .templates)
        try values.encode(probability, forKey: .probability)
        try values.encode(SortedTable(tasks), forKey: .tasks)
        try values.encodeIfPresent(seed, forKey: .seed)
    }
}

extension DataPlan: Codable {
    enum CodingKeys: String, CodingKey {
        case records, images, validation, format, maxLength, workers, cacheBytes, augment
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        records = try DataPlan.sources(in: values, at: .records)
        try refuse(records.isEmpty, "names no file", CodingKeys.records)
        images = try values.decodeIfPresent(PlanPath.self, forKey: .images)
        validation =
            try values.contains(.validation) && !values.decodeNil(forKey: .validation)
            ? DataPlan.sources(in: values, at: .validation) : []
        format = try values.decodeIfPresent(String.self, forKey: .format) ?? "vicuna_v1"
        maxLength = try values.decodeIfPresent(Int.self, forKey: .maxLength) ?? 2048
        workers = try values.decodeIfPresent(Int.self, forKey: .workers) ?? 1
        cacheBytes = try values.decodeIfPresent(Int.self, forKey: .cacheBytes) ?? 256 << 20
        augment = try values.decodeIfPresent(AugmentPlan.self, forKey: .augment)
        try refuse(maxLength < 1, "must be 1 or more", CodingKeys.maxLength)
        try refuse(!(1...256).contains(workers), "must lie between 1 and 256", CodingKeys.workers)
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
