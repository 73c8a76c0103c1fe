import Testing

@testable import Torch

/// What differs on a GPU: transfers, generators, and the update of many weights at once.
@Suite(.enabled(if: Device.hasCUDA)) struct CUDATests {
    @Test func productsAgreeWithTheCPU() {
        let generator = Generator(seed: 1)
        let (a, b) = (
            Tensor.normal([64, 32], generator: generator),
            Tensor.normal([32, 16], generator: generator)
        )
        let product = a.to(.cuda()).matmul(b.to(.cuda()))
        #expect(product.device == .cuda())
        expectClose(product.to(.cpu), a.matmul(b), absolute: 1e-4)
        Device.cuda().synchronize()
    }

    @Test func generatorsDrawOnTheirDeviceAndContinue() {
        let generator = Generator(seed: 3, device: .cuda())
        let first = Tensor.normal([100], generator: generator)
        #expect(first.device == .cuda())
        let state = generator.state
        let next = Tensor.uniform([100], generator: generator).floats()
        generator.state = state
        #expect(Tensor.uniform([100], generator: generator).floats() == next)
    }

    @Test(arguments: [DType.float32, .bfloat16])
    func theUpdateAgreesWithTheCPU(_ dtype: DType) {
        func updated(_ device: Device) -> [Tensor] {
            let generator = Generator(seed: 5)
            let weight = Tensor.normal([1000], generator: generator).to(dtype).to(device)
            let gradient = Tensor.normal([1000], generator: generator).to(dtype).to(device)
            let master = dtype == .float32 ? nil : weight.to(.float32)
            let moments = (0..<2).map { _ in Tensor.zeros([1000], device: device) }
            for step in 1...3 {
                updateAdamW(
                    AdamWSettings(
                        rate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.1, step: step),
                    weights: [weight], gradients: [gradient], masters: [master],
                    firstMoments: [moments[0]], secondMoments: [moments[1]])
            }
            return ([master ?? weight] + moments).map { $0.to(.cpu) }
        }
        for (a, b) in zip(updated(.cuda()), updated(.cpu)) { expectClose(a, b, absolute: 1e-5) }
    }
}
