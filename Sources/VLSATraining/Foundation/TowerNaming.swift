import Torch
import TorchNN
import VLSA

// Shapes: B views, N patches of a view, M patches of a batch, W words, D tower width.

/// Trains a vision tower from nothing to say the words of what each patch shows.
///
/// As in SigLIP (arXiv:2303.15343) every pair of picture and text is a question of its own, yes or no; here the
/// pictures are patches and the texts single words: `log σ(± (<norm(f(patch)), g(word)> + b(word)))`, plus where the
/// patch's caption holds the word. Local pairs teach in minutes what whole-picture pairs need millions for.
final class TowerNaming: Trainable {
    typealias Example = PatchCaptions

    let store: ParameterStore
    let tower: any VisionTower
    private let layer: FeatureSelection
    private let normalization: PixelNormalization
    private let norm: LayerNorm
    private let words: Linear  // [W, D] and [W]
    private let wordCount: Int

    init(
        _ configuration: CLIPVisionConfiguration, features: FeatureSelection,
        normalization: PixelNormalization, wordCount: Int, seed: UInt64
    ) throws {
        store = ParameterStore(seed: seed)
        self.wordCount = wordCount
        layer = features
        self.normalization = normalization
        tower = try makeVisionTower(.clip(configuration), in: store.scope["vision"])
        let scope = store.scope["naming"]
        norm = try LayerNorm(configuration.width, epsilon: 1e-5, in: scope["norm"])
        words = try Linear(configuration.width, wordCount, in: scope["words"])
        store["naming.words.bias"]?.copy(from: Tensor.full([wordCount], -4))
        start(configuration, seed: seed)
    }

    /// Things in view: sorts of names, the background among them.
    func counts(_ examples: [PatchCaptions]) -> [String: Int] {
        ["naming": examples.reduce(0) { $0 + Set($1.names).count }]
    }

    /// Each thing in view weighs the same, however many patches show it: or headers would drown digits.
    private func weights(_ examples: [PatchCaptions]) -> [Float] {
        examples.flatMap { example in
            let sizes = Dictionary(example.names.map { ($0, Float(1)) }, uniquingKeysWith: +)
            return example.names.map { 1 / (sizes[$0] ?? 1) }
        }
    }

    func losses(_ examples: [PatchCaptions], generators: [Generator]) -> [LossTerm] {
        let scores = scores(examples)  // [M, W]
        let all = examples.flatMap(\.words)
        var signs = [Float](repeating: -1, count: all.count * wordCount)
        for (row, words) in all.enumerated() {
            for word in words { signs[row * wordCount + word] = 1 }
        }
        let sign = Tensor(signs, shape: [all.count, wordCount], device: store.device)
        let weight = Tensor(weights(examples), shape: [all.count], device: store.device)
        let loss = (-(scores * sign).logSigmoid().sum(axis: -1) * weight).sum()
        return [
            LossTerm(name: "naming", sum: loss, count: counts(examples)["naming"] ?? 0)
        ]
    }

    /// Log odds of each word for each patch, `[M, W]`.
    private func scores(_ examples: [PatchCaptions]) -> Tensor {
        let side = tower.configuration.imageSize
        let pixels = Tensor(
            examples.flatMap(\.pixels), shape: [examples.count, 3, side, side],
            device: store.device)
        let features = tower.features(normalization(pixels), layer).flattened(from: 0, to: 1)
        return words(norm(features))
    }

    /// Share of the things in view of which the likeliest word, of those that name things, is one of their own;
    /// each thing by the mean over its patches, the background left out.
    func accuracy(_ examples: [PatchCaptions], placeWords: Set<Int>) -> Double {
        let things = (1..<wordCount).filter { !placeWords.contains($0) }
        let column = Tensor(things, shape: [things.count], device: store.device)
        let likeliest = withoutGradients { scores(examples).selecting(column, axis: 1) }
            .argmax(axis: -1).ints()
        var (right, total) = (0.0, 0.0)
        for ((names, word), weight) in zip(
            zip(examples.flatMap(\.names), likeliest), weights(examples))
        where names.first != 0 {
            total += Double(weight)
            if names.contains(things[word]) { right += Double(weight) }
        }
        return total == 0 ? 0 : right / total
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try saveFolder(tower.configuration, part: "vision", of: weights, to: folder)
    }
}
