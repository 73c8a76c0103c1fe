import CFiles
import Foundation
import Synchronization
import Testing

@testable import Torch

@Suite struct HeldValuesTests {
    /// Crosses a tensor to a thread: it is only read there, under the held values' lock.
    private struct Handed: @unchecked Sendable {
        let tensors: [(String, Tensor)]
    }

    /// Whenever the tensors change while they are written, the file has what they were.
    @Test func filesHaveTheValuesOfTheMoment() throws {
        try withTemporaryFolder { folder in
            // Two buffers and a bit, a transposed one, and small ones.
            let tensors = [
                Tensor.zeros([2500, 1024]), Tensor.zeros([64, 32]).transposed(0, 1),
                Tensor.zeros([3], dtype: .bfloat16), Tensor.zeros([1 << 20]),
            ]
            let rounds = 30
            var took = 0.0
            for round in 0..<rounds {
                for tensor in tensors { tensor.fill(Double(round)) }
                let held = HeldValues()
                let handed = Handed(
                    tensors: tensors.enumerated().map { ("\($0)", held.hold($1)) })
                let path = "\(folder)/\(round).safetensors"
                let isDone = DispatchSemaphore(value: 0)
                let start = ContinuousClock.now
                // The first comes before the writing, the second after it, the others are spread over it.
                if round == 0 { held.settle() }
                Thread.detachNewThread {
                    do {
                        try held.writing { try SafetensorsFile.write(handed.tensors, to: path) }
                    } catch { Issue.record(error) }
                    isDone.signal()
                }
                if round == 1 {
                    isDone.wait()
                    took = start.duration(to: .now) / .seconds(1)
                } else {
                    usleep(UInt32(1e6 * took * Double(round) / Double(rounds)))
                }
                held.settle()
                for tensor in tensors { tensor.fill(-1) }
                if round != 1 { isDone.wait() }
                if round < 2 { #expect((held.copiedBytes > 0) == (round == 0)) }
                let file = try SafetensorsFile(path: path)
                for (index, tensor) in tensors.enumerated() {
                    let read = try file.tensor("\(index)").to(.float32).floats()
                    let isAsHeld =
                        read.count == tensor.count && read.allSatisfy { $0 == Float(round) }
                    #expect(isAsHeld, "round \(round), \(index)")
                }
                unlink(path)
            }
        }
    }

    @Test func onlyWhatChangesAndIsNotWrittenIsCopied() throws {
        try withTemporaryFolder { folder in
            let (first, second, frozen) = (
                Tensor.zeros([10]), Tensor.zeros([20]), Tensor.zeros([40])
            )
            let held = HeldValues()
            let handles = [
                held.hold(first), held.hold(second), held.hold(frozen, changes: false),
            ]
            try held.writing {
                try SafetensorsFile.write([("first", handles[0])], to: folder + "/1")
                held.settle()
                #expect(held.copiedBytes == 80)
                second.fill(7)
                frozen.fill(7)
                try SafetensorsFile.write(
                    [("second", handles[1]), ("frozen", handles[2])], to: folder + "/2")
                // What nobody holds might be half changed.
                #expect {
                    try SafetensorsFile.write([("first", first)], to: folder + "/3")
                } throws: { "\($0)".contains("a tensor of shape [10] was not held") }
            }
            let file = try SafetensorsFile(path: folder + "/2")
            #expect(try file.tensor("second").floats() == [Float](repeating: 0, count: 20))
            #expect(try file.tensor("frozen").floats() == [Float](repeating: 7, count: 40))
            held.settle()
            #expect(held.copiedBytes == 80)
        }
    }

    @Test func sumsAreThoseOfTheFiles() throws {
        try withTemporaryFolder { folder in
            let generator = Generator(seed: 1)
            let held = HeldValues()
            let tensors = [5, 1 << 20, (1 << 20) + 1].map {
                held.hold(.normal([$0], generator: generator))
            }
            try held.writing {
                for (index, tensor) in tensors.enumerated() {
                    try SafetensorsFile.write([("x", tensor)], to: "\(folder)/\(index)")
                }
            }
            #expect(held.written.count == 3)
            for (path, sum) in held.written {
                let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
                #expect(sum.bytes == bytes.count)
                #expect(sum.crc.value == CRC32C.checksum(bytes))
                #expect(
                    sum.crc.value
                        == bytes.withUnsafeBytes { crc32c_portable(0, $0.baseAddress, $0.count) })
            }
        }
    }
}

@Suite struct CRC32CTests {
    /// The processor's instruction, three stretches at once, and tables give the same, however bytes are cut and lie.
    @Test func bothWaysAgree() {
        var state = UInt64(1)
        let bytes = (0..<40_000).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(state >> 56)
        }
        bytes.withUnsafeBytes { all in
            for start in 0..<8 {
                for count in [0, 1, 7, 8, 63, 12_287, 12_288, 12_289, 24_576, 39_000] {
                    let part = all.baseAddress! + start
                    #expect(crc32c(7, part, count) == crc32c_portable(7, part, count))
                    let cut = count / 3
                    #expect(
                        crc32c(crc32c(0, part, cut), part + cut, count - cut)
                            == crc32c(0, part, count))
                }
            }
        }
    }
}
