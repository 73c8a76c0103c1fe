import CTorch

/// A source of random values: the same seed and calls give the same values on the same kind of device.
public final class Generator {
    let handle: OpaquePointer

    /// Where it draws, and so where the tensors it fills are.
    public let device: Device

    /// A generator of its own, independent of any other. (On the CPU libtorch uses the seed's low 32 bits.)
    public init(seed: UInt64, device: Device = .cpu) {
        var out: OpaquePointer?
        check(ct_generator_new(seed, device.index, &out), "Generator", "\(device)")
        guard let out else { fatalError("Generator: \(device): no result") }
        handle = out
        self.device = device
    }

    deinit { ct_generator_release(handle) }

    /// All that decides the values to come, as bytes; setting it continues from there.
    public var state: [UInt8] {
        get { created("Generator.state", "\(device)") { ct_generator_state(handle, $0) }.bytes() }
        set {
            let bytes = Tensor(newValue, shape: [newValue.count])
            let status = withExtendedLifetime(bytes) {
                ct_generator_set_state(handle, bytes.handle)
            }
            check(status, "Generator.state", "\(newValue.count) bytes")
        }
    }

    /// Whether `state` could be set to these bytes: the same length as the state now.
    public func accepts(state: [UInt8]) -> Bool { state.count == self.state.count }
}
