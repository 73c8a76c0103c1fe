import Torch
import TorchNN
import VLSA

extension CaptionedLatents {
    /// Starting values with which a patch of the picture looks at the prompt's tokens of its own place, and takes over what
    /// they say, from the first step; from random ones it takes a denoiser thousands of steps to find out that the
    /// prompt has to do with the picture.
    ///
    /// Half of the heads ask by place alone: their queries, and the prompt's keys, start as the fastest sines and cosines
    /// of the code that both streams have of their places, which the latent's own entry leaves free. Outputs start as
    /// transposed values, and blocks open, where DiT starts them shut. Where the denoiser is not a multiple as wide as its prompt, the two
    /// codes have no common frequencies, and everything starts as it would anyway.
    func start(seed: UInt64) {
        let configuration = denoiser.configuration
        let generator = Generator(seed: seed &+ 2)
        let (width, headWidth) = (configuration.width, configuration.headWidth)
        func change(_ name: String, _ change: (Tensor) -> Tensor) {
            guard let parameter = store["denoiser." + name] else {
                fatalError("a denoiser without \(name)")
            }
            parameter.copy(from: change(parameter.detached()))
        }
        // A prompt vector is a sparser code of places, with every `step`-th frequency; it enters where those are.
        let (quarter, promptQuarter) = (width / 4, configuration.contextWidth / 4)
        guard promptQuarter > 0, quarter % promptQuarter == 0 else { return }
        let step = quarter / promptQuarter
        func picking(_ columns: [Int]) -> Tensor {  // [columns, D]
            (Tensor(columns, shape: [columns.count, 1]) .== Tensor.arange(width).unsqueezed(0)).to(
                .float32)
        }
        let entries = (0..<4 * promptQuarter).map {
            $0 / promptQuarter * quarter + $0 % promptQuarter * step
        }
        change("context_embedder.weight") { _ in picking(entries).transposed(0, 1) }
        // Of each quarter of the code (column or row, sine or cosine) the fastest.
        let each = max(1, headWidth / 4)
        let picks = picking((0..<headWidth).map { $0 / each % 4 * quarter + $0 % each * step })
        change("pos_embed.proj.weight") {
            $0 * (1 - picks.sum(axis: 0)).reshaped([width, 1, 1, 1])
        }
        let asking = max(1, configuration.headCount / 2)
        let byPlace = Tensor.concatenated((0..<asking).map { _ in picks * 2 }, axis: 0)
        for block in 0..<configuration.layerCount {
            let path = "transformer_blocks.\(block)."
            let count = asking * headWidth
            for name in ["attn.to_q.weight", "attn.add_k_proj.weight"] {
                change(path + name) { weight in
                    Tensor.concatenated(
                        [byPlace, weight.narrowed(axis: 0, start: count, length: width - count)],
                        axis: 0)
                }
            }
            let value = orthonormalRows(width, width, generator: generator)
            change(path + "attn.add_v_proj.weight") { _ in value }
            change(path + "attn.to_out.0.weight") { _ in value.transposed(0, 1) }
            // Shift, scale and gate of attention, then of the feed-forward.
            change(path + "norm1.linear.bias") { _ in
                Tensor.concatenated(
                    (0..<6).map { Tensor.ones([width]) * ($0 % 3 == 2 ? 1 : 0) }, axis: 0)
            }
        }
    }
}
