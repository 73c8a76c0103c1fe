import Torch
import TorchNN
import VLSA

extension DecoderText {
    /// Starting values with which a narrow model that has minutes looks words up and says them from the first step:
    /// families start with a deviation of 0.02, made for thousands of columns and for weeks.
    ///
    /// Keys start as queries, so that a word attends to its like; outputs as transposed values, so that what is
    /// attended to is added as it is; and the head as the embeddings, so that what was added is said. All words
    /// share one direction, by which the size of a cell tells how many words it holds.
    func start(seed: UInt64) {
        let configuration = language.configuration
        let generator = Generator(seed: seed &+ 1)
        let width = configuration.width
        func set(_ name: String, _ values: Tensor) { store[name]?.copy(from: values) }
        let words =
            Tensor.normal([configuration.vocabularySize, width], generator: generator)
            + Tensor.normal([1, width], generator: generator)
        set("language.model.embed_tokens.weight", words * 0.5)
        set("language.lm_head.weight", words * 0.5)
        let (heads, groups) = (configuration.headCount, configuration.keyValueHeadCount)
        let headWidth = configuration.headWidth
        /// The rows of a matrix over all heads that belong to the first head of each group.
        func grouped(_ rows: Tensor) -> Tensor {
            Tensor.concatenated(
                (0..<groups).map { group in
                    rows.narrowed(
                        axis: 0, start: group * (heads / groups) * headWidth, length: headWidth)
                }, axis: 0)
        }
        for layer in 0..<configuration.layerCount {
            let path = "language.model.layers.\(layer)."
            let query = orthonormalRows(heads * headWidth, width, generator: generator)
            set(path + "self_attn.q_proj.weight", query)
            set(path + "self_attn.k_proj.weight", grouped(query))
            let value = orthonormalRows(heads * headWidth, width, generator: generator)
            set(path + "self_attn.v_proj.weight", grouped(value))
            set(path + "self_attn.o_proj.weight", value.transposed(0, 1) * 0.5)
            for (name, scale) in [("gate_proj", 1.0), ("up_proj", 1.0), ("down_proj", 0.5)] {
                guard let weight = store[path + "mlp.\(name).weight"] else { continue }
                let deviation = scale / Double(weight.shape[1]).squareRoot()
                weight.copy(from: Tensor.normal(weight.shape, generator: generator) * deviation)
            }
        }
    }
}
