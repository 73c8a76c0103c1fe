import AnyRes
import Codecs
import Corpus
import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// ASVR's visual head against the numbers of a small reference, and its targets.
@Suite struct ASVRTests {
    private let codes = Tensor([0, 1, 2, 4, 3, 0], shape: [2, 3])

    /// `0.3 sin(0.7 k + offset)` of every element k.
    private static func wave(_ shape: [Int], _ offset: Double) -> Tensor {
        Tensor(
            (0..<shape.reduce(1, *)).map { Float(0.3 * sin(0.7 * Double($0) + offset)) },
            shape: shape)
    }

    /// The reference's head: states of width 6, E = 4, two heads, D = 3, K = 5, C = 3, two layers.
    private func head() throws -> (
        entry: FeedForward, head: DepthTransformer, store: ParameterStore
    ) {
        let store = ParameterStore(seed: 1)
        func offer(_ name: String, _ shape: [Int], _ offset: Int) throws {
            try store.offer(name, Self.wave(shape, Double(offset)))
        }
        try offer("projector.0.weight", [4, 6], 1)
        try offer("projector.0.bias", [4], 2)
        try offer("projector.2.weight", [4, 4], 3)
        try offer("projector.2.bias", [4], 4)
        try offer("in_mlp_1.weight", [4, 3], 5)
        try offer("in_mlp_1.bias", [4], 6)
        for layer in 0..<2 {
            let (front, j) = ("head_transformer.\(layer).", 10 * layer)
            try offer(front + "self_attention.in_proj_weight", [12, 4], 10 + j)
            try offer(front + "self_attention.in_proj_bias", [12], 11 + j)
            try offer(front + "self_attention.out_proj.weight", [4, 4], 12 + j)
            try offer(front + "self_attention.out_proj.bias", [4], 13 + j)
            try offer(front + "linear1.weight", [8, 12], 14 + j)
            try offer(front + "linear2.weight", [4, 24], 15 + j)
        }
        for depth in 0..<3 {
            try offer("heads.\(depth).weight", [5, 4], 50 + depth)
            try offer("heads.\(depth).bias", [5], 60 + depth)
        }
        let projector = store.scope["projector"]
        let entry = FeedForward(
            first: try Linear(6, 4, in: projector[0]), second: try Linear(4, 4, in: projector[2]),
            activation: .gelu)
        let head = try DepthTransformer(
            width: 4, layerCount: 2, headCount: 2, depth: 3, codeCount: 5, codeWidth: 3,
            in: store.scope)
        try store.checkComplete()
        return (entry, head, store)
    }

    private var vectors: Tensor {
        Tensor.stacked(
            (0..<3).map { Self.wave([5, 3], 70 + Double($0)).rows(at: codes[.all, $0]) }, axis: 1)
    }

    private func expect(
        _ tensor: Tensor, _ values: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        expectClose(
            tensor.reshaped([-1]), Tensor(values.map(Float.init), shape: [values.count]),
            within: 2e-6, sourceLocation: sourceLocation)
    }

    @Test func goldenHead() throws {
        let (entry, head, _) = try head()
        let first = entry(Self.wave([2, 6], 80))
        expect(first[0], [-0.218818, -0.334004, -0.175930, -0.125961])
        expect(first[1], [-0.203026, -0.343854, -0.173160, -0.121330])
        let slots = head.slots(first, vectors: vectors)
        expect(slots[0, 1], [-0.192244, 0.316391, 0.181207, 0.185293])
        expect(slots[0, 2], [-0.086448, 0.121341, 0.272350, 0.288316])
        let one = head.layers[0](slots)
        expect(one[0, 0], [0.184857, -1.016722, 1.404856, -0.969203])
        expect(head.layers[1](one)[0, 2], [-0.595761, 0.889566, 1.544493, 0.721083])
        let read = head(first, vectors: vectors)
        expect(
            head.heads[0](read[0, 0].unsqueezed(0)),
            [-0.216893, -0.181203, -0.308856, -0.251143, 0.097675])
        expect(
            head.heads[2](read[1, 2].unsqueezed(0)),
            [-0.382298, -0.124866, 0.482944, -0.234101, 0.935894])
        for (place, losses) in [
            [1.664772, 2.915609, 1.359261], [1.354597, 2.558063, 2.258172],
        ].enumerated() {
            for (depth, expected) in losses.enumerated() {
                let found = Tensor.crossEntropy(
                    logits: head.heads[depth](read[place, depth].unsqueezed(0)),
                    targets: codes[place, depth].reshaped([1])
                ).item()
                #expect(abs(found - expected) < 2e-6)
            }
        }
        #expect(abs(head.loss(read, codes: codes).item() / 6 - 2.018412) < 2e-6)
    }

    /// A code tells only of the depths behind it, and a depth's feed-forward weights are its own.
    @Test func depthsAreCausal() throws {
        let (entry, head, store) = try head()
        func logits(_ vectors: Tensor) -> [[Float]] {
            let read = head(entry(Self.wave([2, 6], 80)), vectors: vectors)
            return (0..<3).map { head.heads[$0](read[.all, $0]).floats() }
        }
        let before = logits(vectors)
        for depth in 0..<3 {
            let changed = vectors.cloned()
            withoutGradients { changed[.all, depth].add(Tensor.ones([2, 3])) }
            let after = logits(changed)
            for other in 0..<3 { #expect((after[other] == before[other]) == (other <= depth)) }
        }
        let weight = try #require(store["head_transformer.0.linear1.weight"])
        withoutGradients { weight[.all, 4..<8].add(Tensor.ones([8, 4])) }
        let after = logits(vectors)
        #expect(after[0] == before[0] && after[1] != before[1] && after[2] != before[2])
    }

    /// What the published layer carries on is normed.
    @Test func aLayerThatAddsNothingGivesTheNorm() throws {
        let (_, head, store) = try head()
        for name in [
            "self_attention.out_proj.weight", "self_attention.out_proj.bias", "linear1.weight",
        ] {
            withoutGradients { store["head_transformer.0." + name]?.fill(0) }
        }
        let x = Self.wave([2, 3, 4], 7)
        expectClose(head.layers[0](x), x.rmsNorm(weight: nil, epsilon: 1e-6), within: 1e-6)
    }

    @Test func headsOfZerosCostTheLogarithmOfTheCodes() throws {
        let (_, head, store) = try head()
        for (_, tensor) in store.tensors(under: "heads") { withoutGradients { tensor.fill(0) } }
        let loss = head.loss(Self.wave([2, 3, 4], 3), codes: codes).item() / 6
        #expect(abs(loss - log(5)) < 1e-6)
    }

    @Test(arguments: [1, 3]) func derivativesAreTheSlopes(depth: Int) throws {
        let store = ParameterStore(dtype: .float64, seed: 3)
        let head = try DepthTransformer(
            width: 4, layerCount: 2, headCount: 2, depth: depth, codeCount: 5, codeWidth: 3,
            in: store.scope)
        store.train([""])
        let first = Tensor.normal([2, 4], dtype: .float64, generator: Generator(seed: 2))
        first.requiresGradient = true
        let codes = self.codes.narrowed(axis: 1, start: 0, length: depth)
        let vectors = depth > 1 ? self.vectors.to(.float64) : nil
        expectSlopes([first] + store.trainable.map(\.tensor)) {
            head.loss(head(first, vectors: vectors), codes: codes)
        }
    }

    /// The released files hold 18,432 numbers more, biases that are never added.
    @Test func publishedSizes() throws {
        let store = ParameterStore(collectingFaultsAs: .float32)
        _ = try DepthTransformer(
            width: 2048, layerCount: 3, headCount: 16, depth: 8, codeCount: 16_384, codeWidth: 1152,
            in: store.scope)
        #expect(store.count() == 723_970_048 - 18_432)
        #expect(store.count(under: "in_mlp_1") == 2_361_344)
        #expect(store.count(under: "heads") == 268_566_528)
    }

    /// State i is to say code i + shift; the mean over the places that say one.
    @Test(arguments: [0, 1]) func statesPredictTheTokenThatTheShiftSays(shift: Int) throws {
        var configuration = TinyStack.asvr
        configuration.objective.asvr?.visualShift = shift
        let model = try TinyStack.asvrModel(configuration)
        TinyStack.disturb(model, "asvr")
        let asvr = try #require(model.asvr)
        let states = Tensor.normal([2, 16, 32], generator: Generator(seed: 2))
        let codes = Tensor((0..<32).map { ($0 * 5) % 8 }, shape: [2, 16, 1])
        var expected = 0.0
        for picture in 0..<2 {
            for place in 0..<16 - shift {
                let read = asvr.head(asvr.entry(states[picture, place].unsqueezed(0)), vectors: nil)
                expected +=
                    Tensor.crossEntropy(
                        logits: asvr.head.heads[0](read[.all, 0]),
                        targets: codes[picture, place + shift]
                    ).item() / Double(16 - shift)
            }
        }
        let found = asvr.loss(of: codes, states: states).item()
        #expect(abs(found - expected) < 1e-5 * expected, "\(found) \(expected)")
    }

    @Test func codesLieOnTheTokensGrid() throws {
        let model = try TinyStack.asvrModel()
        let asvr = try #require(model.asvr)
        let picture = try TinyStack.picture(width: 50, height: 20, seed: 4)
        let found = try asvr.targets(of: [picture], device: .cpu)
        let book = try codebook(folder: try #require(model.folders.codebook))
        let square = resized(picture.paddedPicture(), width: 16, height: 16)
        #expect(found.shape == [1, 16, 1])
        #expect(try found.ints() == book.indices(of: square).values)
        #expect(Set(found.ints()).count > 1)
    }

    /// Codes from disk are those of the codebook, and another codebook's or frame's are not taken for them.
    @Test func keptCodesAreTheComputedOnes() throws {
        let cache = CodeCache(
            try ContentStore(folder: TemporaryFolder.make() + "/cache", limit: 1 << 24))
        var snapshots = TinyStack.asvr
        snapshots.picture = TinyStack.snapshots
        snapshots.perceiver.cropPosition = .off
        let models = try [
            TinyStack.asvrModel(), TinyStack.asvrModel(snapshots),
            TinyStack.asvrModel(codebook: TinyStack.codebook(seed: 2)),
            TinyStack.asvrModel(codebook: GoldenFixture("asvr_tokenizer").path),
        ]
        var sets: Set<[Int]> = []
        for (index, model) in models.enumerated() {
            let asvr = try #require(model.asvr)
            let picture = try TinyStack.picture(
                width: 50, height: 20, seed: 4, tiling: model.configuration.picture)
            let plain = try asvr.targets(of: [picture], device: .cpu).ints()
            sets.insert(plain)
            for pass in 0..<2 {
                let kept = try asvr.targets(of: [picture], keys: ["a"], cache: cache, device: .cpu)
                #expect(kept.ints() == plain)
                #expect(cache.store.use.hits == index + pass && cache.store.use.misses == index + 1)
            }
        }
        #expect(sets.count == 4)
    }

    /// A tokenizer of residual codes: four depths a token, each told of the ones before.
    @Test func residualCodesOfASemanticTokenizer() throws {
        let model = try TinyStack.asvrModel(codebook: GoldenFixture("asvr_tokenizer").path)
        TinyStack.disturb(model, "asvr")
        let asvr = try #require(model.asvr)
        #expect(asvr.codes.depth == 4 && asvr.codes.codeCount == 24 && asvr.head.heads.count == 4)
        let picture = try TinyStack.picture(width: 50, height: 20, seed: 4)
        let codes = try asvr.targets(of: [picture], device: .cpu)
        let store = ParameterStore(seed: 0)
        let tokenizer = try GoldenFixture("asvr_tokenizer").folder().semanticTokenizer(into: store)
        let square = resized(picture.paddedPicture(), width: 32, height: 32)
        let pixels = Tensor(square.planar(), shape: [1, 3, 32, 32]).to(.float32) / 127.5 - 1
        #expect(codes.shape == [1, 16, 4] && codes.ints() == tokenizer.codes(pixels).ints())

        let states = Tensor.normal([1, 16, 32], generator: Generator(seed: 2))
        let loss = asvr.loss(of: codes, states: states).item()
        let vectors = tokenizer.quantizer.embeddings(of: codes[0])
        let read = asvr.head(asvr.entry(states[0]), vectors: vectors)
        let expected = (0..<4).map { depth in
            Tensor.crossEntropy(
                logits: asvr.head.heads[depth](read[.all, depth]), targets: codes[0, .all, depth]
            ).item() / 4
        }.reduce(0, +)
        #expect(abs(loss - expected) < 1e-5 * expected)
        // A tower with other tokens than the model's has no code for each of them.
        #expect(throws: VLSAError.self) {
            try SemanticCodes(folder: GoldenFixture("asvr_tokenizer").folder(), device: .cpu)
                .check(side: 5)
        }
    }
}
