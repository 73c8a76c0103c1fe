import Torch

/// Layer normalisation over the last axis (arXiv:1607.06450).
public struct LayerNorm {
    /// `[width]`, nil without learnt scale and shift.
    public let weight: Tensor?
    /// `[width]`, nil without learnt scale and shift.
    public let bias: Tensor?
    let width: Int
    let epsilon: Double

    /// Registers `weight` and `bias` unless `affine` is false.
    public init(
        _ width: Int, epsilon: Double, affine: Bool = true, in scope: ParameterScope
    ) throws {
        weight = affine ? try scope.parameter("weight", shape: [width], initial: .ones) : nil
        bias = affine ? try scope.parameter("bias", shape: [width], initial: .zeros) : nil
        self.width = width
        self.epsilon = epsilon
    }

    /// - Parameter input: `[…, width]`; the result has its shape and type.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        input.layerNorm(weight: weight, bias: bias, epsilon: epsilon, width: width)
    }
}

/// Root-mean-square normalisation over the last axis (arXiv:1910.07467), statistics in fp32.
public struct RMSNorm {
    /// `[width]`.
    public let weight: Tensor
    let epsilon: Double

    /// Registers `weight`.
    public init(_ width: Int, epsilon: Double, in scope: ParameterScope) throws {
        weight = try scope.parameter("weight", shape: [width], initial: .ones)
        self.epsilon = epsilon
    }

    /// - Parameter input: `[…, width]`; the result has its shape and type.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        input.rmsNorm(weight: weight, epsilon: epsilon)
    }
}

/// Group normalisation of channels (arXiv:1803.08494).
public struct GroupNorm {
    /// `[channels]`.
    public let weight: Tensor
    /// `[channels]`.
    public let bias: Tensor
    let groups: Int
    let epsilon: Double

    /// Registers `weight` and `bias`; `groups` divides `channels`.
    public init(_ groups: Int, _ channels: Int, epsilon: Double, in scope: ParameterScope) throws {
        weight = try scope.parameter("weight", shape: [channels], initial: .ones)
        bias = try scope.parameter("bias", shape: [channels], initial: .zeros)
        self.groups = groups
        self.epsilon = epsilon
    }

    /// - Parameter input: `[B, channels, …]`; the result has its shape and type.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        input.groupNorm(groups: groups, weight: weight, bias: bias, epsilon: epsilon)
    }
}
