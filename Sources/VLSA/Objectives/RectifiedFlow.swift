import Torch

// Shapes: B samples, C channels, h x w cells.

/// Straight paths between data and noise, and the loss of a network that predicts the way along them.
///
/// `z_t = (1 - t) z + t ε`, so 0 is data and 1 is noise; the velocity is `ε - z`. A prediction `v` of it also says
/// what the data is, `z_θ = z_t - t v`, and `‖z - z_θ‖² = t² ‖(ε - z) - v‖²` exactly (arXiv:2403.03206, section 3).
public struct RectifiedFlow {
    public let time: TimeSampling
    public let target: ReconstructionTarget

    public init(time: TimeSampling, target: ReconstructionTarget) {
        self.time = time
        self.target = target
    }

    /// Each sample's mean loss, float32, `[B]`.
    ///
    /// - Parameters:
    ///   - z: data, `[B, C, h, w]`.
    ///   - generators: one for each sample, which draws its time, then its noise; a sample's draws do not
    ///     depend on its neighbours.
    ///   - velocity: the network: `z_t` and times `[B]` in 0...1 to a velocity shaped as `z`.
    public func loss(
        of z: Tensor, generators: [Generator],
        velocity: (_ noised: Tensor, _ time: Tensor) -> Tensor
    ) -> Tensor {
        let count = z.shape[0]
        var draws: (u: [Tensor], n: [Tensor], noise: [Tensor]) = ([], [], [])
        for generator in generators {
            draws.u.append(.uniform([1], generator: generator))
            draws.n.append(.normal([1], generator: generator))
            draws.noise.append(.normal(Array(z.shape.dropFirst()), generator: generator))
        }
        let u = Tensor.concatenated(draws.u, axis: 0).floats()
        let n = Tensor.concatenated(draws.n, axis: 0).floats()
        let times = zip(u, n).map { Float(time.time(uniform: Double($0), normal: Double($1))) }
        let t = Tensor(times, shape: [count], device: z.device)
        let wide = t.reshaped([count, 1, 1, 1])
        let noise = Tensor.stacked(draws.noise, axis: 0).to(z.device)
        let v = velocity(z * (1 - wide) + noise * wide, t).to(.float32)
        let error = ((noise - z) - v).square().mean(axes: [1, 2, 3])  // [B]
        return target == .x0 ? error * t.square() : error
    }
}
