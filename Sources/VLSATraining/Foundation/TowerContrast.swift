import Foundation
import Torch
import TorchNN
import VLSA

// Shapes: B views, N patches of a view, M patches of a batch that take part, W words, D tower width, E shared width.

/// Trains a vision tower from nothing by a sigmoid contrastive loss on patches.
///
/// As in SigLIP (arXiv:2303.15343) every pair of picture and text is a question of its own, yes or no; here the
/// pictures are patches and the texts the words of captions: `log σ(± (t <f(patch), g(word)> + b))`, plus where the
/// patch's caption holds the word. Local pairs teach in minutes what whole-picture pairs need millions for. The words'
/// vectors are the decoder's own embeddings and stay as they are: what the tower learns to say, the decoder has heard.
final class TowerContrast: Trainable {
    typealias Example = PatchCaptions

    let store: ParameterStore
    let tower: any VisionTower
    private let layer: FeatureSelection
    private let normalization: PixelNormalization
    private let norm: LayerNorm
    private let pictureHead: Linear
    private let words: Tensor  // [W, E], unit vectors
    private let logScale: Tensor
    private let bias: Tensor
    /// Patches of the background are many; this many of them are kept for each named one.
    private let backgroundShare = 1.0 / 3

    init(
        _ configuration: VisionConfiguration, features: FeatureSelection,
        normalization: PixelNormalization, words: Tensor, seed: UInt64
    ) throws {
        store = ParameterStore(seed: seed)
        self.words = words
        layer = features
        self.normalization = normalization
        tower = try makeVisionTower(configuration, in: store.scope["vision"])
        let scope = store.scope["contrast"]
        norm = try LayerNorm(configuration.width, epsilon: 1e-5, in: scope["norm"])
        pictureHead = try Linear(configuration.width, words.shape[1], in: scope["picture"])
        logScale = try scope.parameter("log_scale", shape: [1], initial: .constant(log(10)))
        bias = try scope.parameter("bias", shape: [1], initial: .constant(-8))
    }

    func counts(_ examples: [PatchCaptions]) -> [String: Int] {
        ["contrast": chosen(examples).count]
    }

    /// Flat patch indices that take part: all named ones and an even share of the background.
    private func chosen(_ examples: [PatchCaptions]) -> [Int] {
        var named: [Int] = []
        var background: [Int] = []
        var place = 0
        for example in examples {
            for words in example.words {
                if words.first == 0 { background.append(place) } else { named.append(place) }
                place += 1
            }
        }
        let wanted = max(1, Int(Double(named.count) * backgroundShare))
        let step = max(1, background.count / wanted)
        return named + stride(from: 0, to: background.count, by: step).map { background[$0] }
    }

    func losses(_ examples: [PatchCaptions], generators: [Generator]) -> [LossTerm] {
        let side = tower.configuration.imageSize
        let pixels = Tensor(
            examples.flatMap(\.pixels), shape: [examples.count, 3, side, side],
            device: store.device)
        let features = tower.features(normalization(pixels), layer)  // [B, N, D]
        let indices = chosen(examples)
        let rows = features.flattened(from: 0, to: 1)
            .selecting(Tensor(indices, shape: [indices.count], device: store.device), axis: 0)
        let patches = unit(pictureHead(norm(rows)))  // [M, E]
        let scores = patches.matmul(words.transposed(0, 1)) * logScale.exp() + bias  // [M, W]

        let all = examples.flatMap(\.words)
        let wordCount = words.shape[0]
        var signs = [Float](repeating: -1, count: indices.count * wordCount)
        for (row, index) in indices.enumerated() {
            for word in all[index] { signs[row * wordCount + word] = 1 }
        }
        let sign = Tensor(signs, shape: [indices.count, wordCount], device: store.device)
        let loss = -(scores * sign).logSigmoid().sum()
        return [LossTerm(name: "contrast", sum: loss, count: indices.count)]
    }

    private func unit(_ x: Tensor) -> Tensor {
        x / (x.square().sum(axis: -1, keepingAxis: true) + 1e-12).sqrt()
    }

    /// Share of named patches whose best word is one of their own.
    func accuracy(_ examples: [PatchCaptions]) -> Double {
        withoutGradients {
            let side = tower.configuration.imageSize
            let pixels = Tensor(
                examples.flatMap(\.pixels), shape: [examples.count, 3, side, side],
                device: store.device)
            let features = tower.features(normalization(pixels), layer).flattened(from: 0, to: 1)
            let scores = unit(pictureHead(norm(features))).matmul(words.transposed(0, 1))
            let best = scores.argmax(axis: -1).ints()
            var (right, total) = (0, 0)
            for (words, word) in zip(examples.flatMap(\.words), best) where words.first != 0 {
                total += 1
                if words.contains(word) { right += 1 }
            }
            return total == 0 ? 0 : Double(right) / Double(total)
        }
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try saveFolder(tower.configuration, part: "vision", of: weights, to: folder)
    }
}
