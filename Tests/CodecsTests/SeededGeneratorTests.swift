import Testing

@testable import Codecs

struct SeededGeneratorTests {
    /// The stream is a promise: data sets and runs are remade from their seeds alone.
    @Test func streamIsPinned() {
        var generator = SeededGenerator(seed: 42)
        #expect(
            (0..<3).map { _ in generator.next() } == [
                1_546_998_764_402_558_742, 6_990_951_692_964_543_102, 12_544_586_762_248_559_009,
            ])
        #expect(stableHash("vlsa") == 2_997_977_819_928_178_076)
        #expect(stableHash("vlsa", seed: 1) != stableHash("vlsa"))
    }

    @Test(arguments: [1, 2, 7, 1000])
    func drawsStayBelowTheirBound(bound: Int) {
        var generator = SeededGenerator(seed: 5, "bound")
        var seen = Set<Int>()
        for _ in 0..<20 * bound { seen.insert(generator.below(bound)) }
        #expect(seen.allSatisfy { (0..<bound).contains($0) })
        #expect(seen.count > bound * 9 / 10)
    }

    @Test func samplesAreDistinctAscendingAndSpread() {
        var generator = SeededGenerator(seed: 9)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<2000 {
            let sample = generator.sample(3, below: 10)
            #expect(sample.count == 3 && Set(sample).count == 3 && sample == sample.sorted())
            for value in sample { counts[value] += 1 }
        }
        #expect(counts.allSatisfy { abs($0 - 600) < 120 })
        #expect(generator.sample(5, below: 3) == [0, 1, 2])
        #expect(generator.sample(5, below: 0) == [])
    }

    @Test func weightsDecideTheShare() {
        var generator = SeededGenerator(seed: 3)
        var counts = [0, 0, 0]
        for _ in 0..<4000 { counts[generator.index(weights: [1, 0, 3])] += 1 }
        #expect(counts[1] == 0)
        #expect(abs(counts[0] - 1000) < 150)
    }

    @Test func hashSeesEveryByte() {
        let base = [UInt8](repeating: 0, count: 37)
        var seen: Set = [base.withUnsafeBytes { contentKey($0) }]
        for index in base.indices {
            var changed = base
            changed[index] = 1
            seen.insert(changed.withUnsafeBytes { contentKey($0) })
        }
        for length in 0..<37 { seen.insert(base[..<length].withUnsafeBytes { contentKey($0) }) }
        #expect(seen.count == 1 + 37 + 37)
        #expect(seen.allSatisfy { $0.count == 32 })
    }
}
