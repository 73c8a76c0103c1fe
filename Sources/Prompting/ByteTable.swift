/// A hash table from byte strings to 32-bit values, without an allocation per key.
struct ByteTable {
    private struct Slot {
        var hash: UInt32
        var length: UInt32  // of the key; .max marks an empty slot
        var offset: UInt32  // of the key in `keys`
        var value: UInt32

        static let empty = Slot(hash: 0, length: .max, offset: 0, value: 0)
    }

    private var slots: [Slot]
    private var keys: [UInt8] = []
    private(set) var count = 0

    init(minimumCapacity: Int = 0) {
        var size = 16
        while size < minimumCapacity * 2 { size *= 2 }
        slots = Array(repeating: .empty, count: size)
    }

    mutating func removeAll() {
        for index in slots.indices { slots[index] = .empty }
        keys.removeAll(keepingCapacity: true)
        count = 0
    }

    subscript(_ key: [UInt8]) -> UInt32? {
        get { key.withUnsafeBufferPointer { value(of: $0) } }
        set { key.withUnsafeBufferPointer { buffer in newValue.map { set(buffer, to: $0) } } }
    }

    func value(of key: UnsafeBufferPointer<UInt8>) -> UInt32? {
        let hash = Self.hash(key)
        let mask = slots.count - 1
        return slots.withUnsafeBufferPointer { slots in
            keys.withUnsafeBufferPointer { keys in
                var index = Int(hash) & mask
                while true {
                    let slot = slots[index]
                    if slot.length == .max { return nil }
                    if slot.hash == hash, Int(slot.length) == key.count,
                        Self.equal(keys, Int(slot.offset), key)
                    {
                        return slot.value
                    }
                    index = (index + 1) & mask
                }
            }
        }
    }

    /// Adds the key, or replaces its value.
    mutating func set(_ key: UnsafeBufferPointer<UInt8>, to value: UInt32) {
        if count * 2 >= slots.count { grow() }
        let hash = Self.hash(key)
        let mask = slots.count - 1
        var index = Int(hash) & mask
        while slots[index].length != .max {
            let slot = slots[index]
            if slot.hash == hash, Int(slot.length) == key.count,
                keys.withUnsafeBufferPointer({ Self.equal($0, Int(slot.offset), key) })
            {
                slots[index].value = value
                return
            }
            index = (index + 1) & mask
        }
        slots[index] = Slot(
            hash: hash, length: UInt32(key.count), offset: UInt32(keys.count), value: value)
        keys.append(contentsOf: key)
        count += 1
    }

    private mutating func grow() {
        var larger = Array(repeating: Slot.empty, count: slots.count * 2)
        let mask = larger.count - 1
        for slot in slots where slot.length != .max {
            var index = Int(slot.hash) & mask
            while larger[index].length != .max { index = (index + 1) & mask }
            larger[index] = slot
        }
        slots = larger
    }

    @inline(__always)
    private static func equal(
        _ keys: UnsafeBufferPointer<UInt8>, _ offset: Int, _ key: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        for index in 0..<key.count where keys[offset + index] != key[index] { return false }
        return true
    }

    @inline(__always)
    private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt32 {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(truncatingIfNeeded: key.count)
        for byte in key { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        state ^= state >> 29
        return UInt32(truncatingIfNeeded: (state &* 0xBF58_476D_1CE4_E5B9) >> 32)
    }
}
