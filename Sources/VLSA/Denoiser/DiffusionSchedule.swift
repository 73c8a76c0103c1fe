import Foundation
import Torch

/// How fast a discrete diffusion's noise grows with its steps; diffusers' `beta_schedule`.
public enum BetaSchedule: String, Codable, CaseIterable, Sendable {
    /// `β_i = 1 - f((i + 1) / n) / f(i / n)`, 0.999 at most, with `f(u) = cos²(π/2 (u + 0.008) / 1.008)`
    /// (arXiv:2102.09672, equation 17); diffusers' `squaredcos_cap_v2`.
    case cosine
    /// Even steps of β from 0.0001 to 0.02 (arXiv:2006.11239).
    case linear
    /// Even steps of √β between the same ends.
    case scaledLinear
    /// The sigmoid of even steps from -6 to 6, brought between the same ends.
    case sigmoid
}

/// Noise levels of a discrete diffusion of 1000 steps (arXiv:2006.11239): `x_t = √ᾱ_t z + √(1 - ᾱ_t) ε`.
public struct DiffusionSchedule: Sendable {
    /// Number of steps, n.
    public static let stepCount = 1000
    /// `ᾱ_t = Π_{i ≤ t} (1 - β_i)`, one for each step.
    public let cumulativeAlphas: [Double]

    public init(_ schedule: BetaSchedule) {
        let n = Double(Self.stepCount)
        let (first, last) = (1e-4, 0.02)
        func kept(_ u: Double) -> Double { pow(cos((u + 0.008) / 1.008 * .pi / 2), 2) }
        var product = 1.0
        cumulativeAlphas = (0..<Self.stepCount).map { index in
            let (i, share) = (Double(index), Double(index) / (n - 1))
            let beta: Double
            switch schedule {
            case .cosine: beta = min(1 - kept((i + 1) / n) / kept(i / n), 0.999)
            case .linear: beta = first + (last - first) * share
            case .scaledLinear:
                beta = pow(first.squareRoot() + (last.squareRoot() - first.squareRoot()) * share, 2)
            case .sigmoid: beta = first + (last - first) / (1 + exp(6 - 12 * share))
            }
            product *= 1 - beta
            return product
        }
    }

    /// `x_t` of data and noise, both `[M, C, h, w]`, at `steps`, M of 0...999.
    public func noised(_ data: Tensor, noise: Tensor, steps: [Int]) -> Tensor {
        func column(_ value: (Double) -> Double) -> Tensor {
            Tensor(
                steps.map { Float(value(cumulativeAlphas[$0]).squareRoot()) },
                shape: [steps.count, 1, 1, 1], device: data.device)
        }
        return data * column { $0 } + noise * column { 1 - $0 }
    }
}
