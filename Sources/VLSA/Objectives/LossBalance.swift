import Foundation
import Torch
import TorchNN

/// How the visual loss is weighed against the text loss, read from `objective.balance`.
public enum LossBalance: String, Codable, CaseIterable, Sendable {
    /// `L_text + weight * L_visual`; with a weight of 1 the paper's.
    case fixed
    /// As `fixed`, the weight following `objective.schedule` over the steps.
    case schedule
    /// Weights from two learned variances, see ``UncertaintyBalance``.
    case uncertainty
}

/// The visual loss's weight at a step; between two points it changes evenly.
public struct WeightPoint: Codable, Equatable, Sendable {
    /// Optimizer steps taken.
    public var step: Int
    /// 0 or more.
    public var weight: Double

    public init(step: Int, weight: Double) {
        self.step = step
        self.weight = weight
    }

    enum CodingKeys: String, CodingKey { case step, weight }
}

extension [WeightPoint] {
    /// The weight at a step: linear between points, constant before the first and after the last. Points are
    /// in the order of their steps, and there is at least one.
    func weight(at step: Int) -> Double {
        guard let next = firstIndex(where: { $0.step > step }) else {
            return self[count - 1].weight
        }
        guard next > 0 else { return self[0].weight }
        let (before, after) = (self[next - 1], self[next])
        let share = Double(step - before.step) / Double(after.step - before.step)
        return before.weight + (after.weight - before.weight) * share
    }
}

/// Two losses weighed by learned variances (Kendall, Gal and Cipolla, arXiv:1705.07115, section 3.2).
///
/// With `s = log σ²` of each loss, the objective is `e^(-s_t) L_text + s_t / 2` for the text, which is a
/// classification, and `½ e^(-s_v) L_visual + s_v / 2` for the visual loss, a regression. `s_t` starts at 0
/// and `s_v` where `½ e^(-s_v)` is `objective.weight`.
public struct UncertaintyBalance {
    let logVariance: Tensor  // [2]: s_t, s_v; float32

    init(weight: Double, in scope: ParameterScope) throws {
        logVariance = try scope.parameter(
            "log_variance", shape: [2],
            initial: .tensor { Tensor([0, Float(-log(2 * weight))], shape: [2]) }, dtype: .float32)
    }

    private func place(of loss: String) -> Int { loss == "visual" ? 1 : 0 }

    /// Weight of the loss named `text` or `visual` now.
    public func weight(of loss: String) -> Double {
        let s = logVariance.detached()[place(of: loss)].item()
        return exp(-s) * (loss == "visual" ? 0.5 : 1)
    }

    /// What a loss that is a sum over `count` units adds to the objective, as a sum over those units.
    public func objective(of loss: String, sum: Tensor, count: Int) -> Tensor {
        let s = logVariance[place(of: loss)]
        let weight = (-s).exp() * (loss == "visual" ? 0.5 : 1)
        return weight * sum + s * (0.5 * Double(count))
    }
}
