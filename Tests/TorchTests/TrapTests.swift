import Testing

@testable import Torch

@Suite struct TrapTests {
    /// Runs `body` in a process of its own, which must end with a message that has all of `words`.
    private func expectMessage(
        _ result: ExitTest.Result?, _ words: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        for word in words where !text.contains(word) {
            Issue.record(
                "\"\(word)\" is not in: \(text.prefix(400))", sourceLocation: sourceLocation)
        }
    }

    @Test func matmulNamesBothShapes() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2, 3]).matmul(.zeros([4, 5]))
        }
        expectMessage(result, "matmul: [2, 3] x [4, 5]")
    }

    @Test func mixedTypesAreNamed() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2, 3]).matmul(.zeros([3, 5], dtype: .bfloat16))
        }
        expectMessage(result, "matmul: [2, 3] float32 cpu x [3, 5] bfloat16 cpu")
    }

    @Test func additionNamesBothShapes() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2, 3]) + Tensor.zeros([2, 4])
        }
        expectMessage(result, "+: [2, 3] x [2, 4]")
    }

    @Test func reshapingNamesBothShapes() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2, 3]).reshaped([4, 2])
        }
        expectMessage(result, "reshaped: [2, 3] to [4, 2]")
    }

    @Test func aRangeOutsideItsAxisTraps() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2, 3])[.all, 1..<4]
        }
        expectMessage(result, "subscript: [2, 3]", "range 1..<4 is outside axis 1 of length 3")
    }

    @Test func copyingBetweenDifferentShapesTraps() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            Tensor.zeros([2, 3]).copy(from: .zeros([3]))
        }
        expectMessage(result, "copy: [2, 3] x [3]")
    }

    @Test func tooFewValuesTrap() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor([1, 2, 3] as [Float], shape: [2, 2])
        }
        expectMessage(result, "3 values for shape [2, 2]")
    }

    @Test func runningOutOfMemorySaysSo() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.uninitialized([1 << 50])
        }
        expectMessage(result, "uninitialized: out of memory: [1125899906842624]")
    }

    @Test(.enabled(if: !Device.hasCUDA)) func aMissingDeviceIsNamed() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = Tensor.zeros([2], device: .cuda(3))
        }
        expectMessage(result, "there is no CUDA device 3")
    }

    @Test func backwardThroughNothingTraps() async {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            Tensor.zeros([]).backward()
        }
        expectMessage(result, "backward: []")
    }
}
