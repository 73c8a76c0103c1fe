import Corpus
import Foundation
import Testing
import Torch
import VLSA

@testable import VLSATraining

@Suite struct MicroBatchTests {
    @Test func samplesAreCutByNumberOrByTokens() {
        let lengths = [5, 1, 7, 3, 3, 12, 2]
        let byNumber = BatchPlan(samples: 7, micro: 3).microBatches(of: lengths)
        #expect(byNumber == [[0, 1, 2], [3, 4, 5], [6]])
        let byTokens = BatchPlan(samples: 7, packed: true, tokens: 10).microBatches(of: lengths)
        #expect(byTokens == [[0, 4, 6], [1], [2, 3], [5]])
        #expect(BatchPlan(samples: 7, packed: true, tokens: 10).microBatches(of: []) == [])
    }

    @Test(arguments: 0..<20)
    func aCutByTokensKeepsEverySampleOnceWithinTheLimit(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let limit = Int.random(in: 5...40, using: &random)
        let lengths = (0..<Int.random(in: 1...30, using: &random)).map { _ in
            Int.random(in: 1...50, using: &random)
        }
        let parts = BatchPlan(samples: lengths.count, packed: true, tokens: limit)
            .microBatches(of: lengths)
        #expect(parts.joined().sorted() == Array(lengths.indices))
        for part in parts {
            let length = part.reduce(0) { $0 + lengths[$1] }
            #expect(length <= limit || part.count == 1)
            #expect(part == part.sorted())
        }
    }

    /// Samples of unequal numbers of supervised tokens, with both losses: however the batch is cut, padded or
    /// packed, the losses and the gradient are one batch's to 1e-6.
    @Test(
        arguments: [
            BatchPlan(samples: 4, micro: 1), BatchPlan(samples: 4, micro: 3),
            BatchPlan(samples: 4, packed: true), BatchPlan(samples: 4, packed: true, tokens: 60),
        ], [ObjectiveKind.reconstruction, .ross, .asvr])
    func theCutDoesNotShowInLossesOrGradient(_ plan: BatchPlan, _ kind: ObjectiveKind) throws {
        let files = try StageFiles()
        let parts = try StageParts(
            files.plan(
                ["data.augment=null", "batch.samples=4"]
                    + StageFiles.objective(kind, at: files.path)))
        let model = try parts.model(.plan)
        model.store.train(VLSAModel.parts)
        // ROSS' new denoiser passes no derivative on.
        for (name, tensor) in model.store.tensors(under: "ross") where name != "ross.pos_embed" {
            withoutGradients {
                tensor.add(Tensor.normal(tensor.shape, generator: Generator(seed: 1)), scaled: 0.1)
            }
        }
        let loader = try parts.loader(of: parts.data.records, for: model, isTraining: true)
        let samples = try loader.next(4)
        #expect(Set(samples.map(\.supervisedCount)).count > 1)
        #expect(plan.tokens == nil || plan.microBatches(of: samples.map(\.tokenCount)).count > 1)
        func gradient(_ plan: BatchPlan) throws -> (BatchLosses, [Tensor]) {
            model.packsSequences = plan.packed
            model.store.clearGradients()
            let batch = try model.batch(samples.enumerated().map { ($0, $1) }, plan: plan)
            let losses = try model.accumulateGradients(
                batch, step: 3, noise: SampleNoise(seed: 1, device: .cpu), lastCheckpoint: { nil })
            return (
                losses, model.store.trainable.map { $0.tensor.gradient ?? $0.tensor.zerosLike() }
            )
        }
        let whole = try gradient(BatchPlan(samples: 4))
        let cut = try gradient(plan)
        for (a, b) in zip(cut.0.means, whole.0.means) {
            #expect(a.name == b.name && abs(a.value - b.value) < 1e-6 * b.value)
        }
        let size = totalNorm(whole.1).item()
        let difference = totalNorm(zip(cut.1, whole.1).map { $0 - $1 }).item()
        #expect(size > 0 && difference < 1e-6 * size, "\(difference) of \(size)")
    }
}
