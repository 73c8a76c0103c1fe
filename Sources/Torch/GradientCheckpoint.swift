import CTorch

/// The tensors that `body` makes of `inputs`, keeping none of its intermediate values for the derivative.
///
/// The backward pass runs `body` a second time instead (arXiv:1604.06174): memory is traded for one more forward
/// pass, and the gradients are those of the plain call, of the parameters that `body` uses too. So `body` must give
/// the same results each time: what it reads besides its arguments, random state included, must be as it was. It may
/// be called on another thread of the backward pass, while the thread that asked for it waits.
///
/// Without gradients this is a plain call.
///
/// - Parameter results: how many tensors `body` gives.
public func checkpointed(
    _ inputs: [Tensor], results: Int = 1, _ body: @escaping ([Tensor]) -> [Tensor]
) -> [Tensor] {
    guard gradientsEnabled else { return body(inputs) }
    var outs = [OpaquePointer?](repeating: nil, count: results)
    let handles = inputs.map { Optional($0.handle) }
    let status = withExtendedLifetime(inputs) {
        ct_checkpoint(
            handles, handles.count, runSegment, Unmanaged.passRetained(Segment(body)).toOpaque(),
            { context in
                if let context { Unmanaged<Segment>.fromOpaque(context).release() }
            }, &outs, results)
    }
    check(status, "checkpointed", described(inputs))
    return outs.compactMap { $0.map(Tensor.init(owning:)) }
}

/// ``checkpointed(_:results:_:)`` of one tensor where `isOn`, a plain call elsewhere.
public func checkpointed(
    _ input: Tensor, when isOn: Bool, _ body: @escaping (Tensor) -> Tensor
) -> Tensor {
    isOn ? checkpointed([input]) { [body($0[0])] }[0] : body(input)
}

/// A closure that C++ holds.
private final class Segment {
    let body: ([Tensor]) -> [Tensor]

    init(_ body: @escaping ([Tensor]) -> [Tensor]) { self.body = body }
}

private func runSegment(
    _ context: UnsafeMutableRawPointer?, _ inputs: UnsafePointer<OpaquePointer?>?, _ count: Int,
    _ outs: UnsafeMutablePointer<OpaquePointer?>?, _ outCount: Int
) {
    guard let context, let outs else { fatalError("checkpointed: called without its segment") }
    let segment = Unmanaged<Segment>.fromOpaque(context).takeUnretainedValue()
    let tensors = UnsafeBufferPointer(start: inputs, count: count).compactMap { handle in
        handle.map(Tensor.init(owning:))
    }
    let made = segment.body(tensors)
    guard made.count == outCount else {
        fatalError("checkpointed: the body gave \(made.count) tensors, \(outCount) were announced")
    }
    for (index, tensor) in made.enumerated() { outs[index] = ct_retain(tensor.handle) }
}
