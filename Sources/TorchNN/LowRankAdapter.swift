import Torch

/// Low-rank adapters on chosen linear layers (LoRA, arXiv:2106.09685).
public struct LoRAConfiguration: Equatable, Sendable {
    /// Width of the bottleneck.
    public var rank: Int
    /// The adapter's output is multiplied by `alpha / rank`.
    public var alpha: Double
    /// Share of the adapter's inputs that are zeroed in training, 0 to below 1.
    public var dropout: Double
    /// Names of linear layers, `*` for anything. A pattern matches a whole name or its last segments, so `q_proj`
    /// has every layer's and `language.*.mlp.*` all of the decoder's feed-forward layers.
    public var targets: [String]

    /// Adapters of `rank` on the layers that match `targets`.
    public init(rank: Int, alpha: Double, dropout: Double = 0, targets: [String]) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = targets
    }

    /// What the adapter's output is multiplied by.
    public var scale: Double { alpha / Double(rank) }
}

/// Decides which of the adapters' inputs are zeroed.
public final class DropoutNoise {
    /// Decides all masks until it is set anew; nil zeroes nothing.
    ///
    /// Masks follow from it and from the layer's name alone, so a layer that is run again for the derivative
    /// zeroes the same inputs.
    public var seed: UInt64?
}

/// `alpha / rank · B A x`, added to a linear layer's output.
struct LowRankAdapter {
    let a: Tensor  // [rank, in], even in ±1/√in
    let b: Tensor  // [out, rank], zeros at first: a new adapter changes nothing
    let configuration: LoRAConfiguration
    let name: String
    let noise: DropoutNoise

    /// - Parameter input: `[…, in]`.
    /// - Returns: `[…, out]`.
    func callAsFunction(_ input: Tensor) -> Tensor {
        thinned(input).linear(a).linear(b) * configuration.scale
    }

    /// Dropout, only while derivatives are recorded: answering and validating see all inputs.
    private func thinned(_ input: Tensor) -> Tensor {
        let share = configuration.dropout
        guard share > 0, gradientsEnabled, let noise = noise.seed else { return input }
        let generator = Generator(seed: seed(for: name, run: noise), device: input.device)
        let kept = withoutGradients { () -> Tensor in
            let isKept = Tensor.uniform(input.shape, generator: generator) .>= share
            return isKept.to(input.dtype) * (1 / (1 - share))
        }
        return input * kept
    }

    /// The same adapter over other tensors of its parameters' names.
    func with(values: [String: Tensor]) -> LowRankAdapter {
        LowRankAdapter(
            a: values[name + ".lora_A.weight"] ?? a, b: values[name + ".lora_B.weight"] ?? b,
            configuration: configuration, name: name, noise: noise)
    }

    /// What merging adds to the layer's weight, fp32 `[out, in]`.
    var delta: Tensor {
        b.detached().to(.float32).matmul(a.detached().to(.float32)) * configuration.scale
    }
}
