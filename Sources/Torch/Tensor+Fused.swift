import CTorch

// Several operations in one pass over memory, with derivatives that keep no more than their inputs. On the CPU
// they are vectorised for bf16 and fp32 and worked out in fp32; elsewhere they are composed.

extension Tensor {
    /// The pointwise functions that can be fused with what is around them.
    public enum Nonlinearity: Sendable {
        /// `x sigmoid(x)`.
        case silu
        /// `x sigmoid(1.702 x)`.
        case quickGELU
        /// `x Φ(x)`, the exact Gaussian error linear unit (arXiv:1606.08415).
        case gelu
        /// Its tanh approximation.
        case geluTanh

        var code: ct_activation {
            switch self {
            case .silu: CT_ACTIVATE_SILU
            case .quickGELU: CT_ACTIVATE_QUICK_GELU
            case .gelu: CT_ACTIVATE_GELU
            case .geluTanh: CT_ACTIVATE_GELU_TANH
            }
        }
    }

    /// `function(self + bias)`; the derivative needs this tensor and the bias alone.
    ///
    /// - Parameter bias: `[width]` of the last axis. A linear layer's bias is best added here, since its
    ///   derivative is then summed in the same pass.
    public func activated(_ function: Nonlinearity, bias: Tensor? = nil) -> Tensor {
        produced("activated", all: [self, bias]) {
            ct_activate(function.code, handle, bias?.handle, $0)
        }
    }

    /// `function(gate) * up`, of one shape: the gated linear unit (arXiv:2002.05202).
    public static func gated(_ function: Nonlinearity, gate: Tensor, up: Tensor) -> Tensor {
        produced("gated", gate, up) { ct_gate(function.code, gate.handle, up.handle, $0) }
    }

    /// `function(gate) * up` of `[…, 2F]`, the gates in the first half of the last axis, as one product with
    /// both weights gives them: `[…, F]`.
    public func gatedHalves(_ function: Nonlinearity) -> Tensor {
        produced("gatedHalves", self) { ct_gate_joined(function.code, handle, $0) }
    }

    /// Layer normalisation of `[B, T, D]` without weights, times `1 + scale`, plus `shift`, each `[B, 1, D]`
    /// (adaptive layer norm, arXiv:2212.09748).
    public func modulatedNorm(scale: Tensor, shift: Tensor, epsilon: Double) -> Tensor {
        produced("modulatedNorm", all: [self, scale, shift]) {
            ct_modulated_norm(handle, scale.handle, shift.handle, epsilon, $0)
        }
    }

    /// The sum of ``crossEntropy(logits:targets:reduction:ignoredTarget:)`` over rows whose logits are
    /// `hidden weight^T`, which are in memory for a part of the vocabulary at a time.
    ///
    /// - Parameters:
    ///   - hidden: `[n, D]`.
    ///   - weight: `[V, D]`.
    ///   - targets: int64 `[n]`; rows whose target is `ignoredTarget` do not count.
    /// - Returns: a scalar, fp32 (fp64 for fp64).
    public static func linearCrossEntropy(
        hidden: Tensor, weight: Tensor, targets: Tensor, ignoredTarget: Int = -100
    ) -> Tensor {
        produced("linearCrossEntropy", all: [hidden, weight, targets]) {
            ct_linear_cross_entropy(
                hidden.handle, weight.handle, targets.handle, ignoredTarget, $0)
        }
    }
}
