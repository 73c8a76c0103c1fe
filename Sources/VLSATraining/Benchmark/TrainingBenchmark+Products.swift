import Foundation
import Torch
import TorchNN
import VLSA

extension TrainingBenchmark {
    /// What the matrix products of a step take alone: the time below which no way of doing the rest can bring it.
    public struct ProductResult: Encodable, Sendable {
        public let work = "products"
        public let size: String
        public let stage: Int
        public let batch: Int
        /// Seconds of the products with weights, forward.
        public let forward: Double
        /// Seconds of their derivatives with respect to inputs.
        public let inputs: Double
        /// Seconds of their derivatives with respect to weights.
        public let weights: Double
        /// Seconds of the attentions' products at the others' rate.
        public let attention: Double
        /// Seconds of all.
        public let total: Double
        /// Operations of the products with weights by their seconds, 10^12 per second.
        public let rate: Double

        enum CodingKeys: String, CodingKey {
            case work, size, stage, batch
            case forward = "forward_s"
            case inputs = "input_derivatives_s"
            case weights = "weight_derivatives_s"
            case attention = "attention_s"
            case total = "step_s"
            case rate = "tflop_per_s"
        }
    }

    /// Times a product of each shape, `steps` times over, and counts each as often as a step has it.
    public func products() throws -> ProductResult {
        let folder = temporaryFolder
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let model = try size.model(in: folder, device: .meta)
        model.store.train(stage.parts)
        let samples = try samples(for: model)
        let extent = StageExtent(
            pictures: batch, tiles: batch * Self.tiles, lengths: samples.map(\.tokenCount),
            predictions: model.counts(samples)["text"] ?? 0)
        let parts = model.work(for: extent).filter { $0.part != "latents" }
        var counts: [WorkProduct: Int] = [:]
        for product in parts.flatMap(\.products) { counts[product, default: 0] += 1 }
        TorchRuntime.threads = ProcessInfo.processInfo.activeProcessorCount
        var (forward, inputs, weights, operations) = (0.0, 0.0, 0.0, 0.0)
        for (product, count) in counts {
            let x = Tensor.ones([product.rows, product.inWidth]).to(.bfloat16)
            let w = Tensor.ones([product.outWidth, product.inWidth]).to(.bfloat16)
            let g = Tensor.ones([product.rows, product.outWidth]).to(.bfloat16)
            let work = 2 * Double(x.count) * Double(product.outWidth) * Double(count)
            forward += Double(count) * seconds { x.linear(w) }
            operations += work
            if product.passesDerivative {
                inputs += Double(count) * seconds { g.matmul(w) }
                operations += work
            }
            if product.trainsWeight {
                weights += Double(count) * seconds { g.transposed(0, 1).matmul(x) }
                operations += work
            }
        }
        let rate = operations / (forward + inputs + weights)
        let attention = parts.reduce(0) { $0 + $1.attention } / rate
        return ProductResult(
            size: size.rawValue, stage: stage.rawValue, batch: batch, forward: forward,
            inputs: inputs, weights: weights, attention: attention,
            total: forward + inputs + weights + attention, rate: rate / 1e12)
    }

    /// The median time of `body`, after one that is not measured.
    private func seconds(_ body: () -> Tensor) -> Double {
        let times = (0...steps).map { _ in
            let start = ContinuousClock.now
            _ = body()
            return start.duration(to: .now) / .seconds(1)
        }.dropFirst().sorted()
        return times[times.count / 2]
    }
}
