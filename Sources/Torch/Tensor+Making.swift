import CTorch

extension Tensor {
    /// A tensor of given values, row by row; their number must be the product of `shape`.
    public convenience init(_ values: [Float], shape: [Int], device: Device = .cpu) {
        self.init(copying: values, shape: shape, dtype: .float32, device: device)
    }

    /// As above in fp64; labelled, so that a literal with a point stays fp32.
    public convenience init(doubles values: [Double], shape: [Int], device: Device = .cpu) {
        self.init(copying: values, shape: shape, dtype: .float64, device: device)
    }

    /// As above in int64.
    public convenience init(_ values: [Int], shape: [Int], device: Device = .cpu) {
        self.init(copying: values, shape: shape, dtype: .int64, device: device)
    }

    /// As above in uint8.
    public convenience init(_ values: [UInt8], shape: [Int], device: Device = .cpu) {
        self.init(copying: values, shape: shape, dtype: .uint8, device: device)
    }

    /// As above in bool.
    public convenience init(_ values: [Bool], shape: [Int], device: Device = .cpu) {
        self.init(copying: values, shape: shape, dtype: .bool, device: device)
    }

    /// A scalar, shape `[]`.
    public convenience init(_ scalar: Double, dtype: DType = .float32, device: Device = .cpu) {
        var out: OpaquePointer?
        check(ct_full([], 0, scalar, dtype.code, device.index, &out), "full", "[]")
        guard let out else { fatalError("full: no result") }
        self.init(owning: out)
    }

    private convenience init<Value>(
        copying values: [Value], shape: [Int], dtype: DType, device: Device
    ) {
        guard values.count == shape.reduce(1, *) else {
            fatalError("Tensor: \(values.count) values for shape \(shape)")
        }
        var out: OpaquePointer?
        let status = values.withUnsafeBytes {
            ct_from_data($0.baseAddress, shape, shape.count, dtype.code, device.index, &out)
        }
        check(status, "Tensor", "\(shape)")
        guard let out else { fatalError("Tensor: \(shape): no result") }
        self.init(owning: out)
    }

    /// A tensor over the given bytes (native order, row by row), copied.
    public convenience init(
        bytes: UnsafeRawBufferPointer, shape: [Int], dtype: DType, device: Device = .cpu
    ) {
        guard bytes.count == shape.reduce(dtype.size, *) else {
            fatalError("Tensor: \(bytes.count) bytes for shape \(shape) of \(dtype)")
        }
        var out: OpaquePointer?
        check(
            ct_from_data(bytes.baseAddress, shape, shape.count, dtype.code, device.index, &out),
            "Tensor", "\(shape)")
        guard let out else { fatalError("Tensor: \(shape): no result") }
        self.init(owning: out)
    }

    /// A tensor in memory that `owner` keeps alive, without a copy.
    convenience init(
        memory: UnsafeMutableRawPointer, owner: AnyObject, shape: [Int], dtype: DType
    ) {
        let context = Unmanaged.passRetained(owner)
        var out: OpaquePointer?
        let status = ct_from_memory(
            memory, shape, shape.count, dtype.code,
            { context in
                guard let context else { return }
                Unmanaged<AnyObject>.fromOpaque(context).release()
            }, context.toOpaque(), &out)
        check(status, "Tensor", "\(shape)")
        guard let out else { fatalError("Tensor: \(shape): no result") }
        self.init(owning: out)
    }

    /// All zeros.
    public static func zeros(
        _ shape: [Int], dtype: DType = .float32, device: Device = .cpu
    ) -> Tensor {
        full(shape, 0, dtype: dtype, device: device)
    }

    /// All ones.
    public static func ones(
        _ shape: [Int], dtype: DType = .float32, device: Device = .cpu
    ) -> Tensor {
        full(shape, 1, dtype: dtype, device: device)
    }

    /// All `value`.
    public static func full(
        _ shape: [Int], _ value: Double, dtype: DType = .float32, device: Device = .cpu
    ) -> Tensor {
        created("full", "\(shape)") {
            ct_full(shape, shape.count, value, dtype.code, device.index, $0)
        }
    }

    /// Memory with arbitrary contents, to be written before it is read.
    public static func uninitialized(
        _ shape: [Int], dtype: DType = .float32, device: Device = .cpu
    ) -> Tensor {
        created("uninitialized", "\(shape)") {
            ct_empty(shape, shape.count, dtype.code, device.index, $0)
        }
    }

    /// `0, 1, … count - 1`, shape `[count]`.
    public static func arange(
        _ count: Int, dtype: DType = .int64, device: Device = .cpu
    ) -> Tensor {
        arange(from: 0, to: count, dtype: dtype, device: device)
    }

    /// `from, from + step, …` below `to`.
    public static func arange(
        from: Int, to: Int, step: Int = 1, dtype: DType = .int64, device: Device = .cpu
    ) -> Tensor {
        created("arange", "\(from) to \(to) by \(step)") {
            ct_arange(from, to, step, dtype.code, device.index, $0)
        }
    }

    /// Draws from the standard normal distribution, on the generator's device.
    public static func normal(
        _ shape: [Int], dtype: DType = .float32, generator: Generator
    ) -> Tensor {
        created("normal", "\(shape)") {
            ct_normal(shape, shape.count, dtype.code, generator.handle, $0)
        }
    }

    /// Draws evenly from 0..<1, on the generator's device.
    public static func uniform(
        _ shape: [Int], dtype: DType = .float32, generator: Generator
    ) -> Tensor {
        created("uniform", "\(shape)") {
            ct_uniform(shape, shape.count, dtype.code, generator.handle, $0)
        }
    }

    /// `0..<count` in random order, int64.
    public static func randomPermutation(_ count: Int, generator: Generator) -> Tensor {
        created("randomPermutation", "\(count)") { ct_permutation(count, generator.handle, $0) }
    }

    /// `count` indices per row, drawn with probability proportional to the row's weights; int64.
    public func sampled(_ count: Int, replacing: Bool = false, generator: Generator) -> Tensor {
        produced("sampled", self) { ct_multinomial(handle, count, replacing, generator.handle, $0) }
    }

    /// Zeros of the same shape, dtype and device.
    public func zerosLike() -> Tensor {
        produced("zerosLike", self) { ct_full_like(handle, 0, $0) }
    }

    /// Ones of the same shape, dtype and device.
    public func onesLike() -> Tensor { produced("onesLike", self) { ct_full_like(handle, 1, $0) } }
}

// MARK: - Reading values

extension Tensor {
    /// The value of a tensor with one element.
    public func item() -> Double {
        var value = 0.0
        check(ct_item(handle, &value), "item", "\(shape)")
        return value
    }

    /// The value of an integer tensor with one element, exactly.
    public func itemInt() -> Int {
        var value: Int64 = 0
        check(ct_item_int(handle, &value), "itemInt", "\(shape)")
        return Int(value)
    }

    /// All elements as fp32, row by row.
    public func floats() -> [Float] { to(.float32).copied() }

    /// All elements as fp64, row by row.
    public func doubles() -> [Double] { to(.float64).copied() }

    /// All elements as integers, row by row.
    public func ints() -> [Int] { to(.int64).copied() }

    /// All elements as booleans, row by row.
    public func bools() -> [Bool] { to(.bool).copied() }

    /// The raw bytes of all elements, row by row, in native order.
    public func bytes() -> [UInt8] {
        withBytes { [UInt8]($0) }
    }

    /// Calls `body` with the elements' bytes, row by row; copies first unless contiguous on the CPU.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
        -> Result
    {
        let source = to(.cpu).contiguous()
        return try withExtendedLifetime(source) {
            let pointer = source.count == 0 ? nil : ct_data(source.handle)
            return try body(UnsafeRawBufferPointer(start: pointer, count: source.byteCount))
        }
    }

    private func copied<Value>() -> [Value] {
        withBytes { bytes in [Value](bytes.bindMemory(to: Value.self)) }
    }
}
