import AnyRes
import Codecs
import Corpus
import Foundation
import Prompting
import Torch
import VLSA

/// A stage file of `vlsa train`.
public typealias TrainingPlan = StagePlan<StageSections>

/// Runs a training stage in the folder `run`: model, data and loop as the plan says.
///
/// - Parameters:
///   - observers: look on while it trains.
/// - Throws: ``ExitCoded`` errors with 64 when the plan or the folder is wrong, found before any record is
///   read; ``RunError`` and the model's and data's own errors otherwise.
public func trainStage(
    _ plan: TrainingPlan, run path: String, options: RunOptions = RunOptions(),
    observers: [any TrainingObserver<VLSAModel>] = []
) throws -> TrainingOutcome {
    let plan = try plan.completed()
    let folder = RunFolder(path)
    if options.resume, folder.isFinished(with: try plan.yaml()) {
        return .finished(model: folder.model)
    }
    let processes = try Processes(options.launch, plan: plan.processes)
    defer { processes.leave() }
    let (run, parts) = try stageRun(plan, folder: path, options: options, processes)
    let isFirst = run.processes.isFirst
    run.observers = (isFirst ? [RejectionReporter(), TargetCacheReporter()] : []) + observers
    if isFirst, let pictures = StagePictures(plan, parts) { run.observers.append(pictures) }
    return try run.train()
}

/// Does everything of a stage but the updates, on one batch, and leaves nothing behind.
///
/// The checkpoint that is written to see whether there is room is made beside the run folder, on its disk, and
/// removed.
///
/// - Throws: as ``trainStage(_:run:options:observers:)``.
public func rehearseStage(
    _ plan: TrainingPlan, run path: String, options: RunOptions = RunOptions()
) throws -> DryRunReport {
    let plan = try plan.completed()
    let folder = PlanPath.absolute(path, from: ".").path
    guard !RunFolder(folder).holdsRun else { throw RunError.alreadyThere(folder: folder) }
    var place = PlanPath.folder(of: folder)
    while !FileManager.default.fileExists(atPath: place) { place = PlanPath.folder(of: place) }
    let temporary = "\(place)/\(AtomicFiles.temporaryPrefix)dry-run-\(getpid())"
    // A first signal lets the batch come to its end, so that nothing stays behind.
    if options.watchesSignals { Interruption.watch() }
    defer {
        try? FileManager.default.removeItem(atPath: temporary)
        if options.watchesSignals { Interruption.unwatch() }
    }
    let processes = try Processes(options.launch, plan: plan.processes)
    defer { processes.leave() }
    return try stageRun(plan, folder: temporary, options: options, processes).run.rehearse()
}

extension StagePlan<StageSections> {
    /// The plan with the keys that its sections leave out as the model's folder has them; as it is where there is no
    /// such folder.
    func completed() throws -> TrainingPlan {
        guard case .folder(let folder, _, _, _) = model,
            let saved = try? CheckpointFolder(folder.path).configuration(VLSAConfiguration.self)
        else { return self }
        var plan = self
        do { plan.sections = try sections.laid(over: saved.sections) } catch {
            throw PlanError.unusable(key: "model", reason: "\(error)")
        }
        return plan
    }
}

private func stageRun(
    _ plan: TrainingPlan, folder path: String, options: RunOptions, _ processes: Processes
) throws -> (run: TrainingRun<VLSAModel>, parts: StageParts) {
    let parts = try processes.agree {
        let parts = try StageParts(plan, launch: options.launch)
        try plan.checkPaths()
        return parts
    }
    if parts.device.isCUDA { try processes.group?.connect(parts.device) }
    let run = try TrainingRun<VLSAModel>(
        plan: plan, folder: path, options: options, processes: processes,
        model: { origin in
            do {
                let model = try parts.model(origin)
                try parts.check(model)
                try parts.openCaches(of: model)
                return model
            } catch let error where origin == .plan && !(error is any ExitCoded) {
                throw PlanError.unusable(key: "model", reason: "\(error)")
            }
        },
        training: { try parts.loader(of: parts.data.records, for: $0, isTraining: true) },
        validation: { model in
            parts.data.validation.isEmpty
                ? nil : try parts.loader(of: parts.data.validation, for: model, isTraining: false)
        })
    return (run, parts)
}

/// Makes the model and the data that a plan names.
struct StageParts {
    let plan: TrainingPlan
    let data: DataPlan
    let source: ModelSource
    let device: Device
    let launch: ProcessLaunch?

    /// - Parameters:
    ///   - elsewhere: the stage is to run on another machine, so its device need not be here.
    ///   - launch: how this process was started together with others, each of which takes a GPU of its own.
    init(
        _ plan: TrainingPlan, elsewhere: Bool = false, launch: ProcessLaunch? = nil
    ) throws(PlanError) {
        self.plan = plan
        self.launch = launch
        guard let data = plan.data else { throw .missing(key: "data") }
        guard let source = plan.model else { throw .missing(key: "model") }
        guard var device = Device(plan.device) else {
            throw .unusable(key: "device", reason: "there is no device \(plan.device)")
        }
        guard elsewhere || device.isCPU || Device.hasCUDA else {
            throw .unusable(key: "device", reason: "this machine, or this libtorch, has no CUDA")
        }
        if let launch, device.isCUDA {
            guard plan.device == "cuda" else {
                throw .unusable(
                    key: "device",
                    reason:
                        "\(plan.device) is one GPU, for \(launch.size) processes; write cuda, and each "
                        + "takes that of its LOCAL_RANK")
            }
            guard launch.localRank < Device.cudaCount else {
                throw .unusable(
                    key: "device",
                    reason:
                        "LOCAL_RANK is \(launch.localRank), but this machine has \(Device.cudaCount) "
                        + "CUDA devices; start one process for each")
            }
            device = .cuda(launch.localRank)
        }
        if case .parts(let parts) = source {
            guard parts.vision != nil else { throw .missing(key: "model.vision") }
            guard parts.language != nil else { throw .missing(key: "model.language") }
            guard plan.sections.picture != nil else { throw .missing(key: "picture") }
        }
        if let augment = data.augment, augment.codebook == nil, namedCodebook(source) == nil,
            augment.cognition.tasks.contains(where: { $0.value > 0 && $0.key.needsCodebook })
        {
            throw .missing(key: "data.augment.codebook")
        }
        self.data = data
        self.source = source
        self.device = device
    }

    /// Gives the model the caches of its frozen targets that the plan names.
    func openCaches(of model: VLSAModel) throws {
        if let folder = data.codeCache, model.asvr != nil {
            do {
                model.codeCache = CodeCache(
                    try ContentStore(folder: folder.path, limit: data.codeCacheBytes))
            } catch {
                throw PlanError.unusable(key: "data.codeCache", reason: "\(error)")
            }
        }
        guard let folder = data.latentCache, let codec = model.latents else { return }
        guard model.configuration.objective.latent == .mean else {
            throw PlanError.unusable(
                key: "data.latentCache",
                reason:
                    "keeps the latents' means, but objective.latent is sample, a new draw each step; "
                    + "leave one of the two out")
        }
        do {
            let store = try ContentStore(folder: folder.path, limit: data.latentCacheBytes)
            model.latentCache = try LatentCache(store, codec: codec, in: model.store)
        } catch {
            throw PlanError.unusable(key: "data.latentCache", reason: "\(error)")
        }
    }

    /// Throws where the stage could not teach `model` what it says.
    func check(_ model: VLSAModel) throws {
        let visual = model.visualTokenCount
        guard data.images == nil || data.maxLength > visual else {
            throw PlanError.unusable(
                key: "data.maxLength",
                reason: "is \(data.maxLength), but the tokens of one picture alone are \(visual)")
        }
        guard model.balance == nil || plan.train.contains(where: { isPrefix($0, of: "balance") })
        else {
            throw PlanError.unusable(
                key: "train",
                reason:
                    "objective.balance is uncertainty, which learns its weights; add balance, or "
                    + "write objective.balance: fixed")
        }
        for prefix in plan.train {
            let part = String(prefix.prefix { $0 != "." })
            guard part != "latents" else {
                throw PlanError.unusable(
                    key: "train",
                    reason: "latents are the frozen target of the objective; the parts that can "
                        + "learn are \(VLSAModel.parts.joined(separator: ", "))")
            }
            let objective = model.configuration.objective
            guard
                objective.kind == .none || objective.hasWeight
                    || !["epigone", "denoiser", "ross", "asvr"].contains(part)
            else {
                let key =
                    objective.balance == .schedule
                    ? "every weight of objective.schedule" : "objective.weight"
                throw PlanError.unusable(
                    key: "train",
                    reason: "\(part) learns from the visual objective alone, and \(key) is 0")
            }
        }
        // Parts that no folder has, made for the objective: as they start they say nothing.
        for part in ["ross", "asvr"] {
            let names = model.store.tensors(under: part).map(\.name)
            guard
                names.isEmpty || names.contains(where: { model.store.sources[$0] != nil })
                    || plan.train.contains(where: {
                        isPrefix($0, of: part) || isPrefix(part, of: $0)
                    })
            else {
                throw PlanError.unusable(
                    key: "train",
                    reason: "\(part) is new and would stay as it starts; add \(part)")
            }
        }
        do { _ = try augmenter(Tiler(model.configuration.picture)) } catch {
            throw PlanError.unusable(key: "data.augment", reason: "\(error)")
        }
    }

    /// The stage's model, or the one of the checkpoint that is resumed; on the stage's device unless another is chosen.
    func model(_ origin: ModelOrigin, on chosen: Device? = nil) throws -> VLSAModel {
        let model = try loaded(origin, on: chosen ?? device)
        model.checkpointedParts = Set(plan.gradientCheckpointing)
        model.packsSequences = plan.batch.packed
        return model
    }

    private func loaded(_ origin: ModelOrigin, on device: Device) throws -> VLSAModel {
        switch (origin, source) {
        case (.checkpoint(let folder), _):
            return try VLSAModel(
                folder: folder, dtype: plan.dtype.type, device: device, seed: plan.seed,
                lora: plan.lora?.configuration)
        case (.plan, .folder(let folder, let denoiser, let latents, let codebook)):
            return try checked(
                VLSAModel(
                    folder: folder.path, replacing: plan.sections, denoiser: denoiser?.path,
                    latents: latents?.path, codebook: codebook?.path, addingTokens: answerTokens(),
                    dtype: plan.dtype.type, device: device, seed: plan.seed,
                    lora: plan.lora?.configuration))
        case (.plan, .parts(let parts)):
            guard let vision = parts.vision, let language = parts.language,
                let picture = plan.sections.picture
            else { throw PlanError.missing(key: "model") }
            return try checked(
                VLSAModel(
                    assembling: PartFolders(
                        vision: vision.path, projector: parts.projector?.path,
                        perceiver: parts.perceiver?.path, language: language.path,
                        denoiser: parts.denoiser?.path,
                        latents: parts.latents?.path, codebook: parts.codebook?.path),
                    configuration: VLSAConfiguration(picture: picture).replacing(plan.sections),
                    addingTokens: answerTokens(), dtype: plan.dtype.type, device: device,
                    seed: plan.seed, lora: plan.lora?.configuration))
        }
    }

    /// Tokens that the data's answers are written in, in the order of their ids.
    func answerTokens() throws -> [String] {
        var tokens = try data.tokens.flatMap { try TokenList.read($0.path) }
        if let augment = data.augment, augment.cognition.answers == .tokens {
            tokens += augment.cognition.addedTokens(codeCount: try openCodebook()?.codeCount ?? 0)
        }
        return tokens
    }

    /// A model whose new tokens, if it has any, can be learned.
    func checked(_ model: VLSAModel) throws -> VLSAModel {
        guard !model.addedTokens.isEmpty else { return model }
        let rows = ["language.model.embed_tokens.weight", "language.lm_head.weight"]
        for name in rows where model.store.names.contains(name) {
            guard plan.train.contains(where: { isPrefix($0, of: name) }) else {
                throw PlanError.unusable(
                    key: "train",
                    reason:
                        "the answers' \(model.addedTokens.count) new tokens need rows of \(name), "
                        + "which stays frozen; add language, or "
                        + rows.filter(model.store.names.contains).joined(separator: " and "))
            }
        }
        return model
    }

    /// Samples of some record files as `model` takes them.
    ///
    /// - Parameter isShared: each of several processes gets its part of them; else each gets all.
    func loader(
        of records: [RecordSource], for model: VLSAModel, isTraining: Bool, isShared: Bool = true
    ) throws -> SampleLoader {
        let collection =
            if records.count == 1, let only = records.first, only.strategy == .all {
                try RecordCollection(path: only.path.path, seed: plan.seed)
            } else {
                try RecordCollection(
                    records.map { .init(path: $0.path.path, strategy: $0.strategy) },
                    seed: plan.seed)
            }
        let chat = model.configuration.chat
        let tiler = try Tiler(model.configuration.picture)
        let builder = SampleBuilder(
            tokenizer: model.tokenizer, tiler: tiler,
            folder: try data.images.map { try PictureFolder($0.path) },
            settings: SampleBuilder.Settings(
                format: chat.format, system: chat.system, compat: chat.compat,
                maxLength: data.maxLength),
            augmenter: isTraining ? try augmenter(tiler) : nil,
            visualTokenCount: model.visualTokenCounter)
        return try SampleLoader(
            collection, builder: builder,
            settings: SampleLoader.Settings(
                seed: plan.seed, isShuffled: isTraining, workers: isTraining ? data.workers : 0,
                prefetch: isTraining
                    ? min(2 * plan.batch.samples, max(16, 2 * plan.batch.micro)) : 0,
                cacheBytes: isTraining ? data.cacheBytes : data.cacheBytes / 4,
                maxRejectedShare: data.maxRejected, rank: isShared ? launch?.rank ?? 0 : 0,
                world: isShared ? launch?.size ?? 1 : 1))
    }

    func augmenter(_ tiler: Tiler) throws -> Augmenter? {
        guard let augment = data.augment else { return nil }
        return try Augmenter(
            augment.cognition, templates: .cognition(folders: augment.templates.map(\.path)),
            codebook: try openCodebook(),
            cache: try augment.cache.map {
                CodeCache(try ContentStore(folder: $0.path, limit: augment.cacheBytes))
            }, tiler: tiler)
    }

    private func openCodebook() throws -> (any Codebook)? {
        try (data.augment?.codebook ?? namedCodebook(source)).map { try codebook(folder: $0.path) }
    }
}

/// The codebook that `model:` names.
private func namedCodebook(_ source: ModelSource) -> PlanPath? {
    switch source {
    case .parts(let parts): parts.codebook
    case .folder(_, _, _, let codebook): codebook
    }
}

extension PlanDType {
    /// The tensors' type.
    var type: DType {
        switch self {
        case .float32: .float32
        case .bfloat16: .bfloat16
        case .float16: .float16
        }
    }
}

/// Says at the end what the caches of frozen targets were good for.
final class TargetCacheReporter: TrainingObserver {
    func runEnded(_ outcome: TrainingOutcome, of run: TrainingRun<VLSAModel>) throws {
        for (name, store) in [
            ("latent", run.model.latentCache?.store), ("code", run.model.codeCache?.store),
        ] {
            guard let use = store?.use else { continue }
            var line = "\(name) cache: \(use.hits) found, \(use.misses) encoded"
            if use.damaged > 0 { line += ", \(use.damaged) of them damaged on disk" }
            if let problem = use.problem { line += "; warning: \(problem)" }
            run.progress.message(line)
        }
    }
}
