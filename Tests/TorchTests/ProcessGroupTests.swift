import Foundation
import GoldenSupport
import Synchronization
import Testing

@testable import Torch

/// Threads stand for processes here; `ProcessesTests` of the training has processes.
@Suite struct ProcessGroupTests {
    private static func group(
        _ rank: Int, of size: Int, port: UInt16, timeout: Double = 20
    ) throws -> ProcessGroup {
        try ProcessGroup(
            rank: rank, size: size, at: .init(host: "127.0.0.1", port: port), timeout: timeout)
    }

    @Test(arguments: [2, 3])
    func collectivesAreThoseOfTheWholeSet(size: Int) {
        let port = freePort()
        inThreads(size) { rank in
            do {
                let group = try Self.group(rank, of: size, port: port)
                for dtype in [DType.float32, .float64, .int64] {
                    let sum = (Tensor.arange(7) * Double(rank + 1)).to(dtype)
                    try group.sum(sum)
                    let total = Double(size * (size + 1) / 2)
                    #expect(sum.doubles() == (0..<7).map { Double($0) * total })
                }
                let parts = Tensor.arange(4 * size).to(.float32) + Double(rank)
                let part = try group.scatteredSum(parts)
                let ranks = size * (size - 1) / 2
                #expect(
                    part.ints() == (0..<4).map { (rank * 4 + $0) * size + ranks }, "\(part)")
                for dtype in [DType.bfloat16, .float16, .float32, .uint8] {
                    let own = Tensor([2 * rank, 2 * rank + 1], shape: [2]).to(dtype)
                    #expect(try group.gathered(own).ints() == Array(0..<2 * size))
                }
                let bytes = [UInt8](repeating: UInt8(rank), count: 1000 * rank)
                let all = try group.gathered(bytes)
                #expect(all.map(\.count) == (0..<size).map { 1000 * $0 })
                #expect(all[rank] == bytes && all[size - 1].last == UInt8(size - 1))
                #expect(try group.gathered([UInt8]()) == Array(repeating: [], count: size))
            } catch {
                Issue.record(error)
            }
        }
    }

    /// The one that went is named by all others, in a larger set also by those that do not wait for it.
    @Test func aLostProcessIsNamed() {
        let port = freePort()
        inThreads(4) { rank in
            do {
                let group = try Self.group(rank, of: 4, port: port)
                try group.sum(Tensor([1], shape: [1]))
                if rank == 2 { return }  // the group goes, and with it its connections
                let error = #expect(throws: ProcessGroupError.self) {
                    for _ in 0..<3 { try group.sum(Tensor.zeros([100_000])) }
                }
                guard case .lost(let ranks, let size, _, _) = error else {
                    Issue.record("\(error as Any)")
                    return
                }
                #expect(ranks == [2] && size == 4)
                #expect(error?.description.contains("process 2 of 4 ended") == true)
                #expect(error?.description.contains("--resume") == true)
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test func aProcessThatDoesNotAnswerIsGivenUp() {
        let port = freePort()
        inThreads(2) { rank in
            do {
                let group = try Self.group(rank, of: 2, port: port, timeout: 2)
                if rank == 1 { return Thread.sleep(forTimeInterval: 6) }
                let start = ContinuousClock.now
                let error = #expect(throws: ProcessGroupError.self) {
                    try group.sum(Tensor.zeros([10]))
                }
                #expect(error?.description.contains("process 1 of 2") == true)
                #expect(error?.description.contains("did not answer within 2 s") == true)
                #expect(start.duration(to: .now) < .seconds(15))
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test func processesThatDoNotComeAreNamed() {
        let port = freePort()
        let error = #expect(throws: ProcessGroupError.self) {
            try Self.group(0, of: 3, port: port, timeout: 1)
        }
        #expect(
            error
                == .missing(
                    ranks: [1, 2], size: 3, address: "127.0.0.1:\(port)", seconds: 1))
        let alone = #expect(throws: ProcessGroupError.self) {
            try Self.group(1, of: 2, port: freePort(), timeout: 1)
        }
        guard case .unreachable = alone else {
            Issue.record("\(alone as Any)")
            return
        }
    }

    @Test func aPortInUseIsRefused() {
        let texts = Self.failures(2, timeout: 3) { _ in 0 }
        #expect(texts.contains { $0.contains("process 1 of 2 did not come") }, "\(texts)")
        #expect(texts.contains { $0.contains("(address already in use)") }, "\(texts)")
    }

    @Test func aRankInUseIsRefused() {
        let texts = Self.failures(3, timeout: 3) { min($0, 1) }
        #expect(texts.count == 3)
        // Whoever looks before the second one came misses process 2.
        for text in texts {
            #expect(
                text.contains("came more than once") || text.contains("process 2 of 3 did not"),
                "\(text)")
        }
    }

    /// What keeps processes that come with wrong ranks from starting.
    private static func failures(
        _ size: Int, timeout: Double, rank: @escaping @Sendable (Int) -> Int
    ) -> [String] {
        let port = freePort()
        let texts = Mutex([String]())
        inThreads(size) { number in
            let error = #expect(throws: ProcessGroupError.self) {
                _ = try group(rank(number), of: size, port: port, timeout: timeout)
            }
            texts.withLock { $0.append(error?.description ?? "") }
        }
        return texts.withLock { $0 }
    }
}
