import Foundation
import Testing

@testable import AnyRes
@testable import Corpus

struct SampleLoaderTests {
    @Test(arguments: [0, 1, 2, 5])
    func orderDoesNotDependOnTheWorkers(workers: Int) throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 13)
            let augmenter = try set.augmenter()
            let reference = try set.loader(augmenter: augmenter) { $0.workers = 0 }.next(30)
            let loader = try set.loader(augmenter: augmenter) {
                $0.workers = workers
                $0.prefetch = 3
                $0.cacheBytes = workers == 1 ? 0 : 1 << 20
            }
            var samples: [Sample] = []
            for count in [1, 4, 13, 12] { samples += try loader.next(count) }
            #expect(samples == reference)
        }
    }

    @Test func epochsVisitEveryRecordOnceInNewOrders() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 13)
            let loader = try set.loader()
            let epochs = try (0..<3).map { _ in try loader.next(13).map(\.recordID) }
            for epoch in epochs { #expect(Set(epoch).count == 13) }
            #expect(epochs[0] != epochs[1] && epochs[1] != epochs[2])
            #expect(loader.place.epoch == 3 && loader.place.index == 0)
            let plain = try set.loader { $0.isShuffled = false }
            #expect(try plain.next(13).map(\.recordID) == (0..<13).map { "r\($0)" })
            #expect(try set.loader { $0.seed = 9 }.next(13).map(\.recordID) != epochs[0])
        }
    }

    /// Resuming anywhere gives what an unbroken run gives, epochs and left-out records included.
    @Test(arguments: [1, 7, 12, 13, 20])
    func resumingIsExact(taken: Int) throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 13) { index, record in
                if index == 5 { record.images = ["none.png"] }
            }
            let augmenter = try set.augmenter()
            let unbroken = try set.loader(augmenter: augmenter) { $0.workers = 2 }
            let first = try unbroken.next(taken)
            let position = try unbroken.position()
            let rest = try unbroken.next(15)

            let resumed = try set.loader(augmenter: augmenter) { $0.workers = 1 }
            try resumed.seek(position)
            #expect(try resumed.next(15) == rest)
            #expect(resumed.ledger.seen == unbroken.ledger.seen)
            #expect(resumed.ledger.counts == unbroken.ledger.counts)

            // The same loader can go back.
            try unbroken.seek(set.loader(augmenter: augmenter).position())
            #expect(try unbroken.next(taken) == first)
        }
    }

    @Test func positionsOfOtherDataAreRefused() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 5)
            let position = try set.loader().position()
            #expect(throws: CorpusError.self) { try set.loader { $0.seed = 5 }.seek(position) }
            #expect(throws: CorpusError.self) { try set.loader().seek([1, 2, 3]) }
            var place = try set.loader().place
            place.index = 5
            #expect(throws: CorpusError.self) { try set.loader().seek(to: place) }
            place.index = -1
            #expect(throws: CorpusError.self) { try set.loader().seek(to: place) }
        }
    }

    @Test func badRecordsAreCountedAndTheRunGoesOn() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 12) { index, record in
                switch index {
                case 2: record.images = ["none.png"]
                case 3: record.images = ["/etc/passwd"]
                case 4: record.turns[0].value = "no picture"
                default: break
                }
            }
            let loader = try set.loader { $0.workers = 2 }
            let samples = try loader.next(18)
            #expect(samples.allSatisfy { !["r2", "r3", "r4"].contains($0.recordID) })
            #expect(loader.ledger.counts == [.missingPicture: 2, .unsafePath: 2, .imageCount: 2])
            #expect(loader.ledger.entries.count == 6 && loader.ledger.seen == 24)
            let ids = Set(loader.ledger.entries.compactMap(\.id))
            #expect(ids == ["r2", "r3", "r4"])
            // What takes a bad record's place is the next one, not one that the epoch has twice.
            for epoch in [samples[..<9], samples[9...]] {
                #expect(Set(epoch.map(\.recordID)).count == 9)
            }
        }
    }

    /// A run that is resumed again and again is stopped at the record at which one that never stopped is.
    @Test func theShareOfBadRecordsIsCountedOverAllSittings() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 60) { index, record in
                if index % 2 == 0 { record.images = ["none.png"] }
            }
            func taken(resuming: Bool) throws -> Int {
                var loader = try set.loader { $0.maxRejectedShare = 0.2 }
                for count in 0..<60 {
                    do { _ = try loader.next(1) } catch is CorpusError { return count }
                    guard resuming else { continue }
                    let position = try loader.position()
                    loader = try set.loader { $0.maxRejectedShare = 0.2 }
                    try loader.seek(position)
                }
                return 60
            }
            let unbroken = try taken(resuming: false)
            #expect(unbroken < 60)
            #expect(try taken(resuming: true) == unbroken)
        }
    }

    @Test func tooManyBadRecordsStopTheRun() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 60) { index, record in
                if index % 2 == 0 { record.images = ["none.png"] }
            }
            let loader = try set.loader { $0.maxRejectedShare = 0.2 }
            #expect {
                for _ in 0..<20 { _ = try loader.next(4) }
            } throws: {
                "\($0)".contains("missing_picture") && "\($0)".contains("0.2")
            }
            #expect(loader.ledger.rejected == 21)

            let none = try DataSetFixture(folder + "/none", count: 3) { _, record in
                record.images = ["none.png"]
            }
            #expect {
                try none.loader().next(1)
            } throws: {
                "\($0)".contains("none of 3 records")
            }
            try write("[]", to: folder + "/empty.json")
            #expect(throws: CorpusError.self) {
                try SampleLoader(
                    RecordCollection(path: folder + "/empty.json"), builder: set.builder())
            }
        }
    }

    @Test func processesShareTheRecords() throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 12)
            let whole = try set.loader().next(24).map(\.recordID)
            let parts = try (0..<2).map { rank in
                try set.loader {
                    $0.rank = rank
                    $0.world = 2
                }.share(of: 24) { _ in [[], []] }
            }
            #expect(parts[0].map(\.place) == Array(stride(from: 0, to: 24, by: 2)))
            #expect(parts[1].map(\.place) == Array(stride(from: 1, to: 24, by: 2)))
            let together = parts.joined().sorted { $0.place < $1.place }
            #expect(together.map(\.sample.recordID) == whole)
        }
    }

    /// Records that one process cannot use are left out by all: samples, places, ledger and position are those of
    /// a single process, and no sample comes twice.
    @Test(arguments: [2, 3])
    func processesAgreeOnBadRecords(world: Int) throws {
        try withTemporaryFolder { folder in
            let set = try DataSetFixture(folder, count: 13) { index, record in
                if [2, 3, 8].contains(index) { record.images = ["none.png"] }
            }
            let single = try set.loader { $0.maxRejectedShare = 0.5 }
            let batches = try (0..<6).map { _ in try single.next(6) }
            let (ledger, place) = (single.ledger, single.place)
            let meeting = Meeting(world)
            let group = DispatchGroup()
            for rank in 0..<world {
                group.enter()
                Thread.detachNewThread {
                    defer { group.leave() }
                    do {
                        let loader = try set.loader {
                            $0.maxRejectedShare = 0.5
                            ($0.rank, $0.world, $0.workers) = (rank, world, rank)
                        }
                        for batch in batches {
                            let share = try loader.share(of: 6) { meeting.exchange($0, rank) }
                            meeting.add(share.map { ($0.place, $0.sample.recordID) })
                            #expect(share.allSatisfy { batch[$0.place] == $0.sample })
                        }
                        #expect(loader.ledger.counts == ledger.counts)
                        #expect(loader.ledger.entries.map(\.index) == ledger.entries.map(\.index))
                        #expect(loader.place == place)
                    } catch {
                        Issue.record(error)
                    }
                }
            }
            group.wait()
            #expect(meeting.found.count == 36)
            #expect(ledger.rejected > 4)
        }
    }

    @Test func theCacheKeepsToItsBudget() throws {
        let tiler = try #require(DataSetFixture.tiler)
        let tiled = try (0..<10).map { try tiler.tile(blockPicture($0, width: 60, height: 30)) }
        let size = tiled[0].snapshot.count + tiled[0].tiles.count
        let cache = PictureCache(capacity: 4 * size)
        for (index, picture) in tiled.enumerated() {
            cache.insert(.init(tiled: picture, key: "\(index)"), for: "\(index)")
            if index > 0 { #expect(cache["0"]?.key == "0") }  // used again and again, so it stays
            #expect(cache.bytes <= 4 * size && cache.bytes == cache.count * size)
        }
        #expect(cache["9"]?.tiled == tiled[9] && cache["1"] == nil)
        cache.insert(.init(tiled: tiled[3], key: "new"), for: "9")
        #expect(cache["9"]?.key == "new" && cache.bytes == cache.count * size)
        let none = PictureCache(capacity: 0)
        none.insert(.init(tiled: tiled[0], key: "0"), for: "0")
        #expect(none.count == 0)
    }

    @Test(arguments: [0, 1, 3])
    func orderedWorkersStayInOrderAndBounds(count: Int) {
        let started = Counter()
        let pool = OrderedWorkers(count: count, ahead: 4, from: 5, end: 105) { ticket -> Int in
            started.add()
            if ticket % 7 == 0 { usleep(500) }
            return ticket * ticket
        }
        for ticket in 5..<105 {
            #expect(pool.next() == ticket * ticket)
            #expect(started.value <= ticket - 5 + 1 + 4)
        }
        #expect(pool.next() == nil && pool.next() == nil)
    }

    @Test func droppedWorkersEnd() {
        let started = Counter()
        do {
            let pool = OrderedWorkers(count: 2, ahead: 4) { _ in started.add() }
            _ = pool.next()
        }
        let atEnd = started.value
        usleep(20_000)
        #expect(started.value == atEnd && atEnd <= 5)
    }

    private final class Counter: @unchecked Sendable {  // every access holds the lock
        private let lock = NSLock()
        private var count = 0
        func add() { lock.withLock { count += 1 } }
        var value: Int { lock.withLock { count } }
    }
}

/// Where threads that stand for processes exchange bytes.
private final class Meeting: @unchecked Sendable {  // every access holds the condition's lock
    private let condition = NSCondition()
    private var waiting: [[UInt8]?]
    private var round = 0
    private var last: [[UInt8]] = []
    private(set) var found: [(Int, String?)] = []

    init(_ size: Int) { waiting = Array(repeating: nil, count: size) }

    func exchange(_ bytes: [UInt8], _ rank: Int) -> [[UInt8]] {
        condition.withLock {
            waiting[rank] = bytes
            let all = waiting.compactMap { $0 }
            guard all.count < waiting.count else {
                last = all
                waiting = waiting.map { _ in nil }
                round += 1
                condition.broadcast()
                return all
            }
            let current = round
            while round == current { condition.wait() }
            return last
        }
    }

    func add(_ samples: [(Int, String)]) {
        condition.withLock { found += samples.map { ($0.0, $0.1) } }
    }
}
