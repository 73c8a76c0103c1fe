import Foundation
import Torch
import TorchNN
import VLSA

/// Trains a projector from nothing to give, for each patch that a frozen tower sees, the sum of the decoder's embeddings of
/// the patch's words: the stand-in for the LLaVA-NeXT projector that the paper's first stage starts from.
final class ProjectorNaming: Trainable {
    typealias Example = PatchCaptions

    let store: ParameterStore
    private let tower: any VisionTower
    private let projector: Projector
    private let normalization: PixelNormalization
    private let embeddings: [Float]
    private let width: Int

    /// - Parameter embeddings: of each word, `[W, d]`; word 0 is the background, which has no words.
    init(
        visionFolder: String, embeddings: Tensor, normalization: PixelNormalization, seed: UInt64
    ) throws {
        store = ParameterStore(seed: seed)
        tower = try CheckpointFolder(visionFolder).visionTower(into: store, at: "vision")
        width = embeddings.shape[1]
        projector = try Projector(
            from: tower.configuration.width, to: width, in: store.scope["projector"])
        self.normalization = normalization
        self.embeddings = embeddings.floats()
    }

    func counts(_ examples: [PatchCaptions]) -> [String: Int] {
        ["naming": examples.reduce(0) { $0 + $1.words.count }]
    }

    /// Squared distance from the words' sum, meaned over columns and summed over patches.
    func losses(_ examples: [PatchCaptions], generators: [Generator]) -> [LossTerm] {
        let side = tower.configuration.imageSize
        let pixels = Tensor(
            examples.flatMap(\.pixels), shape: [examples.count, 3, side, side],
            device: store.device)
        let features = withoutGradients {
            tower.features(normalization(pixels), FeatureSelection(layer: -1))
        }  // [B, N, D]
        let target = wordSums(examples.flatMap(\.words), embeddings, width: width, on: store.device)
        let error = (projector(features).flattened(from: 0, to: 1) - target).square()
        return [
            LossTerm(
                name: "naming", sum: error.mean(axis: -1).sum(),
                count: counts(examples)["naming"] ?? 0)
        ]
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let tensors = weights.tensors(under: "projector").map { name, tensor in
            (String(name.dropFirst("projector.".count)), tensor)
        }
        try SafetensorsFile.write(
            tensors, metadata: ["format": "pt"], to: folder + "/model.safetensors")
        let configuration: [String: Any] = [
            "model_type": "llava_projector", "mm_hidden_size": tower.configuration.width,
            "hidden_size": width,
        ]
        try JSONSerialization.data(withJSONObject: configuration, options: [.sortedKeys])
            .write(to: URL(fileURLWithPath: folder + "/config.json"))
    }
}

/// For each patch the sum of its words' embeddings, `[patches, width]`; the background, word 0, has none.
///
/// - Parameter embeddings: of each word, `[W, width]`.
func wordSums(_ patches: [[Int]], _ embeddings: [Float], width: Int, on device: Device) -> Tensor {
    var sums = [Float](repeating: 0, count: patches.count * width)
    for (patch, words) in patches.enumerated() {
        for word in words where word != 0 {
            for column in 0..<width {
                sums[patch * width + column] += embeddings[word * width + column]
            }
        }
    }
    return Tensor(sums, shape: [patches.count, width], device: device)
}
