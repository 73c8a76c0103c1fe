import CTorch

// MARK: - One tensor

extension Tensor {
    private func unary(_ kind: ct_unary_kind, _ name: StaticString) -> Tensor {
        produced(name, self) { ct_unary(kind, handle, $0) }
    }

    /// e to the power of each element.
    public func exp() -> Tensor { unary(CT_EXP, "exp") }

    /// Natural logarithm.
    public func log() -> Tensor { unary(CT_LOG, "log") }

    /// Square root.
    public func sqrt() -> Tensor { unary(CT_SQRT, "sqrt") }

    /// One over the square root.
    public func rsqrt() -> Tensor { unary(CT_RSQRT, "rsqrt") }

    /// Hyperbolic tangent.
    public func tanh() -> Tensor { unary(CT_TANH, "tanh") }

    /// `1 / (1 + exp(-x))`.
    public func sigmoid() -> Tensor { unary(CT_SIGMOID, "sigmoid") }

    /// Sine of an angle in radians.
    public func sin() -> Tensor { unary(CT_SIN, "sin") }

    /// Cosine of an angle in radians.
    public func cos() -> Tensor { unary(CT_COS, "cos") }

    /// Absolute value.
    public func abs() -> Tensor { unary(CT_ABS, "abs") }

    /// `x * x`.
    public func square() -> Tensor { unary(CT_SQUARE, "square") }

    /// `max(x, 0)`.
    public func relu() -> Tensor { unary(CT_RELU, "relu") }

    /// `x * sigmoid(x)`.
    public func silu() -> Tensor { unary(CT_SILU, "silu") }

    /// `x * sigmoid(1.702 x)`.
    public func quickGELU() -> Tensor { unary(CT_QUICK_GELU, "quickGELU") }

    /// Gauss error function.
    public func erf() -> Tensor { unary(CT_ERF, "erf") }

    /// `log(1 + exp(x))`.
    public func softplus() -> Tensor { unary(CT_SOFTPLUS, "softplus") }

    /// `log(sigmoid(x))`.
    public func logSigmoid() -> Tensor { unary(CT_LOG_SIGMOID, "logSigmoid") }

    /// Nearest whole number, halves to the even one.
    public func round() -> Tensor { unary(CT_ROUND, "round") }

    /// Greatest whole number not above.
    public func floor() -> Tensor { unary(CT_FLOOR, "floor") }

    /// `1 / x`.
    public func reciprocal() -> Tensor { unary(CT_RECIPROCAL, "reciprocal") }

    /// True where the element is false or zero.
    public func logicalNot() -> Tensor { unary(CT_NOT, "logicalNot") }

    /// True where the element is neither infinite nor NaN.
    public func isFinite() -> Tensor { unary(CT_IS_FINITE, "isFinite") }

    /// Gaussian error linear unit, exact or in the tanh approximation (arXiv:1606.08415).
    public func gelu(tanh: Bool = false) -> Tensor {
        unary(tanh ? CT_GELU_TANH : CT_GELU, "gelu")
    }

    /// Each element to the power `exponent`.
    public func pow(_ exponent: Double) -> Tensor {
        produced("pow", self) { ct_binary_number(CT_POWER, handle, exponent, $0) }
    }

    /// Each element within the bounds; nil leaves a side open.
    public func clamped(min: Double? = nil, max: Double? = nil) -> Tensor {
        guard min != nil || max != nil else { return self }
        return produced("clamped", self) {
            ct_clamp(handle, min != nil, min ?? 0, max != nil, max ?? 0, $0)
        }
    }

    /// The negative of each element.
    public static prefix func - (a: Tensor) -> Tensor { a.unary(CT_NEGATE, "-") }
}

// MARK: - Two tensors, or a tensor and a number

extension Tensor {
    private static func binary(
        _ kind: ct_binary_kind, _ name: StaticString, _ a: Tensor, _ b: Tensor
    ) -> Tensor {
        produced(name, a, b) { ct_binary(kind, a.handle, b.handle, $0) }
    }

    private static func binary(
        _ kind: ct_binary_kind, _ name: StaticString, _ a: Tensor, _ b: Double
    ) -> Tensor {
        produced(name, a) { ct_binary_number(kind, a.handle, b, $0) }
    }

    private static func binary(
        _ kind: ct_binary_kind, _ name: StaticString, _ a: Double, _ b: Tensor
    ) -> Tensor {
        produced(name, b) { ct_number_binary(kind, a, b.handle, $0) }
    }

    /// Sum of elements; shapes are broadcast.
    public static func + (a: Tensor, b: Tensor) -> Tensor { binary(CT_ADD, "+", a, b) }
    /// Sum of each element and a number.
    public static func + (a: Tensor, b: Double) -> Tensor { binary(CT_ADD, "+", a, b) }
    /// Sum of a number and each element.
    public static func + (a: Double, b: Tensor) -> Tensor { binary(CT_ADD, "+", a, b) }

    /// Difference of elements; shapes are broadcast.
    public static func - (a: Tensor, b: Tensor) -> Tensor { binary(CT_SUBTRACT, "-", a, b) }
    /// Difference of each element and a number.
    public static func - (a: Tensor, b: Double) -> Tensor { binary(CT_SUBTRACT, "-", a, b) }
    /// Difference of a number and each element.
    public static func - (a: Double, b: Tensor) -> Tensor { binary(CT_SUBTRACT, "-", a, b) }

    /// Product of elements; shapes are broadcast.
    public static func * (a: Tensor, b: Tensor) -> Tensor { binary(CT_MULTIPLY, "*", a, b) }
    /// Product of each element and a number.
    public static func * (a: Tensor, b: Double) -> Tensor { binary(CT_MULTIPLY, "*", a, b) }
    /// Product of a number and each element.
    public static func * (a: Double, b: Tensor) -> Tensor { binary(CT_MULTIPLY, "*", a, b) }

    /// Quotient of elements; shapes are broadcast.
    public static func / (a: Tensor, b: Tensor) -> Tensor { binary(CT_DIVIDE, "/", a, b) }
    /// Quotient of each element and a number.
    public static func / (a: Tensor, b: Double) -> Tensor { binary(CT_DIVIDE, "/", a, b) }
    /// Quotient of a number and each element.
    public static func / (a: Double, b: Tensor) -> Tensor { binary(CT_DIVIDE, "/", a, b) }

    /// True where the left element is equal; shapes are broadcast.
    public static func .== (a: Tensor, b: Tensor) -> Tensor { binary(CT_EQUAL, ".==", a, b) }
    /// True where the element is equal (compared with the number).
    public static func .== (a: Tensor, b: Double) -> Tensor { binary(CT_EQUAL, ".==", a, b) }

    /// True where the left element is different; shapes are broadcast.
    public static func .!= (a: Tensor, b: Tensor) -> Tensor { binary(CT_NOT_EQUAL, ".!=", a, b) }
    /// True where the element is different (compared with the number).
    public static func .!= (a: Tensor, b: Double) -> Tensor { binary(CT_NOT_EQUAL, ".!=", a, b) }

    /// True where the left element is less; shapes are broadcast.
    public static func .< (a: Tensor, b: Tensor) -> Tensor { binary(CT_LESS, ".<", a, b) }
    /// True where the element is less (compared with the number).
    public static func .< (a: Tensor, b: Double) -> Tensor { binary(CT_LESS, ".<", a, b) }

    /// True where the left element is less or equal; shapes are broadcast.
    public static func .<= (a: Tensor, b: Tensor) -> Tensor { binary(CT_LESS_EQUAL, ".<=", a, b) }
    /// True where the element is less or equal (compared with the number).
    public static func .<= (a: Tensor, b: Double) -> Tensor { binary(CT_LESS_EQUAL, ".<=", a, b) }

    /// True where the left element is greater; shapes are broadcast.
    public static func .> (a: Tensor, b: Tensor) -> Tensor { binary(CT_GREATER, ".>", a, b) }
    /// True where the element is greater (compared with the number).
    public static func .> (a: Tensor, b: Double) -> Tensor { binary(CT_GREATER, ".>", a, b) }

    /// True where the left element is greater or equal; shapes are broadcast.
    public static func .>= (a: Tensor, b: Tensor) -> Tensor {
        binary(CT_GREATER_EQUAL, ".>=", a, b)
    }
    /// True where the element is greater or equal (compared with the number).
    public static func .>= (a: Tensor, b: Double) -> Tensor {
        binary(CT_GREATER_EQUAL, ".>=", a, b)
    }

    /// The greater of two elements.
    public func maximum(_ other: Tensor) -> Tensor {
        Tensor.binary(CT_MAXIMUM, "maximum", self, other)
    }

    /// The lesser of two elements.
    public func minimum(_ other: Tensor) -> Tensor {
        Tensor.binary(CT_MINIMUM, "minimum", self, other)
    }

    /// Each element to the power of the other's.
    public func pow(_ exponent: Tensor) -> Tensor { Tensor.binary(CT_POWER, "pow", self, exponent) }

    /// What is left after division by `divisor`, with the divisor's sign.
    public func remainder(_ divisor: Double) -> Tensor {
        Tensor.binary(CT_REMAINDER, "remainder", self, divisor)
    }

    /// True where both are.
    public func logicalAnd(_ other: Tensor) -> Tensor {
        Tensor.binary(CT_AND, "logicalAnd", self, other)
    }

    /// True where one of both is.
    public func logicalOr(_ other: Tensor) -> Tensor {
        Tensor.binary(CT_OR, "logicalOr", self, other)
    }
}

infix operator .== : ComparisonPrecedence
infix operator .!= : ComparisonPrecedence
