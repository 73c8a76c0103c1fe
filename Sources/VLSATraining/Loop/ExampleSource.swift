import Foundation

/// An endless stream of examples that can be taken up again at any position.
public protocol ExampleSource<Example>: AnyObject {
    associatedtype Example

    /// Examples in an epoch.
    var count: Int { get }

    /// The next `count` examples; epochs follow each other without a break.
    func next(_ count: Int) throws -> [Example]

    /// This process' part of the next `count` examples of all processes, each with its place among them.
    ///
    /// All parts together are what a single process would get, whatever the number of processes is. Unless a
    /// source has a way of its own, each process goes through all examples and keeps its part.
    func share(of count: Int, with processes: Processes) throws -> [(place: Int, example: Example)]

    /// Where the stream stands after the examples handed out so far.
    func position() throws -> [UInt8]

    /// Goes on from a position that this kind of source gave.
    func seek(_ position: [UInt8]) throws
}

extension ExampleSource {
    public func share(
        of count: Int, with processes: Processes
    ) throws -> [(place: Int, example: Example)] {
        try next(count).enumerated().filter { $0.offset % processes.count == processes.rank }
            .map { ($0.offset, $0.element) }
    }
}

/// Examples in memory, in an order drawn anew from (seed, epoch) for each epoch.
public final class ArraySource<Example>: ExampleSource {
    private struct Position: Decodable {
        var epoch = 0
        var index = 0
    }

    private let examples: [Example]
    private let seed: UInt64
    private let isShuffled: Bool
    private var place = Position()
    private var order: [Int] = []
    private var orderedEpoch = -1

    /// - Parameter isShuffled: false keeps the given order in every epoch.
    public init(_ examples: [Example], seed: UInt64 = 0, isShuffled: Bool = true) {
        self.examples = examples
        self.seed = seed
        self.isShuffled = isShuffled
    }

    public var count: Int { examples.count }

    public func next(_ count: Int) throws -> [Example] {
        guard !examples.isEmpty else { throw RunError.noExamples }
        return (0..<count).map { _ in
            if place.index == examples.count { place = Position(epoch: place.epoch + 1, index: 0) }
            if orderedEpoch != place.epoch {
                order = Array(examples.indices)
                if isShuffled {
                    var generator = SplitMix(
                        state: seed &+ UInt64(place.epoch) &* 0x9e37_79b9_7f4a_7c15)
                    order.shuffle(using: &generator)
                }
                orderedEpoch = place.epoch
            }
            defer { place.index += 1 }
            return examples[order[place.index]]
        }
    }

    public func position() throws -> [UInt8] {
        Array("{\"epoch\":\(place.epoch),\"index\":\(place.index)}".utf8)
    }

    public func seek(_ position: [UInt8]) throws {
        guard let place = try? JSONDecoder().decode(Position.self, from: Data(position)),
            place.epoch >= 0, (0...examples.count).contains(place.index)
        else { throw RunError.foreignPosition(text: String(decoding: position, as: UTF8.self)) }
        self.place = place
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
