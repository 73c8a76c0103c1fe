import CTorch

/// An n-dimensional array on a device, with libtorch's reverse-mode derivatives.
///
/// A class for identity: a view shares its storage, and a handle is given back when the last owner goes.
/// Sizes and indices are `Int`, negative axes count from the end, and a misused tensor (shape, dtype)
/// traps with the operation and the shapes.
public final class Tensor: CustomStringConvertible {
    let handle: OpaquePointer

    /// Takes over a handle that the shim gave.
    init(owning handle: OpaquePointer) { self.handle = handle }

    deinit { ct_release(handle) }

    /// Sizes of all axes; empty for a scalar.
    public var shape: [Int] {
        let rank = ct_rank(handle)
        return Array(unsafeUninitializedCapacity: rank) { buffer, count in
            if rank > 0, let base = buffer.baseAddress { ct_shape(handle, base) }
            count = rank
        }
    }

    /// Number of axes.
    public var rank: Int { ct_rank(handle) }

    /// Number of elements.
    public var count: Int { ct_count(handle) }

    /// Type of the elements.
    public var dtype: DType { DType(code: ct_dtype_of(handle)) }

    /// Where the elements are.
    public var device: Device { Device(index: ct_device_of(handle)) }

    /// Whether the elements lie row by row without gaps.
    public var isContiguous: Bool { ct_is_contiguous(handle) }

    /// Bytes of all elements, whether or not they share memory with another tensor.
    public var byteCount: Int { count * dtype.size }

    /// Shape, dtype, device and, of a small tensor, the values.
    public var description: String {
        let place = device.isCPU ? "" : ", \(device)"
        let head = "Tensor(\(shape), \(dtype)\(place)"
        guard count <= 32, device != .meta else { return head + ")" }
        let values = dtype.isFloatingPoint ? "\(floats())" : "\(ints())"
        return head + ", \(values))"
    }
}

// MARK: - Calling the shim

/// Ends the process when a call of the shim failed, naming the operation and what it was given.
func check(_ status: ct_status, _ operation: StaticString, _ arguments: @autoclosure () -> String) {
    guard status != CT_OK else { return }
    let message = String(cString: ct_last_error())
    if status == CT_OUT_OF_MEMORY {
        fatalError("\(operation): out of memory: \(arguments()): \(message)")
    }
    fatalError("\(operation): \(arguments()): \(message)")
}

/// The new tensor that `body` writes; the arguments stay alive until it returns.
@inline(__always)
func produced(
    _ operation: StaticString, _ a: Tensor,
    _ body: (UnsafeMutablePointer<OpaquePointer?>) -> ct_status
) -> Tensor {
    var out: OpaquePointer?
    let status = withExtendedLifetime(a) { body(&out) }
    return adopted(out, status, operation, "\(a.shape)")
}

/// As above for two tensors.
@inline(__always)
func produced(
    _ operation: StaticString, _ a: Tensor, _ b: Tensor,
    _ body: (UnsafeMutablePointer<OpaquePointer?>) -> ct_status
) -> Tensor {
    var out: OpaquePointer?
    let status = withExtendedLifetime((a, b)) { body(&out) }
    return adopted(out, status, operation, described([a, b]))
}

/// As above for any number of tensors, some of which may be absent.
@inline(__always)
func produced(
    _ operation: StaticString, all tensors: [Tensor?],
    _ body: (UnsafeMutablePointer<OpaquePointer?>) -> ct_status
) -> Tensor {
    var out: OpaquePointer?
    let status = withExtendedLifetime(tensors) { body(&out) }
    return adopted(out, status, operation, described(tensors))
}

/// As above for a call that takes no tensor.
@inline(__always)
func created(
    _ operation: StaticString, _ arguments: @autoclosure () -> String,
    _ body: (UnsafeMutablePointer<OpaquePointer?>) -> ct_status
) -> Tensor {
    var out: OpaquePointer?
    let status = body(&out)
    return adopted(out, status, operation, arguments())
}

/// Two new tensors from one call.
func producedPair(
    _ operation: StaticString, _ a: Tensor,
    _ body: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) ->
        ct_status
) -> (Tensor, Tensor) {
    var first: OpaquePointer?
    var second: OpaquePointer?
    let status = withExtendedLifetime(a) { body(&first, &second) }
    return (
        adopted(first, status, operation, "\(a.shape)"),
        adopted(second, status, operation, "\(a.shape)")
    )
}

@inline(__always)
func adopted(
    _ out: OpaquePointer?, _ status: ct_status, _ operation: StaticString,
    _ arguments: @autoclosure () -> String
) -> Tensor {
    check(status, operation, arguments())
    guard let out else { fatalError("\(operation): \(arguments()): no result") }
    return Tensor(owning: out)
}

/// `[2, 3] x [4, 5]`, with dtypes where they differ.
func described(_ tensors: [Tensor?]) -> String {
    let present = tensors.compactMap { $0 }
    let mixed = Set(present.map(\.dtype)).count > 1 || Set(present.map(\.device)).count > 1
    return present.map { tensor in
        mixed ? "\(tensor.shape) \(tensor.dtype) \(tensor.device)" : "\(tensor.shape)"
    }.joined(separator: " x ")
}
