import Torch
import TorchNN

// Shapes: R asked rows, T tokens, D width, H query heads, K key-value heads, d head width.

extension LanguageModel {
    /// How much some tokens of one sequence look at each token up to themselves: the mean over heads and layers
    /// of the attention weights, `[R, T]`, float32; rows sum to 1.
    ///
    /// - Parameters:
    ///   - embeddings: one sequence, `[1, T, D]`.
    ///   - rows: positions of the tokens asked about.
    public func attention(_ embeddings: Tensor, from rows: [Int]) -> Tensor {
        let count = embeddings.shape[1]
        let pass = pass(embeddings, layout: .dense, cache: nil)
        let asked = Tensor(rows, shape: [rows.count], device: embeddings.device)
        var hidden = embeddings
        var sum = Tensor.zeros([rows.count, count], device: embeddings.device)
        for layer in layers {
            sum = sum + layer.attention.weights(layer.norm1(hidden), pass, from: asked)
            hidden = layer(hidden, pass)
        }
        return sum / Double(layers.count)
    }
}

extension DecoderAttention {
    /// Attention weights of the tokens at `rows` (int64, `[R]`) of `[1, T, D]`, the mean over heads: `[R, T]`.
    func weights(_ x: Tensor, _ pass: DecoderPass, from rows: Tensor) -> Tensor {
        let count = x.shape[1]
        let entered = entry(x)
        let q = applyRotary(heads(entered[0]), pass.cosines, pass.sines)
            .selecting(rows, axis: 2).to(.float32)  // [1, H, R, d]
        let k = applyRotary(heads(entered[1]), pass.cosines, pass.sines).to(.float32)  // [1, K, T, d]
        let keys = k.repeated(q.shape[1] / k.shape[1], axis: 1)  // [1, H, T, d]
        let scores = q.matmul(keys.transposed(-2, -1)) * (1 / Double(headWidth).squareRoot())
        let positions = Tensor.arange(count, device: x.device).unsqueezed(0)  // [1, T]
        let here = rows.unsqueezed(1)  // [R, 1]
        var hidden = positions .> here
        if let window { hidden = hidden.logicalOr(positions .<= here - Double(window)) }
        return scores.filled(where: hidden, with: -.infinity).softmax(axis: -1)[0].mean(axis: 0)
    }
}
