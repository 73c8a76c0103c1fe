import CTorch

// MARK: - Products and normalisations

extension Tensor {
    /// Matrix product of the last two axes, the axes before them broadcast.
    public func matmul(_ other: Tensor) -> Tensor {
        produced("matmul", self, other) { ct_matmul(handle, other.handle, $0) }
    }

    /// `x W^T + b` on the last axis; `weight` is `[out, in]`, `bias` `[out]`.
    public func linear(_ weight: Tensor, bias: Tensor? = nil) -> Tensor {
        if let bias {
            return produced("linear", all: [self, weight, bias]) {
                ct_linear(handle, weight.handle, bias.handle, $0)
            }
        }
        return produced("linear", self, weight) { ct_linear(handle, weight.handle, nil, $0) }
    }

    /// Exponentials along an axis, divided by their sum.
    public func softmax(axis: Int) -> Tensor {
        produced("softmax", self) { ct_softmax(handle, axis, false, $0) }
    }

    /// Logarithm of ``softmax(axis:)``, worked out stably.
    public func logSoftmax(axis: Int) -> Tensor {
        produced("logSoftmax", self) { ct_softmax(handle, axis, true, $0) }
    }

    /// Layer normalisation over the last axis (arXiv:1607.06450), biased variance.
    ///
    /// - Parameter width: length of the last axis; the default takes it from the shape.
    public func layerNorm(
        weight: Tensor?, bias: Tensor?, epsilon: Double, width: Int? = nil
    ) -> Tensor {
        let width = width ?? size(-1)
        return produced("layerNorm", all: [self, weight, bias]) {
            ct_layer_norm(handle, weight?.handle, bias?.handle, epsilon, width, $0)
        }
    }

    /// Root-mean-square normalisation over the last axis (arXiv:1910.07467).
    ///
    /// Statistics are fp32, and the result is cast back before the weight is multiplied, as the public
    /// Llama checkpoints expect.
    public func rmsNorm(weight: Tensor?, epsilon: Double) -> Tensor {
        produced("rmsNorm", all: [self, weight]) {
            ct_rms_norm(handle, weight?.handle, epsilon, $0)
        }
    }

    /// Group normalisation of `[B, C, …]` (arXiv:1803.08494), biased variance.
    public func groupNorm(
        groups: Int, weight: Tensor?, bias: Tensor?, epsilon: Double
    ) -> Tensor {
        produced("groupNorm", all: [self, weight, bias]) {
            ct_group_norm(handle, groups, weight?.handle, bias?.handle, epsilon, $0)
        }
    }
}

// MARK: - Pictures

extension Tensor {
    /// Convolution of `[B, C, H, W]` with `weight` `[out, C, h, w]`, zeros around.
    public func conv2d(
        _ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0
    ) -> Tensor {
        produced("conv2d", all: [self, weight, bias]) {
            ct_conv2d(handle, weight.handle, bias?.handle, stride, padding, $0)
        }
    }

    /// Every pixel of `[B, C, H, W]` repeated `factor` times both ways.
    public func upsampledNearest(factor: Int = 2) -> Tensor {
        resized(CT_NEAREST, "upsampledNearest", size(-2) * factor, size(-1) * factor)
    }

    /// `[B, C, H, W]` resized bicubically: a = -0.75, half-pixel centres, no antialiasing.
    public func resizedBicubic(height: Int, width: Int) -> Tensor {
        resized(CT_BICUBIC, "resizedBicubic", height, width)
    }

    /// `[B, C, H, W]` resized bilinearly: half-pixel centres, no antialiasing.
    public func resizedBilinear(height: Int, width: Int) -> Tensor {
        resized(CT_BILINEAR, "resizedBilinear", height, width)
    }

    private func resized(
        _ kind: ct_resize_kind, _ name: StaticString, _ height: Int, _ width: Int
    ) -> Tensor {
        var out: OpaquePointer?
        let status = ct_resize(kind, handle, height, width, &out)
        return adopted(out, status, name, "\(shape) to \(height) x \(width)")
    }
}

// MARK: - Attention and loss

extension Tensor {
    /// `softmax(query key^T * scale + mask) value`, without keeping the scores where libtorch can.
    ///
    /// - Parameters:
    ///   - query: `[B, H, T, d]`.
    ///   - key: `[B, K, S, d]`, where K divides H: query head h uses head h div (H/K).
    ///   - value: `[B, K, S, e]`.
    ///   - mask: bool (true attends) or of the query's dtype (added), broadcast to `[B, H, T, S]`.
    ///   - isCausal: query i sees keys 0...i (aligned at the first key); not together with `mask`.
    ///   - scale: `1 / sqrt(d)` when nil.
    /// - Returns: `[B, H, T, e]`.
    public static func attention(
        query: Tensor, key: Tensor, value: Tensor, mask: Tensor? = nil, isCausal: Bool = false,
        scale: Double? = nil
    ) -> Tensor {
        produced("attention", all: [query, key, value, mask]) {
            ct_attention(
                query.handle, key.handle, value.handle, mask?.handle, isCausal, scale != nil,
                scale ?? 0, $0)
        }
    }

    /// `silu(query key^T) value * factor`, weights that need not sum to one.
    ///
    /// Keys are taken in blocks and their scores worked out again for the derivative, so memory does not grow
    /// with their number. Scores are fp32 (fp64 for fp64).
    ///
    /// - Parameters:
    ///   - query: `[B, H, T, d]`, scaled as wanted.
    ///   - key: `[B, H, S, d]`.
    ///   - value: `[B, H, S, e]`, whose dtype the result has.
    /// - Returns: `[B, H, T, e]`.
    public static func siluAttention(
        query: Tensor, key: Tensor, value: Tensor, factor: Double = 1
    ) -> Tensor {
        produced("siluAttention", all: [query, key, value]) {
            ct_silu_attention(query.handle, key.handle, value.handle, factor, $0)
        }
    }

    /// How a loss of many rows becomes one value.
    public enum Reduction: Sendable {
        case mean, sum, none
    }

    /// Negative log-likelihood of the targets under softmax, in fp32.
    ///
    /// - Parameters:
    ///   - logits: `[N, V]`.
    ///   - targets: int64 `[N]`; rows whose target is `ignoredTarget` count neither in the sum nor the mean.
    public static func crossEntropy(
        logits: Tensor, targets: Tensor, reduction: Reduction = .mean, ignoredTarget: Int = -100
    ) -> Tensor {
        let kind =
            switch reduction {
            case .mean: CT_MEAN_OF
            case .sum: CT_SUM_OF
            case .none: CT_NONE
            }
        return produced("crossEntropy", logits, targets) {
            ct_cross_entropy(logits.handle, targets.handle, kind, ignoredTarget, $0)
        }
    }

    /// Rotates pairs (i, i + d/2) of the last axis: `x cos + [-x2, x1] sin` (arXiv:2104.09864).
    ///
    /// `cosines` and `sines` are broadcast to this shape, `[…, T, d]`, with each half the same.
    public func rotated(cosines: Tensor, sines: Tensor) -> Tensor {
        produced("rotated", all: [self, cosines, sines]) {
            ct_rotary(handle, cosines.handle, sines.handle, $0)
        }
    }
}
