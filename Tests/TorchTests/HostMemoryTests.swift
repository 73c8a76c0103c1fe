import CTorch
import Foundation
import Testing

@testable import Torch

/// In processes of their own, since other tests take memory meanwhile.
@Suite struct HostMemoryTests {
    @Test func freedMemoryServesTheNextTensor() async {
        await #expect(processExitsWith: .success) {
            func make() -> UnsafeMutableRawPointer? {
                let tensor = Tensor.zeros([16 << 20])
                guard TorchRuntime.hostMemory.used >= 64 << 20 else { return nil }
                return ct_data(tensor.handle)
            }
            guard let first = make(), TorchRuntime.hostMemory.used == 0,
                TorchRuntime.hostMemory.kept >= 64 << 20, make() == first
            else { exit(1) }
            TorchRuntime.releaseHostMemory()
            guard TorchRuntime.hostMemory.kept == 0 else { exit(2) }
        }
    }

    @Test func neighboursAreJoinedAndNothingOverlaps() async {
        await #expect(processExitsWith: .success) {
            var kept: [(tensor: Tensor, value: Float)] = []
            var state: UInt64 = 1
            for step in 0..<400 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                if kept.count > 12 { kept.remove(at: Int(state >> 40) % kept.count) }
                let count = 70_000 + Int(state >> 33) % 2_000_000
                kept.append((Tensor.full([count], Double(step)), Float(step)))
            }
            for (tensor, value) in kept {
                guard tensor.min().item() == Double(value), tensor.max().item() == Double(value)
                else { exit(1) }
            }
            kept = []
            TorchRuntime.releaseHostMemory()
            // All pieces were joined to whole segments again, else they could not have been given back.
            guard TorchRuntime.hostMemory == (0, 0) else { exit(2) }
        }
    }
}
