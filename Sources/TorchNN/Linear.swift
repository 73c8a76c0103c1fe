import Torch

/// `x W^T + b` on the last axis, and a low-rank adapter's output where the store gives it one.
public struct Linear {
    /// `[out, in]`.
    public let weight: Tensor
    /// `[out]`.
    public let bias: Tensor?
    let adapter: LowRankAdapter?

    /// Registers `weight` and, unless turned off, `bias`; the bias starts even in ±1/√in when the weight
    /// starts by fan in, and at zero otherwise.
    public init(
        _ inWidth: Int, _ outWidth: Int, bias: Bool = true, initial: Initial = .fanIn,
        in scope: ParameterScope
    ) throws {
        weight = try scope.parameter("weight", shape: [outWidth, inWidth], initial: initial)
        var start = Initial.zeros
        if case .fanIn = initial {
            start = .uniform(bound: 1 / Double(max(inWidth, 1)).squareRoot())
        }
        self.bias = bias ? try scope.parameter("bias", shape: [outWidth], initial: start) : nil
        adapter = try scope.store.adapter(for: scope.path, from: inWidth, to: outWidth)
    }

    /// A layer over tensors that are there already, such as a tied weight.
    public init(weight: Tensor, bias: Tensor? = nil) {
        self.weight = weight
        self.bias = bias
        adapter = nil
    }

    /// - Parameter input: `[…, in]`.
    /// - Returns: `[…, out]`.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        adapted(input.linear(weight, bias: bias), of: input)
    }

    /// `function(x W^T + b)`, the bias and the function in one pass.
    public func activated(_ function: Tensor.Nonlinearity, _ input: Tensor) -> Tensor {
        guard adapter == nil else { return self(input).activated(function) }
        return input.linear(weight).activated(function, bias: bias)
    }

    /// What the layer's own product gives for `input`, and the adapter's output.
    func adapted(_ output: Tensor, of input: Tensor) -> Tensor {
        guard let adapter else { return output }
        return output + adapter(input)
    }
}

/// A table of rows, looked up by id.
public struct Embedding {
    /// `[count, width]`.
    public let weight: Tensor

    /// Registers `weight`.
    public init(
        _ count: Int, _ width: Int, initial: Initial = .normal(deviation: 1),
        in scope: ParameterScope
    ) throws {
        weight = try scope.parameter("weight", shape: [count, width], initial: initial)
    }

    /// - Parameter ids: int64, any shape.
    /// - Returns: `ids.shape + [width]`.
    public func callAsFunction(_ ids: Tensor) -> Tensor { weight.rows(at: ids) }
}

/// A two-dimensional convolution with zeros around.
public struct Conv2d {
    /// `[out, in, kernel, kernel]`.
    public let weight: Tensor
    /// `[out]`.
    public let bias: Tensor?
    let stride: Int
    let padding: Int

    /// Registers `weight` and, unless turned off, `bias`.
    ///
    /// - Parameters:
    ///   - kernel: side of the square window, in pixels.
    ///   - stride: step of the window, in pixels.
    ///   - padding: zeros on each side, in pixels.
    public init(
        _ inChannels: Int, _ outChannels: Int, kernel: Int, stride: Int = 1, padding: Int = 0,
        bias: Bool = true, initial: Initial = .fanIn, in scope: ParameterScope
    ) throws {
        weight = try scope.parameter(
            "weight", shape: [outChannels, inChannels, kernel, kernel], initial: initial)
        var start = Initial.zeros
        if case .fanIn = initial {
            start = .uniform(bound: 1 / Double(max(inChannels * kernel * kernel, 1)).squareRoot())
        }
        self.bias = bias ? try scope.parameter("bias", shape: [outChannels], initial: start) : nil
        self.stride = stride
        self.padding = padding
    }

    /// - Parameter input: `[B, in, H, W]`.
    /// - Returns: `[B, out, H', W']`.
    public func callAsFunction(_ input: Tensor) -> Tensor {
        input.conv2d(weight, bias: bias, stride: stride, padding: padding)
    }
}
