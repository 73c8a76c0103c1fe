import AnyRes
import Foundation
import Torch
import TorchNN
import VLSA

// Shapes: P pictures, l tokens of a view, m tiles of a picture, D tower width, d decoder width.

/// What a frozen tower sees of a picture, and what its snapshot's tokens should say.
struct SeenPicture: TrainingExample {
    let recordID: String
    let index: Int
    let tokenCount: Int
}

/// Trains a perceiver from nothing to bring what tiles show: through a frozen projector each token of the snapshot is to
/// be the sum of the decoder's embeddings of the words of its place, small things included.
///
/// The paper's perceiver starts new and has hundreds of thousands of pictures to find out in; a stack that trains
/// in minutes has a few thousand, so its perceiver has had this lesson before.
final class PerceiverNaming: Trainable {
    typealias Example = SeenPicture

    let store: ParameterStore
    let examples: [SeenPicture]
    private let configuration: PerceiverConfiguration
    private let perceiver: SAPerceiver
    private let projector: Projector
    private let towerWidth: Int
    private let perSide: Int
    private let features: [Tensor]  // [1 + m, l, D] each, the snapshot first
    private let grids: [TileGrid]
    private let words: [[[Int]]]
    private let embeddings: [Float]
    private let width: Int

    private struct TileGrid: Hashable {
        let columns: Int
        let rows: Int
    }

    /// - Parameter embeddings: of each word, `[W, d]`; word 0 is the background, which has no words.
    init(
        _ configuration: PerceiverConfiguration, pictures: RegionPictures, visionFolder: String,
        projectorFolder: String, embeddings: Tensor, normalization: PixelNormalization, seed: UInt64
    ) throws {
        self.configuration = configuration
        store = ParameterStore(seed: seed)
        let tower = try CheckpointFolder(visionFolder).visionTower(into: store, at: "vision")
        try store.load(
            [SafetensorsFile(path: projectorFolder + "/model.safetensors")], prefix: "projector")
        towerWidth = tower.configuration.width
        width = embeddings.shape[1]
        projector = try Projector(from: towerWidth, to: width, in: store.scope["projector"])
        perceiver = try SAPerceiver(configuration, width: towerWidth, in: store.scope["perceiver"])
        self.embeddings = embeddings.floats()
        let (side, patch) = (tower.configuration.imageSize, tower.configuration.patchSize)
        perSide = side / patch
        let device = store.device
        features = pictures.pictures.map { picture in
            let count = picture.tiled.tileCount + 1
            let pixels = Tensor(
                picture.tiled.snapshot + picture.tiled.tiles, shape: [count, 3, side, side],
                device: device)
            return withoutGradients {
                tower.features(normalization(pixels), FeatureSelection(layer: -1))
            }
        }
        grids = pictures.pictures.map {
            TileGrid(columns: $0.tiled.geometry.columns, rows: $0.tiled.geometry.rows)
        }
        words = pictures.pictures.map { $0.detailCaptions(side: side, patch: patch) }
        examples = pictures.pictures.enumerated().map { index, picture in
            SeenPicture(recordID: picture.id, index: index, tokenCount: side / patch * side / patch)
        }
    }

    func counts(_ examples: [SeenPicture]) -> [String: Int] {
        ["naming": examples.reduce(0) { $0 + $1.tokenCount }]
    }

    /// Squared distance from the words' sum, meaned over columns and summed over tokens; pictures with the same
    /// tiles go together.
    func losses(_ examples: [SeenPicture], generators: [Generator]) -> [LossTerm] {
        let groups = Dictionary(grouping: examples.map(\.index)) { grids[$0] }
        let sums = groups.sorted { $0.value[0] < $1.value[0] }.map { grid, members -> Tensor in
            let all = Tensor.stacked(members.map { features[$0] }, axis: 0)  // [P, 1 + m, l, D]
            let count = grid.columns * grid.rows
            let tiles = all.narrowed(axis: 1, start: 1, length: count)
                .reshaped([members.count, count * perSide * perSide, towerWidth])
            let seen = perceiver(
                all.narrowed(axis: 1, start: 0, length: 1).squeezed(1), tiles: tiles,
                places: TokenPlaces(
                    columns: grid.columns, rows: grid.rows, side: perSide, device: store.device))
            let told = projector(seen.tokens).flattened(from: 0, to: 1)
            let target = wordSums(
                members.flatMap { words[$0] }, embeddings, width: width, on: store.device)
            return (told - target).square().mean(axis: -1).sum()
        }
        return [
            LossTerm(
                name: "naming", sum: sums.dropFirst().reduce(sums[0], +),
                count: counts(examples)["naming"] ?? 0)
        ]
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try SAPerceiver.save(configuration, width: towerWidth, of: weights, to: folder)
    }
}
