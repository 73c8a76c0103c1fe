import Corpus
import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// How a training step is run may change its cost, never what it computes.
@Suite struct TrainingForwardTests {
    /// A model away from its zero-initialised start, all of it trained.
    private func model() throws -> VLSAModel {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        model.store.train(VLSAModel.parts)
        return model
    }

    private func generators(_ samples: [Sample], from first: Int = 0) -> [Generator] {
        samples.indices.map { Generator(seed: UInt64(first + $0)) }
    }

    /// Both losses, and the gradient of their sum by name.
    private func trained(
        _ model: VLSAModel, _ samples: [Sample]
    ) throws -> (losses: [Double], gradients: [String: [Float]]) {
        model.store.clearGradients()
        let losses = try model.losses(samples, generators: generators(samples))
        let (text, visual) = (try #require(losses.text), try #require(losses.visual))
        (text + visual).backward()
        let gradients = model.store.tensors().compactMap { name, tensor in
            tensor.gradient.map { (name, $0.floats()) }
        }
        return (
            [text.item(), visual.item()], Dictionary(uniqueKeysWithValues: gradients)
        )
    }

    /// Parameters whose gradient is further from `expected` than `tolerance` of its largest value.
    private func strays(
        _ found: [String: [Float]], _ expected: [String: [Float]], tolerance: Float
    ) -> [String] {
        guard found.keys.sorted() == expected.keys.sorted() else { return ["other names"] }
        return expected.keys.sorted().filter { name in
            let (a, b) = (found[name] ?? [], expected[name] ?? [])
            let error = zip(a, b).map { abs($0 - $1) }.max() ?? 0
            return a.count != b.count || error > tolerance * max(b.map(abs).max() ?? 0, 1e-2)
        }
    }

    /// To the bit, but for the denoiser: its blocks share an input, whose gradients add up in another order.
    @Test(arguments: CheckpointedPart.allCases.map { [$0] } + [CheckpointedPart.allCases])
    func checkpointedPartsHaveTheSameGradients(_ parts: [CheckpointedPart]) throws {
        let model = try model()
        let samples = try TinyStack.samples(model)
        let plain = try trained(model, samples)
        model.checkpointedParts = Set(parts)
        let checked = try trained(model, samples)
        #expect(checked.losses == plain.losses)
        let isExact = !parts.contains(.denoiser)
        let found = strays(
            checked.gradients, plain.gradients, tolerance: isExact ? 0 : 1e-5)
        #expect(found == [])
    }

    @Test func frozenPartsMayBeCheckpointedToo() throws {
        let model = try model()
        model.store.train(["perceiver", "epigone"])
        let samples = try TinyStack.samples(model)
        let plain = try trained(model, samples)
        model.checkpointedParts = Set(CheckpointedPart.allCases)
        let checked = try trained(model, samples)
        let found = strays(checked.gradients, plain.gradients, tolerance: 1e-5)
        #expect(found == [])
        let isOther = { (name: String) in
            !["perceiver", "epigone"].contains(name.prefix { $0 != "." })
        }
        let others = checked.gradients.keys.filter(isOther)
        #expect(others == [])
    }

    /// Every sample's text loss, and the gradient of it, as if the others were not there.
    @Test(arguments: [false, true], [false, true])
    func packedOrPaddedASampleLosesWhatItLosesAlone(packs: Bool, isCheckpointed: Bool) throws {
        let model = try model()
        let samples = try TinyStack.samples(model)
        #expect(Set(samples.map(\.tokenCount)).count == 3)
        var alone: (losses: [Double], gradients: [String: [Float]]) = ([0, 0], [:])
        for (index, sample) in samples.enumerated() {
            model.store.clearGradients()
            let losses = try model.losses(
                [sample], generators: generators([sample], from: index))
            let total = [losses.text, losses.visual].compactMap { $0 }
            for (place, loss) in [losses.text, losses.visual].enumerated() {
                alone.losses[place] += loss?.item() ?? 0
            }
            total.dropFirst().reduce(total[0]) { $0 + $1 }.backward()
            for (name, tensor) in model.store.tensors() {
                guard let values = tensor.gradient?.floats() else { continue }
                alone.gradients[name] =
                    alone.gradients[name].map {
                        zip($0, values).map { $0 + $1 }
                    } ?? values
            }
        }
        model.packsSequences = packs
        if isCheckpointed { model.checkpointedParts = [.language] }
        let together = try trained(model, samples)
        for (a, b) in zip(together.losses, alone.losses) { #expect(abs(a - b) < 1e-6 * b) }
        let found = strays(together.gradients, alone.gradients, tolerance: 1e-5)
        #expect(found == [])
    }

    @Test func packedLogitsAreThoseOfTheSampleAlone() throws {
        let model = try model()
        let samples = try TinyStack.samples(model)
        func logits(_ samples: [Sample], _ arrangement: PromptBatch.Arrangement) throws -> Tensor {
            try withoutGradients {
                let pictures = samples.flatMap(\.pictures)
                let batch = try PromptBatch(
                    prompts: samples.map { sample in
                        (
                            sample.ids, sample.isSupervised,
                            sample.pictures.map { _ in model.visualTokenCount }
                        )
                    }, names: samples.map(\.recordID), arrangement: arrangement)
                let seen = pictures.isEmpty ? nil : model.see(pictures).tokens
                let hidden = model.language(
                    batch.embeddings(in: model.language, visual: seen, device: .cpu),
                    layout: batch.layout)
                return model.language.logits(hidden)
            }
        }
        let packed = try logits(samples, .packed)
        let padded = try logits(samples, .padded)
        #expect(packed.shape[0] == 1 && padded.shape[0] == 3)
        var start = 0
        for (row, sample) in samples.enumerated() {
            let length = sample.tokenCount
            let alone = try logits([sample], .padded)[0].floats()
            let together = packed.narrowed(axis: 1, start: start, length: length)[0].floats()
            let beside = padded[row].narrowed(axis: 0, start: 0, length: length).floats()
            let errors = [together, beside].map { zip($0, alone).map { abs($0 - $1) }.max() ?? 1 }
            #expect(alone.count == together.count && errors.allSatisfy { $0 < 1e-5 }, "\(errors)")
            start += length
        }
        #expect(start == packed.shape[1])
    }
}
