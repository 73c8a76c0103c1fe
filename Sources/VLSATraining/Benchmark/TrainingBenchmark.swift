import AnyRes
import Corpus
import Foundation
import Prompting
import Torch
import TorchNN
import VLSA

/// Time and memory of training steps on made-up samples: the work of `peer.py train`, step by step the same, through
/// a ``TrainingRun`` as `vlsa train` makes it.
///
/// Weights are bf16 with fp32 masters, clipped to norm 1. Every sample has a picture of four tiles and its snapshot,
/// and its last tokens, a share of 35 in 100, are supervised; latents come from the cache on disk, where every epoch
/// but the first finds them.
public struct TrainingBenchmark {
    /// Which parts learn, as in VLSA's three stages.
    public enum Stage: Int, CaseIterable, Sendable {
        case perceive = 1
        case detail, instruct

        var parts: [String] {
            let aligner = ["perceiver", "projector", "epigone"]
            return switch self {
            case .perceive: aligner
            case .detail: aligner + ["denoiser", "vision"]
            case .instruct: aligner + ["denoiser", "vision", "language"]
            }
        }
    }

    /// What was found, under the names of `peer.py`.
    public struct Result: Encodable, Sendable {
        public let work = "train"
        public let size: String
        public let mode = "bf16"
        public let stage: Int
        public let batch: Int
        /// Parameters of the whole model.
        public let params: Int
        /// Those that learn.
        public let trainable: Int
        /// Seconds of a step, the median.
        public let secondsPerStep: Double
        public let samplesPerSecond: Double
        /// Most memory of the process, making the model included.
        public let peakMiB: Double
        /// Seconds of the steps while a checkpoint was written, the call that began it added to the first, for a
        /// checkpoint after each measured step; nil unless asked for.
        public let secondsWhileSaving: [[Double]]?

        enum CodingKeys: String, CodingKey {
            case work, size, mode, stage, batch, params, trainable
            case secondsPerStep = "step_s"
            case samplesPerSecond = "samples_per_s"
            case peakMiB = "peak_mib"
            case secondsWhileSaving = "saving_step_s"
        }
    }

    public let size: BenchmarkSize
    public let stage: Stage
    /// Samples of a step.
    public let batch: Int
    /// Measured steps, after two that are not.
    public let steps: Int
    /// Parts that keep only their layers' inputs.
    public let checkpointing: Set<CheckpointedPart>
    /// Tiles of each picture.
    static let tiles = 4
    /// Share of the text that is supervised.
    static let supervised = 0.35

    public init(
        size: BenchmarkSize, stage: Stage, batch: Int = 2, steps: Int = 5,
        checkpointing: Set<CheckpointedPart> = []
    ) {
        self.size = size
        self.stage = stage
        self.batch = batch
        self.steps = steps
        self.checkpointing = checkpointing
    }

    /// Takes the steps.
    ///
    /// - Parameters:
    ///   - isSaving: whether after each measured step a checkpoint is saved, in the background of further steps.
    ///   - profile: file for a trace of them, nil for none.
    public func run(isSaving: Bool = false, profile: String? = nil) throws -> Result {
        let folder = temporaryFolder
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let run = try run(in: folder, profile: profile)
        var times: [Double] = []
        var whileSaving: [[Double]] = []
        for index in 0..<steps + 2 {
            let report = try run.takeStep()
            guard index >= 2 else { continue }
            times.append(report.seconds)
            if isSaving { whileSaving.append(try stepsWhileSaving(run)) }
        }
        try run.trace?.close()
        let seconds = times.sorted()[times.count / 2]
        let trainable = run.model.store.trainable.reduce(0) { $0 + $1.tensor.count }
        run.model.store.train(Stage.instruct.parts)
        return Result(
            size: size.rawValue, stage: stage.rawValue, batch: batch,
            params: run.model.store.trainable.reduce(0) { $0 + $1.tensor.count },
            trainable: trainable, secondsPerStep: seconds,
            samplesPerSecond: Double(batch) / seconds,
            peakMiB: Double(TorchRuntime.peakResidentBytes) / 1_048_576,
            secondsWhileSaving: isSaving ? whileSaving : nil)
    }

    private func stepsWhileSaving(_ run: TrainingRun<VLSAModel>) throws -> [Double] {
        let start = ContinuousClock.now
        try run.save()
        let call = start.duration(to: .now) / .seconds(1)
        var times = [call + (try run.takeStep()).seconds]
        while run.pendingSave?.job.isDone == false { times.append(try run.takeStep().seconds) }
        try run.settleSave()
        return times
    }

    var temporaryFolder: String {
        FileManager.default.temporaryDirectory.appendingPathComponent("vlsa-bench-\(getpid())").path
    }

    private func run(in folder: String, profile: String?) throws -> TrainingRun<VLSAModel> {
        let plan = LoopPlan(
            name: "bench", seed: 1, threads: 0, train: stage.parts,
            optimizer: OptimizerPlan(rate: 1e-4, decay: 0.01),
            schedule: SchedulePlan(kind: .constant, warmup: 0), batch: BatchPlan(samples: batch),
            length: .steps(steps + 2), validate: ValidatePlan(), checkpoint: CheckpointPlan(),
            log: LogPlan())
        return try TrainingRun(
            plan: plan, planText: "bench", folder: folder + "/run",
            options: RunOptions(progress: .silent, watchesSignals: false, profile: profile),
            model: { _ in
                let model = try size.model(in: folder)
                model.checkpointedParts = checkpointing
                let cache = try ContentStore(folder: folder + "/latents-cache", limit: 1 << 30)
                if let reconstruction = model.reconstruction {
                    model.latentCache = try LatentCache(
                        cache, codec: reconstruction.latents, in: model.store)
                }
                return model
            },
            training: { ArraySource(try samples(for: $0), isShuffled: false) })
    }

    /// One batch of samples: noise for pictures, random text.
    func samples(for model: VLSAModel) throws -> [Sample] {
        var random = SplitMix(state: 1)
        let (side, length) = (2 * size.vision.imageSize, size.textLength)
        let tiler = try Tiler(model.configuration.picture)
        return try (0..<batch).map { index in
            let bytes = (0..<side * side * 3).map { _ in UInt8.random(in: 0...255, using: &random) }
            let picture = try tiler.tile(Pixels(width: side, height: side, bytes: bytes))
            guard picture.tileCount == Self.tiles else {
                fatalError("\(side) x \(side) pixels gave \(picture.tileCount) tiles")
            }
            let text = (0..<length).map { _ in
                Int.random(in: 0..<size.language.vocabularySize, using: &random)
            }
            let first = Int(Double(length) * (1 - Self.supervised))
            return Sample(
                recordID: "\(index)", ids: [PromptIDs.imageToken] + text,
                isSupervised: [false] + (0..<length).map { $0 >= first }, pictures: [picture],
                pictureKeys: ["\(index)"], tokenCount: model.visualTokenCount + length)
        }
    }
}
