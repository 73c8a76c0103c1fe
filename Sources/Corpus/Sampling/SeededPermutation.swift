import Codecs

/// A random order of `0..<count` of which any element can be asked for at once.
///
/// A Feistel network over the next power of four, walked along its cycle until it lands inside: nothing is
/// stored, so a run resumes anywhere in an epoch without replaying it.
public struct SeededPermutation: Sendable {
    /// Number of elements.
    public let count: Int
    private let halfBits: UInt64
    private let keys: [UInt64]

    /// The order that `seed` gives; another seed, another order.
    public init(count: Int, seed: UInt64) {
        self.count = count
        var bits: UInt64 = 1
        while count > 1 && (count - 1) >> (2 * Int(bits)) > 0 { bits += 1 }
        halfBits = bits
        var generator = SeededGenerator(seed: seed, "permutation")
        keys = (0..<6).map { _ in generator.next() }
    }

    /// The element at a place below ``count``.
    public subscript(place: Int) -> Int {
        guard (0..<count).contains(place) else {
            fatalError("SeededPermutation: place \(place) of \(count)")
        }
        let mask = (UInt64(1) << halfBits) - 1
        var value = UInt64(place)
        repeat {
            var (left, right) = (value >> halfBits, value & mask)
            for key in keys {
                var mixed = (right ^ key) &* 0x9E37_79B9_7F4A_7C15
                mixed = (mixed ^ (mixed >> 29)) &* 0xBF58_476D_1CE4_E5B9
                (left, right) = (right, left ^ ((mixed >> 32) & mask))
            }
            value = left << halfBits | right
        } while value >= UInt64(count)
        return Int(value)
    }
}
