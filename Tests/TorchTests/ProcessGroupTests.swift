import Foundation
import GoldenSupport
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
                let group = try Self.group(rank, of: 2, port: port, timeout: 1)
                if rank == 1 { return Thread.sleep(forTimeInterval: 5) }
                let start = ContinuousClock.now
                let error = #expect(throws: ProcessGroupError.self) {
                    try group.sum(Tensor.zeros([10]))
                }
                #expect(error?.description.contains("process 1 of 2") == true)
                #expect(error?.description.contains("did not answer within 1 s") == true)
                #expect(start.duration(to: .now) < .seconds(7))
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

    @Test func aPortInUseAndARankInUseAreRefused() {
        let port = freePort()
        inThreads(2) { rank in
            let error = #expect(throws: ProcessGroupError.self) {
                // The second waits until the first has the port.
                if rank == 1 { Thread.sleep(forTimeInterval: 0.3) }
                _ = try Self.group(0, of: 2, port: port, timeout: 1)
            }
            let text = error?.description ?? ""
            #expect(
                text.contains(rank == 0 ? "process 1 of 2 did not come" : "MASTER_PORT: "),
                "\(text)")
        }
        let other = freePort()
        inThreads(3) { rank in
            let error = #expect(throws: ProcessGroupError.self) {
                _ = try Self.group(min(rank, 1), of: 3, port: other, timeout: 1)
            }
            // Whoever looks before the second one came misses process 2.
            let text = error?.description ?? ""
            #expect(
                text.contains("came more than once") || text.contains("process 2 of 3"), "\(text)")
        }
    }
}
