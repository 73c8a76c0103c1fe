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
/// its words' vectors with a sine code of the place added. So the denoiser learns to take a grid of tokens as
/// its prompt, as the visual tokens will be.
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
        vectors: Tensor, latents codec: any LatentCodec, pictureSize: Int, patch: Int, seed: UInt64
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
        let places = CaptionedLatents.places(perSide: perSide, width: width)
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
            for (place, words) in grid.enumerated() {
                let mean = CaptionedLatents.mean(of: words, table: table, width: width)
                for column in 0..<width {
                    prompts.append(mean[column] + places[place * width + column])
                }
            }
            captions += CaptionedLatents.mean(of: picture.caption, table: table, width: width)
        }
        let count = pictures.pictures.count
        latents = Tensor.concatenated(encoded, axis: 0)
        context = Tensor(prompts, shape: [count, perSide * perSide, width])
        pooled = Tensor(captions, shape: [count, width])
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

    /// Sines and cosines of row and column, `[N, width]`, a quarter of the columns each.
    private static func places(perSide: Int, width: Int) -> [Float] {
        (0..<perSide * perSide).flatMap { place -> [Float] in
            (0..<width).map { column in
                let quarter = max(1, width / 4)
                let frequency = pow(30, -Double(column % quarter) / Double(quarter))
                let position = Double(column / quarter < 2 ? place % perSide : place / perSide)
                return Float(
                    (column / quarter) % 2 == 0
                        ? sin(position * frequency) : cos(position * frequency)) * 0.3
            }
        }
    }

    func counts(_ examples: [LatentExample]) -> [String: Int] { ["flow": examples.count] }

    func losses(_ examples: [LatentExample], generators: [Generator]) -> [LossTerm] {
        let index = Tensor(examples.map(\.index), shape: [examples.count])
        let loss = flow.loss(
            of: latents.selecting(index, axis: 0), generators: generators
        ) { noised, time in
            denoiser(
                noised, timesteps: time * 1000, context: context.selecting(index, axis: 0),
                pooled: pooled.selecting(index, axis: 0))
        }
        return [LossTerm(name: "flow", sum: loss.sum(), count: examples.count)]
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try saveFolder(denoiser.configuration, part: "denoiser", of: weights, to: folder)
    }
}
