import CTorch

/// What may stand between the brackets of `tensor[…]`: an `Int`, a range of `Int`, or a ``TensorIndex``.
public protocol TensorIndexing {
    /// The index in its general form.
    var tensorIndex: TensorIndex { get }
}

/// One entry of a subscript: it takes (or adds) one axis, an ellipsis as many as are left.
public struct TensorIndex: TensorIndexing {
    let value: ct_index

    init(_ kind: ct_index_kind, _ start: Int = 0, _ end: Int = 0, openEnd: Bool = false) {
        value = ct_index(kind: kind, start: start, end: end, open_end: openEnd)
    }

    /// Itself.
    public var tensorIndex: TensorIndex { self }
}

extension TensorIndexing where Self == TensorIndex {
    /// The whole axis.
    public static var all: TensorIndex { TensorIndex(CT_ALL) }
    /// All axes that the other entries leave.
    public static var ellipsis: TensorIndex { TensorIndex(CT_ELLIPSIS) }
    /// A new axis of length 1.
    public static var newAxis: TensorIndex { TensorIndex(CT_NEW_AXIS) }
}

extension Int: TensorIndexing {
    /// One position; the axis goes. Negative counts from the end.
    public var tensorIndex: TensorIndex { TensorIndex(CT_AT, self) }
}

extension Range: TensorIndexing where Bound == Int {
    /// Positions `lowerBound..<upperBound`.
    public var tensorIndex: TensorIndex { TensorIndex(CT_RANGE, lowerBound, upperBound) }
}

extension ClosedRange: TensorIndexing where Bound == Int {
    /// Positions `lowerBound...upperBound`.
    public var tensorIndex: TensorIndex { TensorIndex(CT_RANGE, lowerBound, upperBound + 1) }
}

extension PartialRangeFrom: TensorIndexing where Bound == Int {
    /// From `lowerBound` to the end; negative counts from the end.
    public var tensorIndex: TensorIndex { TensorIndex(CT_RANGE, lowerBound, 0, openEnd: true) }
}

extension PartialRangeUpTo: TensorIndexing where Bound == Int {
    /// Up to, not including, `upperBound`; negative counts from the end.
    public var tensorIndex: TensorIndex { TensorIndex(CT_RANGE, 0, upperBound) }
}

extension PartialRangeThrough: TensorIndexing where Bound == Int {
    /// Up to and including `upperBound`; negative counts from the end.
    public var tensorIndex: TensorIndex {
        upperBound == -1
            ? TensorIndex(CT_RANGE, 0, 0, openEnd: true) : TensorIndex(CT_RANGE, 0, upperBound + 1)
    }
}

extension Tensor {
    /// The part at the given positions, one entry per axis from the first; a view.
    ///
    /// `image[.all, 0..<336, 336...]`, `hidden[.ellipsis, -1, .all]`. A position outside its axis traps.
    public subscript<each Index: TensorIndexing>(_ indices: repeat each Index) -> Tensor {
        var list: [ct_index] = []
        for index in repeat each indices { list.append(index.tensorIndex.value) }
        return produced("subscript", self) { ct_view(handle, list, list.count, $0) }
    }
}
