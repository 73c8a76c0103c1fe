/// Watches the loss of each step for jumps, as a ``GuardPlan`` says.
public struct LossGuard {
    /// What is remembered from step to step, and saved with a checkpoint.
    public struct Memory: Codable, Equatable, Sendable {
        /// Losses of the last steps that were taken, the oldest first.
        public var losses: [Double] = []
        /// Steps skipped since the last one that was taken.
        public var skipped = 0
    }

    /// A loss that is too far above the others.
    struct Spike {
        let loss: Double
        let median: Double
        /// Whether the step is to be left out; else the run ends.
        let isSkipped: Bool
    }

    let plan: GuardPlan
    var memory: Memory

    init(_ plan: GuardPlan, memory: Memory? = nil) {
        self.plan = plan
        self.memory = memory ?? Memory()
    }

    /// Takes note of a step's loss; nil when it is as it should be.
    mutating func check(_ loss: Double) -> Spike? {
        guard plan.action != .off else { return nil }
        if memory.losses.count >= plan.window {
            let sorted = memory.losses.sorted()
            let middle = sorted.count / 2
            let median =
                sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
            // As far above the median as `factor` times it lies, also where losses are negative.
            if loss > median + (plan.factor - 1) * abs(median) {
                let isSkipped = plan.action == .skip && memory.skipped < plan.patience
                memory.skipped += 1
                return Spike(loss: loss, median: median, isSkipped: isSkipped)
            }
            memory.losses.removeFirst(memory.losses.count - plan.window + 1)
        }
        memory.losses.append(loss)
        memory.skipped = 0
        return nil
    }
}
