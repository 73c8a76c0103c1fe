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

    func counts(_ examples: [PatchCaptions]) -> [String: Int] {
        ["naming": examples.reduce(0) { $0 + $1.thingCount }]
    }

    /// `-log σ(s)` of a word that holds is `softplus(s) - s`, of one that does not `softplus(s)`: so only the few words
    /// that hold are looked up.
    func losses(_ examples: [PatchCaptions], generators: [Generator]) -> [LossTerm] {
        let scores = scores(examples)  // [M, W]
        let weights = examples.flatMap(\.weights)
        var held: [Int] = []  // places in the flattened scores
        var heldWeights: [Float] = []
        for (row, words) in examples.flatMap(\.words).enumerated() {
            for word in Set(words).sorted() {
                held.append(row * wordCount + word)
                heldWeights.append(weights[row])
            }
        }
        let every = scores.softplus().sum(axis: -1) * column(weights)
        let holding =
            scores.flattened(from: 0, to: 1)
            .selecting(Tensor(held, shape: [held.count], device: store.device), axis: 0)
            * column(heldWeights)
        return [
            LossTerm(
                name: "naming", sum: every.sum() - holding.sum(),
                count: counts(examples)["naming"] ?? 0)
        ]
    }

    private func column(_ values: [Float]) -> Tensor {
        Tensor(values, shape: [values.count], device: store.device)
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
            zip(examples.flatMap(\.names), likeliest), examples.flatMap(\.weights))
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
