import Foundation

/// Noise levels of rectified flow: `x_t = (1 - t) data + t noise`, shifted towards noise for larger
/// pictures.
///
/// Reads and writes diffusers' `scheduler_config.json` of a `FlowMatchEulerDiscreteScheduler`.
public struct FlowSchedule: Codable, Equatable, Sendable {
    /// `t' = shift t / (1 + (shift - 1) t)`; 3 for SD3.
    public let shift: Double
    /// Levels of the training table.
    public let trainSteps: Int

    enum CodingKeys: String, CodingKey {
        case className = "_class_name"
        case shift
        case trainSteps = "num_train_timesteps"
        case isDynamic = "use_dynamic_shifting"
    }

    public init(shift: Double = 3, trainSteps: Int = 1000) {
        self.shift = shift
        self.trainSteps = trainSteps
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        shift = try values.positive(.shift, standard: 1)
        trainSteps = try values.size(.trainSteps, standard: 1000)
        try values.require(
            try !values.flag(.isDynamic, standard: false), .isDynamic,
            "a shift that depends on the picture's size is not known here")
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode("FlowMatchEulerDiscreteScheduler", forKey: .className)
        try values.encode(DecimalNumber(shift), forKey: .shift)
        try values.encode(trainSteps, forKey: .trainSteps)
        try values.encode(false, forKey: .isDynamic)
    }

    /// The shifted level of `time` in 0...1.
    public func shifted(_ time: Double) -> Double { shift * time / (1 + (shift - 1) * time) }

    /// Levels of training, from 1 down, `trainSteps` of them.
    public var trainingSigmas: [Double] {
        (0..<trainSteps).map { shifted(Double(trainSteps - $0) / Double(trainSteps)) }
    }

    /// Levels a sampler visits, `steps + 1` from 1 to 0.
    ///
    /// Evenly spaced from the highest to the lowest training level, which are shifted already, and
    /// shifted again: the public samplers do it, and the models are used with it.
    public func sigmas(steps: Int) -> [Double] {
        let lowest = shifted(1 / Double(trainSteps))
        let spaced = (0..<steps).map { step in
            steps == 1 ? 1 : 1 + (lowest - 1) * Double(step) / Double(steps - 1)
        }
        return spaced.map(shifted) + [0]
    }
}
