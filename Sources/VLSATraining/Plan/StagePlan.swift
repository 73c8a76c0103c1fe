import Foundation
import VLSA

/// One training stage: every hyperparameter, read strictly from a YAML file, written back resolved.
///
/// `Sections` are the model's own keys (`perceiver:`, `objective:`, …), which stand at the top level of the
/// file beside the ones below.
public struct StagePlan<Sections: Codable & Equatable & Sendable>: Equatable, Sendable {
    /// Name of the stage, for titles.
    public var name: String
    /// Seed of initial values, data order, augmentation and noise.
    public var seed: UInt64
    /// Threads of the tensor engine; 0 stands for every core. Results are equal only for equal threads.
    public var threads: Int
    /// Number type of weights and activations.
    public var dtype: PlanDType
    /// `cpu`, `cuda` or `cuda:1`.
    public var device: String
    /// What the stage starts from; nil stands for nothing.
    public var model: ModelSource?
    /// Records and pictures; nil for a stage that makes its own.
    public var data: DataPlan?
    /// The model's own keys.
    public var sections: Sections
    /// Parts that learn, as prefixes of parameter names; the others are frozen.
    public var train: [String]
    /// Low-rank adapters, which learn beside those parts; nil for none.
    public var lora: LoRAPlan?
    public var optimizer: OptimizerPlan
    public var schedule: SchedulePlan
    public var batch: BatchPlan
    /// Parts that are run again in the backward pass instead of keeping what they computed.
    public var gradientCheckpointing: [CheckpointedPart]
    /// How long the stage is.
    public var length: StageLength
    public var validate: ValidatePlan
    public var checkpoint: CheckpointPlan
    public var log: LogPlan
    /// What is done about a loss that jumps (`guard:`).
    public var spikes: GuardPlan
    /// How several processes train together.
    public var processes: ProcessesPlan

    /// Reads a stage file and applies overrides of the form `a.b=c`.
    public static func load(
        path: String, overrides: [String] = []
    ) throws(StrictYAMLError) -> StagePlan {
        try StrictYAML(path: path, overrides: overrides).decode()
    }

    /// The plan with every default written out; ``load(path:overrides:)`` reads it back as equal.
    public func yaml() throws -> String { try yamlText(of: self) }

    /// Throws for the first file or folder the plan names that is not there.
    ///
    /// - Parameter modelIsPlanned: an earlier stage will make the model's folder.
    public func checkPaths(modelIsPlanned: Bool = false) throws(PlanError) {
        var named: [(String, PlanPath)] = []
        switch model {
        case .folder(let folder, let denoiser, let latents, let codebook):
            if !modelIsPlanned { named.append(("model", folder)) }
            if let denoiser { named.append(("model.denoiser", denoiser)) }
            if let latents { named.append(("model.latents", latents)) }
            if let codebook { named.append(("model.codebook", codebook)) }
        case .parts(let parts): named += parts.named.map { ("model.\($0)", $1) }
        case nil: break
        }
        if let data {
            named += data.records.enumerated().map { ("data.records.\($0)", $1.path) }
            named += data.validation.enumerated().map { ("data.validation.\($0)", $1.path) }
            named += data.tokens.enumerated().map { ("data.tokens.\($0)", $1) }
            if let images = data.images { named.append(("data.images", images)) }
            if let augment = data.augment {
                named += augment.templates.enumerated().map {
                    ("data.augment.templates.\($0)", $1)
                }
                if let codebook = augment.codebook {
                    named.append(("data.augment.codebook", codebook))
                }
            }
        }
        for (key, path) in named where !path.exists {
            throw .missingFile(key: key, path: path.path)
        }
    }

    /// What the loop needs of the plan.
    public var loop: LoopPlan {
        LoopPlan(
            name: name, seed: seed, threads: threads, train: train, trainsAdapters: lora != nil,
            optimizer: optimizer,
            schedule: schedule, batch: batch, length: length, validate: validate,
            checkpoint: checkpoint, log: log, spikes: spikes, processes: processes)
    }
}

/// Number type of weights and activations in a plan.
public enum PlanDType: String, Codable, CaseIterable, Sendable {
    case float32, bfloat16, float16
}

/// Length of a stage.
public enum StageLength: Equatable, Sendable {
    /// Optimizer steps.
    case steps(Int)
    /// Passes over the training records, 0.5 for half a pass.
    case epochs(Double)
}

/// A plan that is well written but cannot be run.
public enum PlanError: ExitCoded, Equatable, CustomStringConvertible {
    /// A file or folder the plan names is not there.
    case missingFile(key: String, path: String)
    /// A key that this kind of stage needs.
    case missing(key: String)
    /// A value that cannot be used here.
    case unusable(key: String, reason: String)

    public var exitCode: Int32 { 64 }

    public var description: String {
        switch self {
        case .missingFile(let key, let path): "\(key): \(path): no such file or folder"
        case .missing(let key): "the key \"\(key)\" is missing"
        case .unusable(let key, let reason): "\(key): \(reason)"
        }
    }
}

extension StagePlan: Codable {
    enum CodingKeys: String, CodingKey {
        case name, seed, threads, dtype, device, model, data, train, optimizer, schedule, batch
        case lora, gradientCheckpointing
        case steps, epochs, validate, checkpoint, log, processes
        case spikes = "guard"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decode(String.self, forKey: .name)
        seed = try values.decodeIfPresent(UInt64.self, forKey: .seed) ?? 0
        threads = try values.decodeIfPresent(Int.self, forKey: .threads) ?? 0
        dtype = try values.decodeIfPresent(PlanDType.self, forKey: .dtype) ?? .float32
        device = try values.decodeIfPresent(String.self, forKey: .device) ?? "cpu"
        model = try values.decodeIfPresent(ModelSource.self, forKey: .model)
        data = try values.decodeIfPresent(DataPlan.self, forKey: .data)
        sections = try Sections(from: decoder)
        lora = try values.decodeIfPresent(LoRAPlan.self, forKey: .lora)
        train =
            lora == nil
            ? try values.decode([String].self, forKey: .train)
            : try values.decodeIfPresent([String].self, forKey: .train) ?? []
        optimizer = try values.decode(OptimizerPlan.self, forKey: .optimizer)
        schedule =
            try values.decodeIfPresent(SchedulePlan.self, forKey: .schedule) ?? SchedulePlan()
        batch = try values.decode(BatchPlan.self, forKey: .batch)
        gradientCheckpointing =
            try values.decodeIfPresent([CheckpointedPart].self, forKey: .gradientCheckpointing)
            ?? []
        let steps = try values.decodeIfPresent(Int.self, forKey: .steps)
        let epochs = try values.decodeIfPresent(Double.self, forKey: .epochs)
        switch (steps, epochs) {
        case (let steps?, nil): length = .steps(steps)
        case (nil, let epochs?): length = .epochs(epochs)
        case (nil, nil): throw PlanValueError("how long? write steps: or epochs:")
        case (_?, _?):
            throw PlanValueError(
                "stands beside steps; write one of the two", key: CodingKeys.epochs)
        }
        validate =
            try values.decodeIfPresent(ValidatePlan.self, forKey: .validate) ?? ValidatePlan()
        checkpoint =
            try values.decodeIfPresent(CheckpointPlan.self, forKey: .checkpoint) ?? CheckpointPlan()
        log = try values.decodeIfPresent(LogPlan.self, forKey: .log) ?? LogPlan()
        spikes = try values.decodeIfPresent(GuardPlan.self, forKey: .spikes) ?? GuardPlan()
        processes =
            try values.decodeIfPresent(ProcessesPlan.self, forKey: .processes) ?? ProcessesPlan()

        try refuse(name.isEmpty, "is empty", CodingKeys.name)
        try refuse(threads < 0, "must be 0 (every core) or more", CodingKeys.threads)
        try refuse(steps.map { $0 < 1 } ?? false, "must be 1 or more", CodingKeys.steps)
        try refuse(epochs.map { $0 <= 0 } ?? false, "must be more than 0", CodingKeys.epochs)
        try refuse(
            train.isEmpty && lora == nil, "names no part, so nothing would be trained",
            CodingKeys.train)
        try refuse(train.contains(""), "has an empty name", CodingKeys.train)
        try refuse(Set(train).count != train.count, "names a part twice", CodingKeys.train)
        try refuse(
            device != "cpu" && device != "cuda"
                && !(device.hasPrefix("cuda:") && UInt16(device.dropFirst(5)) != nil),
            "must be cpu, cuda or cuda:N", CodingKeys.device)
        for (key, names) in [("rates", optimizer.rates.keys), ("decays", optimizer.decays.keys)] {
            // Which parts adapters belong to shows when the model is there.
            for name in names.sorted()
            where lora == nil
                && !train.contains(where: { isPrefix($0, of: name) || isPrefix(name, of: $0) })
            {
                throw PlanValueError(
                    "\(key) names \"\(name)\", which is not trained; train has "
                        + train.joined(separator: ", "), key: CodingKeys.optimizer)
            }
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name, forKey: .name)
        try values.encode(seed, forKey: .seed)
        try values.encode(threads, forKey: .threads)
        try values.encode(dtype, forKey: .dtype)
        try values.encode(device, forKey: .device)
        try values.encodeIfPresent(model, forKey: .model)
        try values.encodeIfPresent(data, forKey: .data)
        try sections.encode(to: encoder)
        try values.encode(train, forKey: .train)
        try values.encodeIfPresent(lora, forKey: .lora)
        try values.encode(optimizer, forKey: .optimizer)
        try values.encode(schedule, forKey: .schedule)
        try values.encode(batch, forKey: .batch)
        try values.encode(gradientCheckpointing, forKey: .gradientCheckpointing)
        switch length {
        case .steps(let steps): try values.encode(steps, forKey: .steps)
        case .epochs(let epochs): try values.encode(epochs, forKey: .epochs)
        }
        try values.encode(validate, forKey: .validate)
        try values.encode(checkpoint, forKey: .checkpoint)
        try values.encode(log, forKey: .log)
        try values.encode(spikes, forKey: .spikes)
        try values.encode(processes, forKey: .processes)
    }
}

/// Whether `prefix` is `name` or a run of its leading dotted segments.
func isPrefix(_ prefix: String, of name: String) -> Bool {
    name == prefix || name.hasPrefix(prefix.hasSuffix(".") ? prefix : prefix + ".")
}

/// A table that is written in the order of its keys, so that equal plans are equal texts.
struct SortedTable: Encodable {
    private let values: [String: Double]

    init(_ values: [String: Double]) { self.values = values }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Name.self)
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            try container.encode(value, forKey: Name(stringValue: key))
        }
    }
}

/// Refuses the value of `key` when `wrong` holds.
func refuse(_ wrong: Bool, _ reason: String, _ key: any CodingKey) throws {
    if wrong { throw PlanValueError(reason, key: key) }
}
