import Foundation
import Testing

@testable import Torch

@Suite struct GradientCheckpointTests {
    private struct Layers {
        let x: Tensor
        let first: Tensor
        let second: Tensor
        let frozen: Tensor

        init() {
            let generator = Generator(seed: 3)
            x = .normal([5, 4], generator: generator)
            first = .normal([8, 4], generator: generator)
            second = .normal([4, 8], generator: generator)
            frozen = .normal([4], generator: generator)
            for leaf in [x, first, second] { leaf.requiresGradient = true }
        }

        /// A loss through three segments that share a weight, the middle one with two results.
        func loss(isCheckpointed: Bool) -> Tensor {
            func run(
                _ inputs: [Tensor], _ results: Int, _ body: @escaping ([Tensor]) -> [Tensor]
            ) -> [Tensor] {
                isCheckpointed ? checkpointed(inputs, results: results, body) : body(inputs)
            }
            let (first, second, frozen) = (first, second, frozen)
            let a = run([x * 2], 1) { [$0[0].linear(first).tanh().linear(second)] }
            let b = run([a[0], x], 2) { inputs in
                let wide = (inputs[0] + inputs[1]).linear(first).gelu()
                return [wide, inputs[1] * frozen]
            }
            let c = run([b[0]], 1) { [$0[0].square().linear(second)] }
            return (c[0] * b[1]).sum()
        }

        var gradients: [[UInt8]] { [x, first, second].map { $0.gradient?.bytes() ?? [] } }
    }

    @Test func gradientsAreThoseOfThePlainCallToTheBit() {
        let (plain, checked) = (Layers(), Layers())
        let (a, b) = (plain.loss(isCheckpointed: false), checked.loss(isCheckpointed: true))
        #expect(a.detached().bytes() == b.detached().bytes())
        a.backward()
        b.backward()
        #expect(plain.gradients == checked.gradients)
        #expect(checked.frozen.gradient == nil)
        #expect(plain.gradients.allSatisfy { !$0.isEmpty })
    }

    @Test func gradientsOfChosenInputsTouchNoLeaf() throws {
        let layers = Layers()
        let found = layers.loss(isCheckpointed: true).gradients(of: [layers.first])
        #expect(layers.gradients.allSatisfy { $0.isEmpty })
        let plain = Layers()
        plain.loss(isCheckpointed: false).backward()
        #expect(try #require(found[0]).bytes() == plain.gradients[1])
    }

    @Test func aSegmentRunsAgainOnlyForADerivative() {
        final class Count { var calls = 0 }
        let layers = Layers()
        let count = Count()
        weak var held: Count?
        do {
            let watched = Count()
            held = watched
            let body: ([Tensor]) -> [Tensor] = { inputs in
                watched.calls += 1
                count.calls += 1
                return [inputs[0].square()]
            }
            let out = checkpointed([layers.x], body)[0]
            #expect(count.calls == 1 && out.requiresGradient)
            out.sum().backward()
            #expect(count.calls == 2)
            let frozen = checkpointed([layers.frozen], body)[0]
            #expect(!frozen.requiresGradient)
            _ = withoutGradients { checkpointed([layers.x], body) }
            #expect(count.calls == 4)
        }
        // Nothing holds the closure when the graph is gone.
        #expect(held == nil)
    }

    /// Sixteen layers on a megabyte of values: what they compute is not there between the passes.
    @Test func intermediateValuesAreNotKept() async {
        await #expect(processExitsWith: .success) {
            TorchRuntime.threads = 1
            let weight = Tensor.normal([128, 128], generator: Generator(seed: 1)) * 0.05
            weight.requiresGradient = true
            let start = Tensor.ones([2048, 128])
            func growth(isCheckpointed: Bool) -> Int {
                let before = TorchRuntime.hostMemory.used
                var x = start
                for _ in 0..<16 {
                    x = checkpointed(x, when: isCheckpointed) {
                        ($0 + $0.linear(weight).gelu().linear(weight).tanh().square()).sigmoid()
                    }
                }
                let held = TorchRuntime.hostMemory.used - before
                x.sum().backward()
                return held
            }
            _ = growth(isCheckpointed: true)
            let (checked, plain) = (
                growth(isCheckpointed: true), growth(isCheckpointed: false)
            )
            // Of a layer, its input; else what gelu comes from, what tanh gives and what sigmoid gives.
            exit(plain > 46 << 20 && checked < 18 << 20 ? 0 : 1)
        }
    }
}
