/// Finds the merges of a byte-level BPE: again and again the most frequent pair.
///
/// Pairs that are as frequent as each other are taken in the order of their ids, so the result
/// depends on nothing but the counts.
struct MergeLearner {
    /// The bytes of each token; the first 256 are single bytes in the order of the alphabet.
    private(set) var tokens: [[UInt8]]
    private(set) var merges: [(left: Int, right: Int)] = []

    private struct Word {
        var symbols: [Int32]
        var count: Int
    }

    private struct Candidate {
        var count: Int
        var pair: UInt64

        /// Whether this one is merged before the other.
        func precedes(_ other: Candidate) -> Bool {
            count != other.count ? count > other.count : pair < other.pair
        }
    }

    private let spellsCapitals: Bool
    private var isSpelt: [Bool]
    private var idOfByte: [Int32]
    private var words: [Word] = []
    private var counts: [UInt64: Int] = [:]
    private var places: [UInt64: Set<Int32>] = [:]  // words that hold a pair, or once held it
    private var heap: [Candidate] = []

    init(spellsCapitals: Bool) {
        self.spellsCapitals = spellsCapitals
        let order = (0..<256).sorted {
            ByteLevelAlphabet.scalars[$0].value < ByteLevelAlphabet.scalars[$1].value
        }
        tokens = order.map { [UInt8($0)] }
        isSpelt = order.map { spellsCapitals && (0x41...0x5A).contains($0) }
        idOfByte = Array(repeating: 0, count: 256)
        for (id, byte) in order.enumerated() { idOfByte[byte] = Int32(id) }
    }

    /// Adds pieces with their counts.
    mutating func add(_ pieces: [[UInt8]: Int]) {
        for (piece, count) in pieces where piece.count > 1 {
            let word = Int32(words.count)
            words.append(Word(symbols: piece.map { idOfByte[Int($0)] }, count: count))
            for index in 1..<piece.count { note(word, at: index, count: count) }
        }
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(left)) << 32 | UInt64(UInt32(right))
    }

    private mutating func note(_ word: Int32, at index: Int, count: Int) {
        let (left, right) = (
            words[Int(word)].symbols[index - 1], words[Int(word)].symbols[index]
        )
        if isSpelt[Int(left)] || isSpelt[Int(right)] { return }
        let pair = Self.pair(left, right)
        counts[pair, default: 0] += count
        places[pair, default: []].insert(word)
    }

    mutating func learn(upTo limit: Int, minimumCount: Int) {
        for (pair, count) in counts { push(Candidate(count: count, pair: pair)) }
        while merges.count < limit, let best = pop() {
            let count = counts[best.pair] ?? 0
            if count != best.count {
                // Merges since then have used some of its occurrences.
                if count > 0 { push(Candidate(count: count, pair: best.pair)) }
                continue
            }
            if count < max(minimumCount, 1) { break }
            merge(best.pair)
        }
    }

    private mutating func merge(_ pair: UInt64) {
        let left = Int32(truncatingIfNeeded: pair >> 32)
        let right = Int32(truncatingIfNeeded: pair)
        let product = Int32(tokens.count)
        tokens.append(tokens[Int(left)] + tokens[Int(right)])
        isSpelt.append(false)
        merges.append((Int(left), Int(right)))
        var touched: Set<UInt64> = []
        for word in places.removeValue(forKey: pair) ?? [] {
            let before = words[Int(word)]
            var symbols: [Int32] = []
            symbols.reserveCapacity(before.symbols.count)
            var index = 0
            while index < before.symbols.count {
                if index + 1 < before.symbols.count, before.symbols[index] == left,
                    before.symbols[index + 1] == right
                {
                    symbols.append(product)
                    index += 2
                } else {
                    symbols.append(before.symbols[index])
                    index += 1
                }
            }
            if symbols.count == before.symbols.count { continue }
            for index in 1..<before.symbols.count {
                let old = Self.pair(before.symbols[index - 1], before.symbols[index])
                if let count = counts[old] { counts[old] = count - before.count }
            }
            words[Int(word)].symbols = symbols
            for index in 1..<max(symbols.count, 1) {
                note(word, at: index, count: before.count)
                if symbols[index - 1] == product || symbols[index] == product {
                    touched.insert(Self.pair(symbols[index - 1], symbols[index]))
                }
            }
        }
        counts[pair] = nil
        for pair in touched {
            if let count = counts[pair], count > 0 { push(Candidate(count: count, pair: pair)) }
        }
    }

    private mutating func push(_ candidate: Candidate) {
        heap.append(candidate)
        var index = heap.count - 1
        while index > 0, candidate.precedes(heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() -> Candidate? {
        guard let best = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return best }
        heap[0] = last
        var index = 0
        while true {
            var child = 2 * index + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            if !heap[child].precedes(last) { break }
            heap.swapAt(index, child)
            index = child
        }
        return best
    }
}
