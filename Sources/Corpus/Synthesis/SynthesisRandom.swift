/// The generator behind every synthetic picture: SplitMix64, with draws spelled out here so that
/// a picture stays the same whatever version of the standard library made it.
struct SynthesisRandom {
    private var state: UInt64

    /// A stream of its own for each sequence of `parts` (seed, stream, index).
    init(_ parts: UInt64...) {
        state = 0x9E37_79B9_7F4A_7C15
        for part in parts {
            state ^= part &* 0xD134_2543_DE82_EF95
            state = next()
        }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func integer(_ range: ClosedRange<Int>) -> Int {
        let count = UInt64(range.upperBound - range.lowerBound + 1)
        return range.lowerBound + Int(next().multipliedFullWidth(by: count).high)
    }

    mutating func number(_ range: ClosedRange<Double>) -> Double {
        let unit = Double(next() >> 11) * 0x1p-53
        return range.lowerBound + unit * (range.upperBound - range.lowerBound)
    }

    mutating func chance(_ probability: Double) -> Bool { number(0...1) < probability }

    mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[integer(0...choices.count - 1)]
    }

    mutating func shuffled<Element>(_ values: [Element]) -> [Element] {
        var values = values
        for last in stride(from: values.count - 1, to: 0, by: -1) {
            values.swapAt(last, integer(0...last))
        }
        return values
    }
}
