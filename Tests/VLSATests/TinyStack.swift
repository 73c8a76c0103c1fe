import AnyRes
import Codecs
import Corpus
import Foundation
import Prompting
import TorchNN

@testable import Torch
@testable import VLSA

/// A whole model of a few thousand parameters, with part folders as a stage would find them.
enum TinyStack {
    static let tile = 28
    static let patch = 7

    static let texts = [
        "What is here?", "a red circle", "a blue square", "How many shapes are there?", "two",
        "three", "Where is the star?", "left", "right", "the code is 4711",
    ]

    static let configuration = VLSAConfiguration(
        picture: TilingConfiguration(tileWidth: tile, tileHeight: tile, maxTiles: 6),
        features: FeatureSelection(layer: -1),
        perceiver: PerceiverConfiguration(
            activation: .softmax, scale: .sqrt, sharesKeyAndValue: false, headCount: 4,
            cropPosition: .gaussian),
        epigone: EpigoneConfiguration(rank: 8),
        objective: ObjectiveConfiguration(
            kind: .reconstruction, time: TimeSampling(shift: 1), pictureSize: 56),
        chat: ChatConfiguration(format: .llama3, system: ""))

    /// ROSS instead: a small denoiser over 4 x 4 tokens of 2 x 2 cells.
    static var ross: VLSAConfiguration {
        var result = configuration
        result.objective = ObjectiveConfiguration(
            kind: .ross,
            ross: ROSSConfiguration(width: 16, layerCount: 2, headCount: 2, noiseSamples: 3))
        return result
    }

    /// ASVR instead, over a codebook of 8 codes.
    static var asvr: VLSAConfiguration {
        var result = configuration
        result.objective = ObjectiveConfiguration(
            kind: .asvr, asvr: ASVRConfiguration(width: 16, layerCount: 2, headCount: 2))
        return result
    }

    /// Snapshots that show the picture otherwise than its tiles.
    static var snapshots: TilingConfiguration {
        TilingConfiguration(
            tileWidth: tile, tileHeight: tile, maxTiles: 6, snapshotSource: .original)
    }

    /// The folder of a codebook of 8 codes for cells of 4 pixels.
    static func codebook(seed: UInt64 = 1) throws -> String {
        let pictures = try (0..<4).map {
            try picture(width: 40, height: 40, seed: $0).paddedPicture()
        }
        let folder = try TemporaryFolder.make() + "/codebook"
        try KMeansCodebook.fit(
            pictures: FitPictures(pictures),
            settings: KMeansSettings(
                codeCount: 8, patchSide: 4, dimensions: 4, longestSides: [8], seed: seed)
        ).save(to: folder)
        return folder
    }

    static func asvrModel(_ configuration: VLSAConfiguration = asvr, codebook: String? = nil) throws
        -> VLSAModel
    {
        var folders = try folders()
        folders.codebook = try codebook ?? self.codebook()
        return try VLSAModel(assembling: folders, configuration: configuration, seed: 1)
    }

    /// Folders `vision`, `language`, `denoiser` and `latents` with random weights.
    static func folders() throws -> PartFolders {
        let root = try TemporaryFolder.make()
        let tokenizer = try BPETrainer(vocabularySize: 320).train(texts)
        try tokenizer.write(to: root + "/language")
        let store = ParameterStore(seed: 5)
        let vision = CLIPVisionConfiguration(
            width: 32, hiddenWidth: 64, layerCount: 2, headCount: 2, imageSize: tile,
            patchSize: patch)
        _ = try makeVisionTower(.clip(vision), in: store.scope["vision"])
        try saveFolder(
            VisionConfiguration.clip(vision), part: "vision", of: store, to: root + "/vision")
        let ids = try tokenizer.tokenizer()
        let language = LanguageConfiguration(
            vocabularySize: ids.idLimit, width: 32, hiddenWidth: 64, layerCount: 2, headCount: 4,
            keyValueHeadCount: 2, startID: ids.beginningID,
            stopIDs: try ChatFormat.llama3.stopIDs(for: ids))
        _ = try LanguageModel(language, in: store.scope["language"])
        try saveFolder(language, part: "language", of: store, to: root + "/language")
        let denoiser = MMDiTConfiguration(
            sampleSize: 7, channels: 4, layerCount: 2, headWidth: 8, headCount: 2, contextWidth: 12,
            pooledWidth: 10, positionGrid: 8)
        _ = try MMDiT(denoiser, in: store.scope["denoiser"])
        try saveFolder(denoiser, part: "denoiser", of: store, to: root + "/denoiser")
        let latents = KLTLatentConfiguration(channels: 4, patchSide: 4)
        let scope = store.scope["latents"]
        _ = try scope.buffer("basis", shape: [4, 48], initial: .normal(deviation: 0.1))
        _ = try scope.buffer("mean", shape: [48], initial: .zeros)
        _ = try scope.buffer("scale", shape: [4], initial: .ones)
        try saveFolder(latents, part: "latents", of: store, to: root + "/latents")
        return PartFolders(
            vision: root + "/vision", language: root + "/language", denoiser: root + "/denoiser",
            latents: root + "/latents")
    }

    static func model(_ configuration: VLSAConfiguration = configuration, seed: UInt64 = 1) throws
        -> VLSAModel
    {
        try VLSAModel(assembling: folders(), configuration: configuration, seed: seed)
    }

    /// A picture of coloured noise.
    static func picture(
        width: Int, height: Int, seed: Int, tiling: TilingConfiguration = configuration.picture
    ) throws -> TiledPicture {
        var state = UInt32(truncatingIfNeeded: seed &* 2_654_435_761 &+ 12345)
        let bytes = (0..<width * height * 3).map { _ -> UInt8 in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
        return try Tiler(tiling).tile(
            Pixels(width: width, height: height, bytes: bytes))
    }

    static func sample(
        _ model: VLSAModel, _ id: String, _ turns: [Turn], _ pictures: [TiledPicture]
    ) throws -> Sample {
        let prompt = try model.configuration.chat.format.encode(
            turns, tokenizer: model.tokenizer, system: model.configuration.chat.system,
            imageCount: pictures.count)
        return Sample(
            recordID: id, ids: prompt.ids, isSupervised: prompt.isSupervised, pictures: pictures,
            pictureKeys: pictures.indices.map { "\(id)/\($0)" },
            tokenCount: prompt.ids.count
                + pictures.reduce(0) { $0 + model.visualTokenCounter($1.geometry) - 1 })
    }

    /// Three samples: two tiles, six tiles in another grid, and text alone.
    static func samples(_ model: VLSAModel) throws -> [Sample] {
        [
            try sample(
                model, "a",
                [Turn(.user, "<image>\nWhat is here?"), Turn(.assistant, "a red circle")],
                [picture(width: 50, height: 20, seed: 1)]),
            try sample(
                model, "b",
                [
                    Turn(.user, "<image>\nHow many shapes are there?"), Turn(.assistant, "two"),
                    Turn(.user, "Where is the star?"), Turn(.assistant, "left"),
                ], [picture(width: 60, height: 80, seed: 2)]),
            try sample(
                model, "c", [Turn(.user, "Where is the star?"), Turn(.assistant, "right")], []),
        ]
    }

    /// Gives every parameter under `prefix` a value away from its start.
    static func disturb(_ model: VLSAModel, _ prefix: String, seed: UInt64 = 99) {
        let generator = Generator(seed: seed)
        for (_, tensor) in model.store.tensors(under: prefix) {
            let noise = Tensor.normal(tensor.shape, generator: generator) * 0.1
            withoutGradients { tensor.copy(from: tensor.detached() + noise) }
        }
    }
}
