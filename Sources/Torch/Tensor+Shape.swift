import CTorch

// MARK: - Conversions and changes in place

extension Tensor {
    /// The same values as another type; itself when it has that type already.
    public func to(_ dtype: DType) -> Tensor {
        self.dtype == dtype ? self : produced("to", self) { ct_to_dtype(handle, dtype.code, $0) }
    }

    /// The same bits, in the same memory, as elements of another type of the same size.
    public func bitCast(to dtype: DType) -> Tensor {
        produced("bitCast", self) { ct_bit_cast(handle, dtype.code, $0) }
    }

    /// The same values on another device; itself when it is there already.
    public func to(_ device: Device) -> Tensor {
        self.device == device
            ? self : produced("to", self) { ct_to_device(handle, device.index, $0) }
    }

    /// The same values row by row without gaps; itself when they lie so already.
    public func contiguous() -> Tensor {
        isContiguous ? self : produced("contiguous", self) { ct_contiguous(handle, $0) }
    }

    /// The same values in memory of their own.
    public func cloned() -> Tensor { produced("cloned", self) { ct_clone(handle, $0) } }

    /// The values of this moment in main memory of their own, without derivative.
    public func snapshot() -> Tensor {
        let values = detached()
        return device.isCPU ? values.cloned() : values.to(.cpu)
    }

    /// Overwrites this tensor's values, without derivative; shapes must be equal, types may differ.
    public func copy(from source: Tensor) {
        let status = withExtendedLifetime(source) { ct_copy(handle, source.handle) }
        check(status, "copy", described([self, source]))
    }

    /// Overwrites every value, without derivative.
    public func fill(_ value: Double) { check(ct_fill(handle, value), "fill", "\(shape)") }

    /// Adds `scale * source` in place, without derivative.
    public func add(_ source: Tensor, scaled scale: Double = 1) {
        let status = withExtendedLifetime(source) { ct_add_in_place(handle, source.handle, scale) }
        check(status, "add", described([self, source]))
    }

    /// Multiplies by `factor` in place, without derivative.
    public func multiply(by factor: Double) {
        check(ct_multiply_in_place(handle, factor), "multiply", "\(shape)")
    }
}

// MARK: - Shapes

extension Tensor {
    /// The same elements in another shape; one size may be -1 and is worked out.
    public func reshaped(_ shape: [Int]) -> Tensor {
        var out: OpaquePointer?
        let status = ct_reshape(handle, shape, shape.count, &out)
        return adopted(out, status, "reshaped", "\(self.shape) to \(shape)")
    }

    /// Two axes swapped; a view.
    public func transposed(_ a: Int, _ b: Int) -> Tensor {
        produced("transposed", self) { ct_transpose(handle, a, b, $0) }
    }

    /// Axes in another order: axis `i` of the result is axis `axes[i]` of this; a view.
    public func permuted(_ axes: [Int]) -> Tensor {
        var out: OpaquePointer?
        let status = ct_permute(handle, axes, axes.count, &out)
        return adopted(out, status, "permuted", "\(shape) by \(axes)")
    }

    /// Axes of length 1 repeated without a copy; -1 keeps a size, new axes come in front.
    public func expanded(to shape: [Int]) -> Tensor {
        var out: OpaquePointer?
        let status = ct_expand(handle, shape, shape.count, &out)
        return adopted(out, status, "expanded", "\(self.shape) to \(shape)")
    }

    /// A new axis of length 1 at `axis`.
    public func unsqueezed(_ axis: Int) -> Tensor {
        produced("unsqueezed", self) { ct_unsqueeze(handle, axis, $0) }
    }

    /// Without `axis`, whose length must be 1.
    public func squeezed(_ axis: Int) -> Tensor {
        produced("squeezed", self) { ct_squeeze(handle, axis, $0) }
    }

    /// Axes `from` to `to` (both included) joined into one.
    public func flattened(from: Int = 0, to: Int = -1) -> Tensor {
        produced("flattened", self) { ct_flatten(handle, from, to, $0) }
    }

    /// Tensors one after the other along an axis they have.
    public static func concatenated(_ tensors: [Tensor], axis: Int) -> Tensor {
        let handles = tensors.map { Optional($0.handle) }
        return produced("concatenated", all: tensors) {
            ct_concatenate(handles, handles.count, axis, $0)
        }
    }

    /// Moves the memory of tensors of one width into one, in order, so that ``joined(_:)`` needs no copy. Values,
    /// derivatives and whoever holds the tensors see no difference.
    public static func layTogether(_ tensors: [Tensor]) {
        let handles = tensors.map { Optional($0.handle) }
        let status = withExtendedLifetime(tensors) { ct_lay_together(handles, handles.count) }
        check(status, "layTogether", described(tensors))
    }

    /// Whether ``layTogether(_:)`` put the tensors' memory so.
    public static func lieTogether(_ tensors: [Tensor]) -> Bool {
        let handles = tensors.map { Optional($0.handle) }
        return withExtendedLifetime(tensors) { ct_lie_together(handles, handles.count) }
    }

    /// Tensors one after the other along the first axis; without a copy where ``layTogether(_:)`` put them so.
    public static func joined(_ tensors: [Tensor]) -> Tensor {
        let handles = tensors.map { Optional($0.handle) }
        return produced("joined", all: tensors) { ct_joined(handles, handles.count, $0) }
    }

    /// Tensors of one shape one after the other along a new axis.
    public static func stacked(_ tensors: [Tensor], axis: Int) -> Tensor {
        let handles = tensors.map { Optional($0.handle) }
        return produced("stacked", all: tensors) { ct_stack(handles, handles.count, axis, $0) }
    }

    /// Consecutive parts of the given lengths along an axis, which they must cover; views.
    public func split(sizes: [Int], axis: Int) -> [Tensor] {
        var outs = [OpaquePointer?](repeating: nil, count: sizes.count)
        check(
            ct_split(handle, sizes, sizes.count, axis, &outs), "split",
            "\(shape) into \(sizes) along axis \(axis)")
        return outs.compactMap { $0.map(Tensor.init(owning:)) }
    }

    /// `count` equal parts along an axis, whose length `count` must divide; views.
    public func chunked(_ count: Int, axis: Int) -> [Tensor] {
        let length = size(axis)
        guard count > 0, length % count == 0 else {
            fatalError("chunked: \(shape) into \(count) equal parts along axis \(axis)")
        }
        return split(sizes: Array(repeating: length / count, count: count), axis: axis)
    }

    /// `length` steps along an axis from `start`; a view.
    public func narrowed(axis: Int, start: Int, length: Int) -> Tensor {
        var out: OpaquePointer?
        let status = ct_narrow(handle, axis, start, length, &out)
        return adopted(
            out, status, "narrowed", "\(shape) along axis \(axis) from \(start), length \(length)")
    }

    /// Length of one axis.
    public func size(_ axis: Int) -> Int {
        let shape = shape
        let index = axis < 0 ? axis + shape.count : axis
        guard shape.indices.contains(index) else { fatalError("size: axis \(axis) of \(shape)") }
        return shape[index]
    }

    /// Every element along `axis` repeated `times` in a row.
    public func repeated(_ times: Int, axis: Int) -> Tensor {
        produced("repeated", self) { ct_repeat(handle, times, axis, $0) }
    }

    /// Element `i` along `axis` repeated `counts[i]` times in a row; `counts` is int64, `[n]`.
    public func repeated(by counts: Tensor, axis: Int) -> Tensor {
        produced("repeated", self, counts) { ct_repeat_by(handle, counts.handle, axis, $0) }
    }

    /// Grown at the ends of its axes: `amounts` are before and after, last axis first.
    public func padded(_ amounts: [Int], value: Double = 0) -> Tensor {
        var out: OpaquePointer?
        let status = ct_pad(handle, amounts, amounts.count, value, &out)
        return adopted(out, status, "padded", "\(shape) by \(amounts)")
    }

    /// Elements along `axis` in reverse.
    public func flipped(axis: Int) -> Tensor {
        produced("flipped", self) { ct_flip(handle, axis, $0) }
    }

    /// Elements moved by `shift` along `axis`, those past the end coming in again at the start.
    public func rolled(_ shift: Int, axis: Int) -> Tensor {
        produced("rolled", self) { ct_roll(handle, shift, axis, $0) }
    }

    /// The lower triangle of the last two axes, the rest zero; `diagonal` 0 keeps the main one.
    public func lowerTriangle(diagonal: Int = 0) -> Tensor {
        produced("lowerTriangle", self) { ct_triangle(handle, false, diagonal, $0) }
    }

    /// The upper triangle of the last two axes, the rest zero; `diagonal` 0 keeps the main one.
    public func upperTriangle(diagonal: Int = 0) -> Tensor {
        produced("upperTriangle", self) { ct_triangle(handle, true, diagonal, $0) }
    }
}

// MARK: - Choosing by index

extension Tensor {
    /// The elements at `indices` (int64, `[n]`) along `axis`.
    public func selecting(_ indices: Tensor, axis: Int) -> Tensor {
        produced("selecting", self, indices) { ct_index_select(handle, indices.handle, axis, $0) }
    }

    /// One element along `axis` for each index; `indices` (int64) has this tensor's rank and the
    /// result's shape.
    public func gathered(_ indices: Tensor, axis: Int) -> Tensor {
        produced("gathered", self, indices) { ct_gather(handle, indices.handle, axis, $0) }
    }

    /// This plus the slices of `source` added at `indices` (int64, `[n]`, repeats allowed) along `axis`.
    public func indexAdding(_ indices: Tensor, axis: Int, _ source: Tensor) -> Tensor {
        produced("indexAdding", all: [self, indices, source]) {
            ct_index_add(handle, indices.handle, axis, source.handle, $0)
        }
    }

    /// This with its rows at `indices` (int64, `[n]`, no repeats) replaced by those of `source`.
    public func replacingRows(_ indices: Tensor, with source: Tensor) -> Tensor {
        produced("replacingRows", all: [self, indices, source]) {
            ct_index_copy(handle, indices.handle, 0, source.handle, $0)
        }
    }

    /// Rows of this table `[count, D]` at `ids` (int64, any shape): `ids.shape + [D]`.
    public func rows(at ids: Tensor) -> Tensor {
        produced("rows", self, ids) { ct_embedding(handle, ids.handle, $0) }
    }
}
