import CTorch

/// Runs `body` without recording derivatives on this thread.
public func withoutGradients<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    try withGradients(enabled: false, body)
}

/// Runs `body` recording derivatives on this thread, also inside ``withoutGradients(_:)``.
public func withGradients<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    try withGradients(enabled: true, body)
}

/// Whether derivatives are recorded on this thread.
public var gradientsEnabled: Bool { ct_gradients_enabled() }

private func withGradients<Result, Failure: Error>(
    enabled: Bool, _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    let before = ct_gradients_enabled()
    ct_set_gradients_enabled(enabled)
    defer { ct_set_gradients_enabled(before) }
    return try body()
}

extension Tensor {
    /// Whether derivatives are recorded for this tensor; to be set on leaves only.
    public var requiresGradient: Bool {
        get { ct_requires_gradient(handle) }
        set {
            check(
                ct_set_requires_gradient(handle, newValue), "requiresGradient", "\(shape) \(dtype)")
        }
    }

    /// The derivative that ``backward(_:)`` summed up for this leaf, nil before that.
    public var gradient: Tensor? {
        get {
            var out: OpaquePointer?
            check(ct_gradient(handle, &out), "gradient", "\(shape)")
            return out.map(Tensor.init(owning:))
        }
        set {
            let status = withExtendedLifetime(newValue) {
                ct_set_gradient(handle, newValue?.handle)
            }
            check(status, "gradient", described([self, newValue]))
        }
    }

    /// Adds the derivative of this scalar (or of its product with `gradient`) to every leaf's ``gradient``.
    public func backward(_ gradient: Tensor? = nil) {
        let status = withExtendedLifetime(gradient) { ct_backward(handle, gradient?.handle) }
        check(status, "backward", described([self, gradient]))
    }

    /// The derivatives of this scalar with respect to `inputs`, without touching any ``gradient``.
    ///
    /// - Parameter keepingGraph: allows another call or ``backward(_:)`` through the same operations.
    /// - Returns: one tensor per input, nil where this scalar does not depend on it.
    public func gradients(of inputs: [Tensor], keepingGraph: Bool = false) -> [Tensor?] {
        let handles = inputs.map { Optional($0.handle) }
        var outs = [OpaquePointer?](repeating: nil, count: inputs.count)
        let status = withExtendedLifetime(inputs) {
            ct_gradients(handle, handles, handles.count, keepingGraph, &outs)
        }
        check(status, "gradients", described([self] + inputs))
        return outs.map { $0.map(Tensor.init(owning:)) }
    }

    /// The same values and memory, cut off from the operations that made them.
    public func detached() -> Tensor { produced("detached", self) { ct_detach(handle, $0) } }

    /// The same tensor to compute with, and a scalar (fp32, 0 at first) that every backward pass raises by the
    /// sum of squares of the derivative that reaches it.
    public func watchingGradient() -> (tensor: Tensor, squares: Tensor) {
        let pair = producedPair("watchingGradient", self) { ct_watch_gradient(handle, $0, $1) }
        return (tensor: pair.0, squares: pair.1)
    }
}
