import CTorch

// MARK: - Sums, means, extremes

extension Tensor {
    private func reduced(
        _ kind: ct_reduction_kind, _ name: StaticString, _ axes: [Int], _ keepingAxes: Bool
    ) -> Tensor {
        produced(name, self) { ct_reduce(kind, handle, axes, axes.count, keepingAxes, $0) }
    }

    /// Sum of all elements, a scalar.
    public func sum() -> Tensor { reduced(CT_SUM, "sum", [], false) }

    /// Sum along one axis.
    public func sum(axis: Int, keepingAxis: Bool = false) -> Tensor {
        reduced(CT_SUM, "sum", [axis], keepingAxis)
    }

    /// Sum along several axes; no axis leaves the tensor as it is.
    public func sum(axes: [Int], keepingAxes: Bool = false) -> Tensor {
        axes.isEmpty ? self : reduced(CT_SUM, "sum", axes, keepingAxes)
    }

    /// Mean of all elements, a scalar.
    public func mean() -> Tensor { reduced(CT_MEAN, "mean", [], false) }

    /// Mean along one axis.
    public func mean(axis: Int, keepingAxis: Bool = false) -> Tensor {
        reduced(CT_MEAN, "mean", [axis], keepingAxis)
    }

    /// Mean along several axes; no axis leaves the tensor as it is.
    public func mean(axes: [Int], keepingAxes: Bool = false) -> Tensor {
        axes.isEmpty ? self : reduced(CT_MEAN, "mean", axes, keepingAxes)
    }

    /// Greatest element, a scalar.
    public func max() -> Tensor { reduced(CT_LARGEST, "max", [], false) }

    /// Least element, a scalar.
    public func min() -> Tensor { reduced(CT_SMALLEST, "min", [], false) }

    /// Variance along one axis, divided by `n - 1` when `unbiased`, else by `n`.
    public func variance(axis: Int, unbiased: Bool = true, keepingAxis: Bool = false) -> Tensor {
        produced("variance", self) { ct_variance(handle, axis, unbiased, keepingAxis, $0) }
    }

    /// Greatest elements along an axis and where they are (int64).
    public func max(axis: Int, keepingAxis: Bool = false) -> (values: Tensor, indices: Tensor) {
        producedPair("max", self) { ct_max(handle, axis, keepingAxis, $0, $1) }
    }

    /// Least elements along an axis and where they are (int64).
    public func min(axis: Int, keepingAxis: Bool = false) -> (values: Tensor, indices: Tensor) {
        producedPair("min", self) { ct_min(handle, axis, keepingAxis, $0, $1) }
    }

    /// Where the greatest element along an axis is, int64; the first of several.
    public func argmax(axis: Int, keepingAxis: Bool = false) -> Tensor {
        produced("argmax", self) { ct_argmax(handle, axis, keepingAxis, $0) }
    }

    /// Euclidean norm of all elements, a scalar.
    public func norm() -> Tensor { produced("norm", self) { ct_norm(handle, $0) } }

    /// Running sums along an axis, the element itself included.
    public func cumulativeSum(axis: Int) -> Tensor {
        produced("cumulativeSum", self) { ct_cumulative_sum(handle, axis, $0) }
    }

    /// The `count` greatest elements along an axis in falling order, and where they are (int64).
    public func topK(_ count: Int, axis: Int = -1) -> (values: Tensor, indices: Tensor) {
        producedPair("topK", self) { ct_top_k(handle, count, axis, $0, $1) }
    }

    /// Elements in order along an axis (equal ones keep theirs), and where they were (int64).
    public func sorted(
        axis: Int = -1, descending: Bool = false
    ) -> (values: Tensor, indices: Tensor) {
        producedPair("sorted", self) { ct_sort(handle, axis, descending, $0, $1) }
    }
}

// MARK: - Masks

extension Tensor {
    /// This with `value` where `mask` (bool, broadcast) is true.
    public func filled(where mask: Tensor, with value: Double) -> Tensor {
        produced("filled", self, mask) { ct_masked_fill(handle, mask.handle, value, $0) }
    }

    /// `a` where `condition` (bool) is true, else `b`; shapes are broadcast.
    public static func select(where condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
        produced("select", all: [condition, a, b]) {
            ct_where(condition.handle, a.handle, b.handle, $0)
        }
    }

    /// Positions of the elements that are not zero: int64, `[n, rank]`.
    public func nonZero() -> Tensor { produced("nonZero", self) { ct_nonzero(handle, $0) } }

    /// Whether some element is true (not zero).
    public func any() -> Bool {
        var answer = false
        check(ct_any(handle, &answer), "any", "\(shape)")
        return answer
    }

    /// Whether all elements are true (not zero).
    public func all() -> Bool {
        var answer = false
        check(ct_all(handle, &answer), "all", "\(shape)")
        return answer
    }

    /// Whether no element is infinite or NaN.
    public func allFinite() -> Bool {
        var answer = false
        check(ct_all_finite(handle, &answer), "allFinite", "\(shape)")
        return answer
    }
}
