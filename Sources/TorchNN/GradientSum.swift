import Torch

/// Gradients of half-precision weights, summed over micro-batches in fp32.
///
/// Summed in bf16, whose numbers have three digits, the later micro-batches of many would be rounded away.
/// Gradients of other weights add up where they are.
public final class GradientSum {
    private let weights: [Tensor]
    private var sums: [Tensor?]

    /// - Parameter weights: all that is trained.
    public init(_ weights: [Tensor]) {
        self.weights = weights.filter { $0.dtype == .bfloat16 || $0.dtype == .float16 }
        sums = Array(repeating: nil, count: self.weights.count)
    }

    /// Takes the gradients of one micro-batch away from the weights.
    public func add() {
        withoutGradients {
            for (index, weight) in weights.enumerated() {
                guard let gradient = weight.gradient else { continue }
                if let sum = sums[index] {
                    sum.add(gradient)
                } else {
                    sums[index] = gradient.to(.float32)
                }
                weight.gradient = nil
            }
        }
    }

    /// Gives the weights their summed gradients, fp32.
    public func finish() {
        for (index, weight) in weights.enumerated() {
            if let sum = sums[index] { weight.gradient = sum }
            sums[index] = nil
        }
    }
}
