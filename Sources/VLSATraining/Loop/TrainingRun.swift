import Foundation
import Torch
import TorchNN

/// How a run is started.
public struct RunOptions: Sendable {
    /// Goes on from the newest complete checkpoint; a folder without one starts anew.
    public var resume: Bool
    /// How progress is shown on standard error.
    public var progress: ProgressStyle
    /// Saves and ends at SIGINT and SIGTERM.
    public var watchesSignals: Bool
    /// The command line, to be recorded.
    public var commandLine: [String]
    /// Overrides of the plan, to be recorded.
    public var overrides: [String]
    /// File that a trace of the run's time is written to, nil for none; the first process' alone.
    public var profile: String?
    /// How this process was started together with others; nil for one alone.
    public var launch: ProcessLaunch?

    public init(
        resume: Bool = false, progress: ProgressStyle = .automatic, watchesSignals: Bool = true,
        commandLine: [String] = CommandLine.arguments, overrides: [String] = [],
        profile: String? = nil, launch: ProcessLaunch? = nil
    ) {
        self.resume = resume
        self.progress = progress
        self.watchesSignals = watchesSignals
        self.commandLine = commandLine
        self.overrides = overrides
        self.profile = profile
        self.launch = launch
    }
}

/// Where a run's model is to come from.
public enum ModelOrigin: Equatable, Sendable {
    /// From what the plan names.
    case plan
    /// From the model folder of a checkpoint.
    case checkpoint(String)
}

/// One training stage in its folder: the loop, its checkpoints and what it reports.
///
/// A run that is stopped, or killed, and resumed takes the same steps to the bit as one that never stopped:
/// weights, optimizer and data position are saved together, complete or not at all.
///
/// Several processes train one run together: each makes a `TrainingRun` with the same plan and folder, and only the
/// first one writes and prints. Observers are called in every process.
public final class TrainingRun<Model: Trainable> {
    public let plan: LoopPlan
    public let folder: RunFolder
    public let model: Model
    /// Steps of the whole run.
    public let steps: Int
    /// Steps taken so far.
    public internal(set) var step: Int
    /// Look on while the run trains, in this order.
    public var observers: [any TrainingObserver<Model>] = []
    /// Progress of the run; observers may print lines through it.
    public let progress: ProgressDisplay

    /// The processes that train together.
    public let processes: Processes
    let options: RunOptions
    let planText: String
    let training: any ExampleSource<Model.Example>
    let validation: (any ExampleSource<Model.Example>)?
    let validationStart: [UInt8]
    let optimizer: AdamW
    /// Exchanges gradients and weights; nil for a single process.
    let parallel: DataParallel?
    let schedule: Schedule
    let noise: SampleNoise
    /// The first process' files; nil in the others.
    let metrics: MetricLog?
    let events: EventFile?
    var samples: Int
    var tokens: Int
    var seconds: Double
    var validationLoss: Double?
    var lastCheckpoint: String?
    /// The checkpoint that is being written.
    var pendingSave: PendingSave?
    /// Step of the checkpoint that this sitting began with; the model may still read files of it.
    let resumedFrom: Int?
    var saidWaiting = false
    var spikes: LossGuard
    /// Where weights are fp16; nil elsewhere.
    var lossScaler: LossScaler?
    let trace: TraceFile?
    private let lock: RunLock?

    /// Takes the run folder, makes or loads the model, and gets everything ready for ``train()``.
    ///
    /// The folder is made if need be and held until the run is released. When this throws, a run that is
    /// already there is as it was.
    ///
    /// - Parameters:
    ///   - model: makes the model; it gets the checkpoint's model folder when the run is resumed.
    ///   - training: the data, endless; it is moved to the saved position when the run is resumed.
    ///   - validation: data of the validation loss, nil for none.
    ///   - processes: those that train together; each calls this at the same time.
    /// - Throws: ``RunError`` (``RunError/exitCode`` 64 when nothing was begun), and what the closures throw.
    public convenience init<Sections>(
        plan: StagePlan<Sections>, folder: String, options: RunOptions = RunOptions(),
        processes: Processes = Processes(),
        model: (ModelOrigin) throws -> Model,
        training: (Model) throws -> any ExampleSource<Model.Example>,
        validation: (Model) throws -> (any ExampleSource<Model.Example>)? = { _ in nil }
    ) throws {
        try self.init(
            plan: plan.loop, planText: try plan.yaml(), folder: folder, options: options,
            processes: processes, model: model, training: training, validation: validation)
    }

    /// As above, for a plan of another kind.
    ///
    /// - Parameter planText: the whole resolved plan as YAML; it is written to the folder, and resuming is
    ///   refused when it differs.
    public init(
        plan: LoopPlan, planText: String, folder path: String, options: RunOptions = RunOptions(),
        processes: Processes = Processes(),
        model: (ModelOrigin) throws -> Model,
        training: (Model) throws -> any ExampleSource<Model.Example>,
        validation: (Model) throws -> (any ExampleSource<Model.Example>)? = { _ in nil }
    ) throws {
        self.plan = plan
        self.planText = planText
        self.options = options
        self.processes = processes
        let folder = RunFolder(PlanPath.absolute(path, from: ".").path)
        self.folder = folder
        try processes.checkAlike(plan, planText)
        let claim = try processes.claimed(folder, resume: options.resume, planText: planText)
        lock = claim.lock

        TorchRuntime.threads = plan.threads > 0 ? plan.threads : processes.threads
        do {
            let origin =
                claim.state.map { ModelOrigin.checkpoint(claim.path($0) + "/model") } ?? .plan
            self.model = try TrainingRun.made(from: origin, model)
            try TrainableTable.train(plan, in: self.model.store)
            let groups = TrainableTable.groups(plan, of: self.model.store)
            parallel = processes.group.map {
                DataParallel(groups, processes: $0, zero: plan.processes.stage)
            }
            optimizer = AdamW(
                groups: parallel?.groups ?? groups,
                beta1: plan.optimizer.betas[0], beta2: plan.optimizer.betas[1],
                epsilon: plan.optimizer.epsilon)
            if let state = claim.state {
                try optimizer.restore(from: claim.path(state), with: parallel)
            }
            self.training = try training(self.model)
            guard self.training.count > 0 else { throw RunError.noExamples }
            self.validation = try validation(self.model)
            validationStart = try self.validation?.position() ?? []
            steps = plan.steps(examples: self.training.count)
            schedule = Schedule(
                plan.schedule.kind.course, warmup: plan.schedule.warmupSteps(of: steps),
                total: steps)
            noise = SampleNoise(seed: plan.seed, device: self.model.store.device)

            let state = claim.state
            step = state?.step ?? 0
            samples = state?.samples ?? 0
            tokens = state?.tokens ?? 0
            seconds = state?.seconds ?? 0
            validationLoss = state?.validationLoss
            lastCheckpoint = state.map(claim.path)
            resumedFrom = state?.step
            lossScaler =
                state?.lossScaler
                ?? (self.model.store.dtype == .float16
                    ? LossScaler(
                        scale: plan.optimizer.lossScale, interval: plan.optimizer.lossScaleInterval)
                    : nil)
            spikes = LossGuard(plan.spikes, memory: state?.spikes)
            if let state { try self.training.seek(state.position) }
            trace =
                processes.isFirst ? try options.profile.map { try TraceFile(path: $0) } : nil
            let table = TrainableTable.text(groups, store: self.model.store)
            // Nobody begins before everybody is ready.
            try processes.checkAlike(self.model.store)
            (metrics, events, progress) = try processes.begun(
                claim, plan: plan, planText: planText, options: options, table: table,
                step: step, steps: steps)
        } catch {
            claim.giveUp()
            processes.announce(error)
            throw error
        }
    }

    /// The model, with what is wrong about a checkpoint said of it.
    private static func made(
        from origin: ModelOrigin, _ make: (ModelOrigin) throws -> Model
    ) throws -> Model {
        guard case .checkpoint(let folder) = origin else { return try make(origin) }
        do {
            return try make(origin)
        } catch let error where !(error is any ExitCoded) {
            throw RunError.foreignCheckpoint(checkpoint: folder, reasons: ["\(error)"])
        }
    }

    /// Writes a picture to the run's folder and to TensorBoard.
    ///
    /// - Parameters:
    ///   - png: the picture as a PNG file's bytes.
    ///   - tag: its name there, such as `reconstruction/0`.
    public func addPicture(_ png: [UInt8], tag: String, width: Int, height: Int) throws {
        guard let events else { return }
        try events.add(picture: png, tag: tag, width: width, height: height, step: step)
        try FileManager.default.createDirectory(
            atPath: folder.pictures, withIntermediateDirectories: true)
        let name = tag.map { $0.isLetter || $0.isNumber ? $0 : "-" }
        try AtomicFiles.write(
            Data(png), to: folder.pictures + "/step-\(step)-\(String(name)).png")
    }

    /// Writes values of an observer's own to the metrics and to TensorBoard.
    public func addMetrics(_ kind: String, _ values: [(name: String, value: Double)]) throws {
        try metrics?.add(kind, step: step, values)
        try events?.add(values.map { ("\(kind)/\($0.name)", $0.value) }, step: step)
    }
}

extension SchedulePlan.Kind {
    var course: Schedule.Kind {
        switch self {
        case .constant: .constant
        case .linear: .linear
        case .cosine: .cosine
        }
    }
}

extension AdamW {
    /// Continues from the state in a checkpoint's folder.
    fileprivate func restore(from checkpoint: String, with parallel: DataParallel?) throws {
        do {
            let file = try SafetensorsFile(path: checkpoint + "/optimizer.safetensors")
            guard let parallel else { return try restore(from: file) }
            try parallel.restore(self) { file.contains($0) ? try file.tensor($0) : nil }
        } catch {
            throw RunError.foreignCheckpoint(checkpoint: checkpoint, reasons: ["\(error)"])
        }
    }
}
