import Foundation
import Testing
import Torch
import TorchNN
import VLSA

@testable import VLSATraining

@Suite struct TrainingBenchmarkTests {
    /// What `Benchmarks/peer.py` counts for the model and the stages.
    private static let published: [(BenchmarkSize, perceive: Int, detail: Int, instruct: Int)] = [
        (.tiny, 383_680, 12_351_744, 18_875_904), (.small, 1_603_456, 54_822_848, 150_357_568),
        (.medium, 5_122_432, 343_500_224, 663_349_696),
    ]

    @Test(arguments: published)
    func trainsAsManyParametersAsTheOtherSide(
        size: BenchmarkSize, perceive: Int, detail: Int, instruct: Int
    ) throws {
        let folder = try TemporaryFolder()
        let store = try size.model(in: folder.path, device: .meta).store
        for (stage, count) in zip(TrainingBenchmark.Stage.allCases, [perceive, detail, instruct]) {
            #expect(store.train(stage.parts).isEmpty)
            #expect(store.trainable.reduce(0) { $0 + $1.tensor.count } == count, "stage \(stage)")
        }
    }

    /// The step's products are those that its operations are counted from.
    @Test func productsMakeUpTheOperations() throws {
        let folder = try TemporaryFolder()
        let model = try BenchmarkSize.tiny.model(in: folder.path, device: .meta)
        model.store.train(TrainingBenchmark.Stage.detail.parts)
        let extent = StageExtent(pictures: 2, tiles: 8, lengths: [160, 160], predictions: 68)
        for part in model.work(for: extent) {
            var sum = part.attention
            for product in part.products {
                let one = 2.0 * Double(product.rows * product.inWidth * product.outWidth)
                sum +=
                    one * (1 + (product.trainsWeight ? 1 : 0) + (product.passesDerivative ? 1 : 0))
            }
            let expected = part.forward + part.backward
            #expect(abs(sum - expected) <= expected * 1e-12, "\(part.part)")
        }
    }
}
