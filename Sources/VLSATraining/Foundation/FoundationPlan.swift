import AnyRes
import Foundation
import VLSA

/// How `vlsa foundation` makes the parts that the three stages start from, read from a YAML file.
public struct FoundationPlan: Codable, Equatable, Sendable {
    public var name: String
    public var seed: UInt64
    /// Threads of the tensor engine; 0 stands for every core.
    public var threads: Int?
    /// A folder as `vlsa synth` writes it: `train.json`, `texts.json`, `images/`.
    public var data: PlanPath
    /// Most pictures to learn from.
    public var pictures: Int
    /// The latents' folder, as `vlsa codec fit` writes it.
    public var latents: PlanPath
    /// How pictures are cut: the tower learns on windows of one tile.
    public var picture: TilingConfiguration
    public var vocabulary: Int
    public var chat: ChatConfiguration
    public var vision: VisionPlan
    public var language: LanguagePlan
    /// How long the projector learns to name patches.
    public var projector: TrainingPlan
    public var perceiver: PerceiverPlan
    public var denoiser: DenoiserPlan

    /// Steps and optimizer of one part.
    public struct TrainingPlan: Codable, Equatable, Sendable {
        public var steps: Int
        public var batch: Int
        public var rate: Double
        public var decay: Double
        /// Share of the steps in which the rate rises.
        public var warmup: Double
        public var betas: [Double]

        func loop(name: String, part: [String], seed: UInt64, threads: Int) -> LoopPlan {
            LoopPlan(
                name: name, seed: seed, threads: threads, train: part,
                optimizer: OptimizerPlan(rate: rate, decay: decay, betas: betas),
                schedule: SchedulePlan(kind: .cosine, warmup: warmup),
                batch: BatchPlan(samples: batch), length: .steps(steps),
                validate: ValidatePlan(), checkpoint: CheckpointPlan(every: 0, keep: 1),
                log: LogPlan(every: max(1, steps / 50)))
        }
    }

    /// A CLIP-style tower and its sigmoid contrastive loss.
    public struct VisionPlan: Codable, Equatable, Sendable {
        public var width: Int
        public var hiddenWidth: Int
        public var layers: Int
        public var heads: Int
        public var patch: Int
        /// Share of whole snapshots among the views; the others are windows of one tile.
        public var snapshots: Double
        public var training: TrainingPlan
    }

    /// A Llama-style decoder.
    public struct LanguagePlan: Codable, Equatable, Sendable {
        public var width: Int
        public var hiddenWidth: Int
        public var layers: Int
        public var heads: Int
        public var keyValueHeads: Int
        public var noise: TellingNoise
        public var training: TrainingPlan
    }

    /// How the cells of a told picture are spoilt while the decoder learns, so that it later bears with visual tokens,
    /// which are never as clean as words.
    public struct TellingNoise: Codable, Equatable, Sendable {
        /// Share of the words that are left out.
        public var dropout: Double
        /// Deviation of Gaussian noise on every column, in units of the embeddings' own deviation.
        public var deviation: Double
    }

    /// A perceiver as the first stage will ask for it.
    public struct PerceiverPlan: Codable, Equatable, Sendable {
        public var design: PerceiverConfiguration
        public var training: TrainingPlan
    }

    /// An SD3-style denoiser; its prompt is as wide as the decoder.
    public struct DenoiserPlan: Codable, Equatable, Sendable {
        public var headWidth: Int
        public var heads: Int
        public var layers: Int
        /// Side in pixels of the square that is rebuilt.
        public var pictureSize: Int
        /// As the stages' `epigone.places`: how much of its place is added to each prompt vector.
        public var places: Double
        public var time: TimeSampling
        public var training: TrainingPlan
    }

    /// Reads a plan strictly; `overrides` are `a.b=c`.
    public static func load(path: String, overrides: [String] = []) throws -> FoundationPlan {
        try StrictYAML(path: path, overrides: overrides).decode(FoundationPlan.self)
    }
}

/// What stands in the way of a foundation.
public enum FoundationError: ExitCoded, Equatable, CustomStringConvertible {
    /// Values of the plan that do not fit together.
    case plan(String)
    /// Data that cannot be learned from.
    case data(String)

    public var exitCode: Int32 {
        switch self {
        case .plan: 64
        case .data: 1
        }
    }

    public var description: String {
        switch self {
        case .plan(let problem), .data(let problem): problem
        }
    }
}
