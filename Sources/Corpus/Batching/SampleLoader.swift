import Codecs
import Foundation

/// Where a loader stands in its data.
public struct LoaderPosition: Codable, Equatable, Sendable {
    /// Epochs finished.
    public var epoch: Int
    /// Records of this epoch that were handed out or left out.
    public var index: Int
    /// Records looked at since the start.
    public var seen: Int
    /// Records left out since the start, by kind.
    public var rejected: [String: Int]
    /// Hash of the records and of their order; a position fits its own data alone.
    public var data: String
}

/// Endless samples from a collection of records, epoch after epoch, each in an order of its own.
///
/// Records are read, tiled and tokenised ahead of use by threads; what comes out, and in what order, depends on the
/// seed and the position alone. A record that cannot be used is noted in the ledger and the next one takes its
/// place. Any position can be gone to at once.
public final class SampleLoader {
    /// How a loader works.
    public struct Settings: Sendable {
        /// Decides the order of each epoch.
        public var seed: UInt64
        /// Whether each epoch has a random order; else that of the files.
        public var isShuffled: Bool
        /// Threads; 0 does the work when it is asked for.
        public var workers: Int
        /// Samples that may wait, at least one for each thread.
        public var prefetch: Int
        /// Bytes of tiled pictures kept in memory.
        public var cacheBytes: Int
        /// Share of records that may be left out.
        public var maxRejectedShare: Double
        /// This process: it reads the records whose number since the start is `rank` modulo `world`.
        public var rank: Int
        /// Processes that share the records.
        public var world: Int

        public init(
            seed: UInt64 = 0, isShuffled: Bool = true, workers: Int = 1, prefetch: Int = 16,
            cacheBytes: Int = 256 << 20, maxRejectedShare: Double = 0.05, rank: Int = 0,
            world: Int = 1
        ) {
            self.seed = seed
            self.isShuffled = isShuffled
            self.workers = workers
            self.prefetch = prefetch
            self.cacheBytes = cacheBytes
            self.maxRejectedShare = maxRejectedShare
            self.rank = rank
            self.world = world
        }
    }

    /// How it works.
    public let settings: Settings
    /// Records in an epoch, those that will be left out included.
    public let count: Int
    /// What was left out so far.
    public private(set) var ledger: RejectionLedger

    private let fingerprint: String
    private let cache: PictureCache
    private let work: @Sendable (Int) -> Result<Sample, Rejection>
    private var workers: OrderedWorkers<Result<Sample, Rejection>>?
    /// Records looked at since the start, by all processes together.
    private var ticket = 0
    private var rejectedInARow = 0

    /// A loader at the start of its data; throws where there is none.
    public init(
        _ records: RecordCollection, builder: SampleBuilder, settings: Settings = Settings()
    ) throws {
        guard records.count > 0 else {
            throw CorpusError.setting(name: "records", problem: "the record files hold no records")
        }
        guard settings.world >= 1, (0..<settings.world).contains(settings.rank) else {
            throw CorpusError.setting(
                name: "rank",
                problem: "\(settings.rank) is not below the world of \(settings.world)")
        }
        self.settings = settings
        count = records.count
        ledger = RejectionLedger(maxShare: settings.maxRejectedShare)
        cache = PictureCache(capacity: settings.cacheBytes)
        fingerprint = String(
            stableHash("\(settings.seed)/\(settings.isShuffled)/\(records.fingerprint)"), radix: 16)
        work = { [cache, count] ticket in
            let global = ticket * settings.world + settings.rank
            let (epoch, place) = global.quotientAndRemainder(dividingBy: count)
            let index =
                settings.isShuffled
                ? SeededPermutation(
                    count: count, seed: stableHash("epoch/\(epoch)", seed: settings.seed))[place]
                : place
            let (file, position) = records.location(of: index)
            let record: Record
            do throws(Rejection) {
                record = try file.record(at: position)
            } catch {
                return .failure(error)
            }
            do {
                return .success(try builder.sample(record, epoch: epoch, cache: cache))
            } catch let problem as RecordProblem {
                return .failure(problem.rejection(file: file.path, index: position, id: record.id))
            } catch {
                return .failure(
                    Rejection(
                        file: file.path, index: position, id: record.id, kind: .unreadablePicture,
                        reason: "\(error)"))
            }
        }
    }

    /// The next `count` samples, for a loader that shares its records with no other.
    ///
    /// - Throws: ``CorpusError/tooManyRejected(_:)`` when more records than allowed cannot be used.
    public func next(_ count: Int) throws -> [Sample] {
        guard settings.world == 1 else {
            fatalError(
                "SampleLoader: \(settings.world) processes share the records: call share(of:exchange:)"
            )
        }
        return try share(of: count) { [$0] }.map(\.sample)
    }

    /// This process' part of the next `count` samples of all processes, each with its place among them.
    ///
    /// Record number n goes to process n mod `world`, and all agree on the records that cannot be used: so the
    /// samples and their places are those of a single process, whatever the number of processes is. Every process
    /// has to call it with the same `count`.
    ///
    /// - Parameter exchange: gives the bytes of all processes, in the order of their ranks, for this one's.
    /// - Throws: as ``next(_:)``, alike in every process.
    public func share(
        of count: Int, exchange: ([UInt8]) throws -> [[UInt8]]
    ) throws -> [(place: Int, sample: Sample)] {
        var found: [(number: Int, sample: Sample)] = []
        var unusable: [Refusal] = []
        let first = ticket
        var missing = count
        while missing > 0 {
            var own: [Refusal] = []
            for number in ticket..<ticket + missing where number % settings.world == settings.rank {
                switch try result() {
                case .success(let sample): found.append((number, sample))
                case .failure(let rejection):
                    own.append(Refusal(number: number, rejection: rejection))
                }
            }
            let refusals = try agreed(own, exchange)
            let numbers = ticket..<ticket + missing
            ticket = numbers.upperBound
            try note(numbers, refusals)
            // As many more records as were left out: exactly those that one process would go on to.
            missing = refusals.count
            unusable += refusals
        }
        return found.map { number, sample in
            let before = unusable.count { $0.number < number }
            return (number - first - before, sample)
        }
    }

    /// A record that cannot be used, by its number since the start.
    private struct Refusal: Codable {
        let number: Int
        let rejection: Rejection
    }

    /// The refusals of all processes, in the order of the records.
    private func agreed(
        _ own: [Refusal], _ exchange: ([UInt8]) throws -> [[UInt8]]
    ) throws -> [Refusal] {
        guard settings.world > 1 else { return own }
        let all = try exchange(own.isEmpty ? [] : Array(JSONEncoder().encode(own)))
        return try all.filter { !$0.isEmpty }
            .flatMap { try JSONDecoder().decode([Refusal].self, from: Data($0)) }
            .sorted { $0.number < $1.number }
    }

    /// Enters records into the ledger, in order.
    private func note(_ numbers: Range<Int>, _ refusals: [Refusal]) throws {
        var rest = refusals[...]
        for number in numbers {
            guard let next = rest.first, next.number == number else {
                ledger.accept()
                rejectedInARow = 0
                continue
            }
            rest = rest.dropFirst()
            try ledger.reject(next.rejection)
            rejectedInARow += 1
            guard rejectedInARow < count else {
                throw CorpusError.tooManyRejected(
                    "none of \(count) records can be used (\(ledger.summary)); the last: \(next.rejection)"
                )
            }
        }
    }

    /// What became of this process' next record.
    private func result() throws -> Result<Sample, Rejection> {
        let workers = workers ?? start()
        guard let result = workers.next() else {
            throw CorpusError.setting(name: "records", problem: "the loader has ended")
        }
        return result
    }

    private func start() -> OrderedWorkers<Result<Sample, Rejection>> {
        let started = OrderedWorkers(
            count: settings.workers, ahead: max(settings.prefetch, settings.workers),
            // The first of this process' records that is not behind.
            from: (ticket - settings.rank + settings.world - 1) / settings.world, work: work)
        workers = started
        return started
    }

    /// Where the samples handed out so far end; those prefetched do not count.
    public var place: LoaderPosition {
        let (epoch, index) = ticket.quotientAndRemainder(dividingBy: count)
        return LoaderPosition(
            epoch: epoch, index: index, seen: ledger.seen,
            rejected: Dictionary(
                uniqueKeysWithValues: ledger.counts.map { ($0.key.rawValue, $0.value) }),
            data: fingerprint)
    }

    /// Goes to a position that a loader of the same records and seed had.
    public func seek(to position: LoaderPosition) throws {
        guard position.data == fingerprint else {
            throw CorpusError.setting(
                name: "position",
                problem:
                    "belongs to other records or another seed; resume with the data the run began with"
            )
        }
        let global = position.epoch * count + position.index
        guard position.epoch >= 0, (0..<count).contains(position.index) else {
            throw CorpusError.setting(
                name: "position",
                problem:
                    "epoch \(position.epoch), record \(position.index) is no place among \(count) records"
            )
        }
        workers = nil
        ticket = global
        rejectedInARow = 0
        let counts = position.rejected.compactMap { entry in
            RejectionKind(rawValue: entry.key).map { ($0, entry.value) }
        }
        ledger = RejectionLedger(maxShare: settings.maxRejectedShare)
        ledger.restore(seen: position.seen, counts: Dictionary(uniqueKeysWithValues: counts))
    }

    /// The position as JSON, for a checkpoint.
    public func position() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return [UInt8](try encoder.encode(place))
    }

    /// Goes to a position as JSON.
    public func seek(_ position: [UInt8]) throws {
        guard let place = try? JSONDecoder().decode(LoaderPosition.self, from: Data(position))
        else {
            throw CorpusError.setting(name: "position", problem: "is not a data position")
        }
        try seek(to: place)
    }
}
