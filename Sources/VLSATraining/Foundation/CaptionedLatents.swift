import AnyRes
import Foundation
import Torch
import TorchNN
import VLSA

/// A picture by its number among those of a ``CaptionedLatents``.
struct LatentExample: TrainingExample {
    let recordID: String
    let index: Int
    let tokenCount: Int
}

/// Trains a denoiser from nothing on latents with captions.
///
/// The caption of a picture is its snapshot's patch captions in their places: one prompt token a patch, the mean of
/// its words' vectors with a code of the place added (``MMDiTConfiguration/promptPlaces(tokensPerSide:latentSide:)``).
/// So the denoiser learns to take a grid of tokens as its prompt, as the visual tokens will be.
final class CaptionedLatents: Trainable {
    typealias Example = LatentExample

    let store: ParameterStore
    let denoiser: MMDiT
    private let flow: RectifiedFlow
    private let latents: Tensor  // [pictures, C, h, w]
    private let context: Tensor  // [pictures, N, E]
    private let pooled: Tensor  // [pictures, pooled width]

    init(
        _ configuration: MMDiTConfiguration, flow: RectifiedFlow, pictures: RegionPictures,
        vectors: Tensor, latents codec: any LatentCodec, pictureSize: Int, patch: Int,
        places: Double,
        seed: UInt64
    ) throws {
        let (side, width) = (pictures.pictures[0].tiled.geometry.tile.width, vectors.shape[1])
        guard configuration.contextWidth == width, configuration.pooledWidth == width else {
            throw FoundationError.plan(
                "denoiser.contextWidth and pooledWidth must be language.width, \(width)")
        }
        store = ParameterStore(seed: seed)
        denoiser = try MMDiT(configuration, in: store.scope["denoiser"])
        self.flow = flow
        let table = vectors.floats()
        let perSide = side / patch
        var encoded: [Tensor] = []
        var prompts: [Float] = []
        var captions: [Float] = []
        for picture in pictures.pictures {
            let pixels = Tensor(
                resized(picture.whole, width: pictureSize, height: pictureSize).planar(),
                shape: [1, 3, pictureSize, pictureSize])
            encoded.append(
                withoutGradients { codec.encode(pixels.to(.float32) * (2 / 255) - 1) })
            let grid = picture.snapshotCaptions(side: side, patch: patch).words
            for words in grid {
                prompts += CaptionedLatents.mean(of: words, table: table, width: width)
            }
            captions += CaptionedLatents.mean(of: picture.caption, table: table, width: width)
        }
        let count = pictures.pictures.count
        latents = Tensor.concatenated(encoded, axis: 0)
        let codes = configuration.promptPlaces(
            tokensPerSide: perSide, latentSide: pictureSize / codec.downscale)
        context = Tensor(prompts, shape: [count, perSide * perSide, width]) + codes * places
        pooled = Tensor(captions, shape: [count, width])
        start(seed: seed)
    }

    var examples: [LatentExample] {
        (0..<latents.shape[0]).map {
            LatentExample(recordID: "\($0)", index: $0, tokenCount: context.shape[1])
        }
    }

    private static func mean(of words: [Int], table: [Float], width: Int) -> [Float] {
        var mean = [Float](repeating: 0, count: width)
        for word in words {
            for column in 0..<width { mean[column] += table[word * width + column] }
        }
        return mean.map { $0 / Float(max(1, words.count)) }
    }

    func counts(_ examples: [LatentExample]) -> [String: Int] { ["flow": examples.count] }

    func losses(_ examples: [LatentExample], generators: [Generator]) -> [LossTerm] {
        let index = examples.map(\.index)
        let loss = loss(index, told: index, generators: generators)
        return [LossTerm(name: "flow", sum: loss.sum(), count: examples.count)]
    }

    /// Errors of some pictures with the prompts of others, `[P]`.
    private func loss(_ pictures: [Int], told prompts: [Int], generators: [Generator]) -> Tensor {
        func rows(_ table: Tensor, _ index: [Int]) -> Tensor {
            table.selecting(Tensor(index, shape: [index.count]), axis: 0)
        }
        return flow.loss(of: rows(latents, pictures), generators: generators) { noised, time in
            denoiser(
                noised, timesteps: time * 1000, context: rows(context, prompts),
                pooled: rows(pooled, prompts))
        }
    }

    /// Mean error with the pictures' own prompts and with their neighbours': what a prompt is good for.
    func errors(seed: UInt64) -> (own: Double, others: Double) {
        let pictures = Array(0..<min(64, latents.shape[0]))
        func mean(_ prompts: [Int]) -> Double {
            let generators = pictures.map { Generator(seed: seed &+ UInt64($0)) }
            return withoutGradients {
                loss(pictures, told: prompts, generators: generators).mean().item()
            }
        }
        return (mean(pictures), mean(pictures.map { ($0 + 1) % pictures.count }))
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try saveFolder(denoiser.configuration, part: "denoiser", of: weights, to: folder)
    }
}
