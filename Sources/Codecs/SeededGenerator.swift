/// A small, fast generator whose stream is the same on every machine and in every version of this package.
///
/// xoshiro256** (Blackman and Vigna, 2018), its state filled by SplitMix64. The draws below are defined here
/// rather than taken from the standard library, whose algorithms may change between releases.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// A stream determined by `seed` alone.
    public init(seed: UInt64) {
        var mixed = seed
        func draw() -> UInt64 {
            mixed &+= 0x9E37_79B9_7F4A_7C15
            return mixing(mixed)
        }
        state = (draw(), draw(), draw(), draw())
    }

    /// A stream determined by a seed and the parts that name its use, in order.
    public init(seed: UInt64, _ parts: String...) {
        self.init(seed: parts.reduce(seed) { stableHash($1, seed: $0) })
    }

    /// 64 random bits.
    public mutating func next() -> UInt64 {
        let result = rotated(state.1 &* 5, by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, by: 45)
        return result
    }

    /// A whole number from 0 up to, not including, `bound`, which must be positive.
    public mutating func below(_ bound: Int) -> Int {
        guard bound > 0 else {
            fatalError("SeededGenerator.below(\(bound)): the bound must be positive")
        }
        let limit = UInt64(bound)
        var product = next().multipliedFullWidth(by: limit)
        if product.low < limit {  // reject the few draws that would favour small numbers
            let threshold = (0 &- limit) % limit
            while product.low < threshold { product = next().multipliedFullWidth(by: limit) }
        }
        return Int(product.high)
    }

    /// A whole number in `range`.
    public mutating func integer(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    /// A number from 0 up to, not including, 1, with 53 random bits.
    public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// One element of a collection that is not empty.
    public mutating func element<C: RandomAccessCollection>(of items: C) -> C.Element {
        items[items.index(items.startIndex, offsetBy: below(items.count))]
    }

    /// An index drawn in proportion to `weights`, which are not negative and not all zero.
    public mutating func index(weights: [Double]) -> Int {
        var left = unit() * weights.reduce(0, +)
        var last = 0
        for (index, weight) in weights.enumerated() where weight > 0 {
            if left < weight { return index }
            left -= weight
            last = index
        }
        return last
    }

    /// The elements in random order (Fisher and Yates).
    public mutating func shuffled<Element>(_ items: [Element]) -> [Element] {
        var items = items
        for last in stride(from: items.count - 1, to: 0, by: -1) {
            items.swapAt(last, below(last + 1))
        }
        return items
    }

    /// `count` different numbers below `bound`, ascending; all of them when there are no more.
    public mutating func sample(_ count: Int, below bound: Int) -> [Int] {
        guard count < bound else { return Array(0..<max(0, bound)) }
        var chosen = Set<Int>()  // Floyd's algorithm: as many draws as numbers wanted
        for limit in (bound - count)..<bound {
            let drawn = below(limit + 1)
            chosen.insert(chosen.contains(drawn) ? limit : drawn)
        }
        return chosen.sorted()
    }
}

/// A 64-bit hash of a text, the same in every process and version; not for secrets.
public func stableHash(_ text: String, seed: UInt64 = 0) -> UInt64 {
    var text = text
    return text.withUTF8 { stableHash(UnsafeRawBufferPointer($0), seed: seed) }
}

/// A 64-bit hash of bytes, the same in every process and version; not for secrets.
public func stableHash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var hash = mixing(seed ^ 0x9E37_79B9_7F4A_7C15 ^ (UInt64(bytes.count) &* 0xD6E8_FEB8_6659_FD93))
    var offset = 0
    while offset + 8 <= bytes.count {
        let word = UInt64(
            littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let (high, low) = (word ^ hash).multipliedFullWidth(by: 0xA076_1D64_78BD_642F ^ hash)
        hash = high ^ low &+ word
        offset += 8
    }
    var tail: UInt64 = 0
    for (shift, index) in (offset..<bytes.count).enumerated() {
        tail |= UInt64(bytes[index]) << UInt64(8 * shift)
    }
    return mixing(hash ^ mixing(tail &+ 0xE703_7ED1_A0B4_28DB))
}

/// A 128-bit content key in hexadecimal: two ``stableHash(_:seed:)`` of the same bytes.
public func contentKey(_ bytes: UnsafeRawBufferPointer) -> String {
    hexadecimal(stableHash(bytes, seed: 0x243F_6A88_85A3_08D3))
        + hexadecimal(stableHash(bytes, seed: 0x1319_8A2E_0370_7344))
}

private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

/// SplitMix64's finaliser: every input bit moves every output bit.
private func mixing(_ value: UInt64) -> UInt64 {
    var value = value
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
}

private func rotated(_ value: UInt64, by count: UInt64) -> UInt64 {
    (value << count) | (value >> (64 - count))
}
