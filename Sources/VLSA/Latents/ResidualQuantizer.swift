import Torch
import TorchNN

// Shapes: ... any leading axes, D depths, K codes of a codebook, C code width.

/// Residual quantisation: each codebook names what the ones before left over.
///
/// With `r_0 = x`: `c_d = argmin_k |r - e_k|²` over the K rows of codebook d, `r <- r - e_{c_d}`, and
/// `q = Σ_d e_{c_d}` (RQ-VAE, arXiv:2203.01941; DualToken and ASVR, arXiv:2506.09040). Frozen: the
/// codebooks are buffers. Distances are taken in fp32, whatever the store's type: in bf16 near ties
/// change order.
public struct ResidualQuantizer {
    /// K.
    public let codeCount: Int
    /// C.
    public let width: Int
    let codebooks: [Tensor]  // D of [K + 1, C]; the last row pads and is no code

    /// Takes `codebooks.0.weight` and on from `scope`, one a depth. Files that share a codebook
    /// among depths hold it once for each.
    public init(depth: Int, codeCount: Int, width: Int, in scope: ParameterScope) throws {
        self.codeCount = codeCount
        self.width = width
        codebooks = try (0..<depth).map { index in
            try scope["codebooks"][index].buffer(
                "weight", shape: [codeCount + 1, width],
                initial: .normal(deviation: 1 / Double(width).squareRoot()), dtype: .float32)
        }
    }

    /// D.
    public var depth: Int { codebooks.count }

    /// Codes int64 `[..., D]`, the lowest of equals, of vectors `[..., C]`.
    public func codes(_ vectors: Tensor) -> Tensor {
        withoutGradients {
            let rows = vectors.detached().to(.float32).reshaped([-1, width])
            // So many rows at a time that their distances to all codes stay small.
            let limit = max(1, (1 << 25) / codeCount)
            let parts = stride(from: 0, to: rows.shape[0], by: limit).map { start in
                nearest(
                    rows.narrowed(
                        axis: 0, start: start, length: min(limit, rows.shape[0] - start)))
            }
            let leading = Array(vectors.shape.dropLast())
            guard !parts.isEmpty else {
                return Tensor.zeros(leading + [depth], dtype: .int64, device: vectors.device)
            }
            return Tensor.concatenated(parts, axis: 0).reshaped(leading + [depth])
        }
    }

    /// `[M, C]` to `[M, D]`.
    private func nearest(_ rows: Tensor) -> Tensor {
        var rest = rows
        let codes = codebooks.map { codebook in
            let entries = codebook.narrowed(axis: 0, start: 0, length: codeCount)
            // |r|² is the same for all codes.
            let nearness =
                rest.matmul(entries.transposed(0, 1)) * 2 - entries.square().sum(axis: 1)
            let indices = nearness.argmax(axis: -1)
            rest = rest - entries.rows(at: indices)
            return indices
        }
        return Tensor.stacked(codes, axis: -1)
    }

    /// Each depth's vector, fp32 `[..., D, C]`, of codes `[..., D]`.
    public func embeddings(of codes: Tensor) -> Tensor {
        guard codes.shape.last == depth else {
            fatalError("codes \(codes.shape) of a quantiser with \(depth) depths")
        }
        return Tensor.stacked(
            codebooks.indices.map { codebooks[$0].rows(at: codes[.ellipsis, $0]) }, axis: -2)
    }

    /// Quantised vectors, fp32 `[..., C]`, of codes `[..., D]`.
    public func vectors(of codes: Tensor) -> Tensor { embeddings(of: codes).sum(axis: -2) }
}
