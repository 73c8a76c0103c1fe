import AnyRes
import Corpus
import Prompting
import Torch
import TorchNN

// Shapes: P pictures, B samples, m tiles of a picture, l tokens of a tile, dv tower width, d language width,
// T positions of a batch.

/// What the language model sees of some pictures.
public struct VisualTokens {
    /// `[P, l, d]`
    public let tokens: Tensor
    /// The appended query's output through the projector, `[P, d]`; nil without a perceiver.
    public let pooled: Tensor?
}

/// Sums of a batch's losses and the counts they are to be divided by.
public struct VLSALosses {
    /// Cross-entropy summed over the supervised tokens, a float32 scalar; nil when there are none.
    public let text: Tensor?
    public let textCount: Int
    /// Visual objective summed over pictures (each one's mean), a float32 scalar; nil without an objective.
    public let visual: Tensor?
    public let visualCount: Int
}

/// A vision-language model: tower, SA-Perceiver, projector and decoder, and in training the denoiser that must
/// rebuild the pictures from the visual tokens.
public final class VLSAModel {
    /// First segments of the store's names: what a stage's `train:` list chooses from.
    public static let parts = [
        "vision", "perceiver", "projector", "language", "epigone", "denoiser",
    ]

    public let configuration: VLSAConfiguration
    public let store: ParameterStore
    public let tokenizer: Tokenizer
    public let vision: any VisionTower
    public let perceiver: SAPerceiver?
    public let projector: Projector
    public let language: LanguageModel
    public let reconstruction: Reconstruction?
    /// Ids that end an answer: the chat format's and the language model's own.
    public let stopIDs: Set<Int>
    let folders: PartFolders

    init(
        _ configuration: VLSAConfiguration, parts folders: PartFolders, store: ParameterStore
    ) throws {
        self.configuration = configuration
        self.store = store
        self.folders = folders
        let languageFolder = try CheckpointFolder(folders.language)
        tokenizer = try Tokenizer(folder: folders.language)
        vision = try CheckpointFolder(folders.vision).visionTower(into: store, at: "vision")
        language = try languageFolder.languageModel(into: store, at: "language")
        stopIDs = Set(try languageFolder.generation().stopIDs)
            .union(try configuration.chat.format.stopIDs(for: tokenizer))

        let visionWidth = vision.configuration.width
        projector = try Projector(
            from: visionWidth, to: language.width, in: store.scope["projector"])
        perceiver =
            configuration.perceiver.isEnabled
            ? try SAPerceiver(
                configuration.perceiver,
                width: configuration.perceiver.space == .vision ? visionWidth : language.width,
                in: store.scope["perceiver"]) : nil
        switch configuration.objective.kind {
        case .none: reconstruction = nil
        case .reconstruction:
            reconstruction = try VLSAModel.reconstruction(
                configuration, folders: folders, width: language.width, store: store)
        }
        try checkGeometry()
    }

    private static func reconstruction(
        _ configuration: VLSAConfiguration, folders: PartFolders, width: Int, store: ParameterStore
    ) throws -> Reconstruction {
        guard configuration.perceiver.isEnabled else {
            throw VLSAError.configuration(
                "objective.kind is reconstruction, which needs the perceiver's pooled token; "
                    + "set perceiver.enabled: true or objective.kind: none")
        }
        guard let denoiserFolder = folders.denoiser, let latentsFolder = folders.latents else {
            throw VLSAError.configuration(
                "objective.kind is reconstruction, which needs the folders model.denoiser and "
                    + "model.latents")
        }
        let denoiser = try CheckpointFolder(denoiserFolder).denoiser(into: store, at: "denoiser")
        let epigone = try Epigone(
            configuration.epigone, width: width,
            contextWidth: denoiser.configuration.contextWidth,
            pooledWidth: denoiser.configuration.pooledWidth, in: store.scope["epigone"])
        let latents = try CheckpointFolder(latentsFolder).latentCodec(into: store, at: "latents")
        return try Reconstruction(
            configuration.objective, epigone: epigone, denoiser: denoiser, latents: latents)
    }

    /// A tile must be what the tower takes, or every picture would fail later.
    private func checkGeometry() throws {
        guard configuration.picture.tiling != .square || !configuration.perceiver.isEnabled else {
            throw VLSAError.configuration(
                "picture.tiling is square, which gives no tiles to gather from; set perceiver.enabled: false")
        }
        let side = vision.configuration.imageSize
        guard configuration.picture.tileWidth == side, configuration.picture.tileHeight == side else {
            throw VLSAError.configuration(
                "picture.tileWidth x tileHeight is \(configuration.picture.tileWidth) x "
                    + "\(configuration.picture.tileHeight), but the tower takes \(side) x \(side)")
        }
    }

    // MARK: Seeing

    /// Tokens of a tile along one side.
    var tokensPerSide: Int { vision.configuration.imageSize / vision.configuration.patchSize }

    /// Visual tokens per picture, however large it is.
    public var visualTokenCount: Int { tokensPerSide * tokensPerSide }

    /// Snapshot and tiles through the tower, the detail gathered into the snapshot's grid, projected.
    public func see(_ pictures: [TiledPicture]) -> VisualTokens {
        let counts = pictures.map { perceiver == nil ? 0 : $0.tileCount }
        let pixels = pixels(of: pictures, tileCounts: counts)
        var features = vision.features(pixels, configuration.features)  // [P + sum m, l, dv]
        guard let perceiver else { return VisualTokens(tokens: projector(features), pooled: nil) }
        if perceiver.configuration.space == .language { features = projector(features) }

        // Pictures with the same tile grid are compressed together: ragged counts cost no padding.
        let grids = Dictionary(grouping: pictures.indices) { index in
            [pictures[index].geometry.columns, pictures[index].geometry.rows]
        }
        let starts = counts.indices.map { pictures.count + counts[..<$0].reduce(0, +) }
        var order: [Int] = []
        var tokens: [Tensor] = []
        var pooled: [Tensor] = []
        for (grid, members) in grids.sorted(by: { $0.value[0] < $1.value[0] }) {
            let tileCount = grid[0] * grid[1]
            let rows = members.flatMap { starts[$0]..<(starts[$0] + tileCount) }
            let (length, width) = (features.shape[1], features.shape[2])
            let compressed = perceiver(
                features.selecting(Tensor(members, shape: [members.count], device: store.device), axis: 0),
                tiles: features.selecting(
                    Tensor(rows, shape: [rows.count], device: store.device), axis: 0
                ).reshaped([members.count, tileCount * length, width]),
                places: TokenPlaces(
                    columns: grid[0], rows: grid[1], side: tokensPerSide, device: store.device))
            tokens.append(compressed.tokens)
            pooled.append(compressed.pooled)
            order += members
        }
        var all = Tensor.concatenated(tokens, axis: 0)
        var allPooled = Tensor.concatenated(pooled, axis: 0)
        if order != Array(pictures.indices) {
            var back = [Int](repeating: 0, count: order.count)
            for (place, picture) in order.enumerated() { back[picture] = place }
            let index = Tensor(back, shape: [back.count], device: store.device)
            all = all.selecting(index, axis: 0)
            allPooled = allPooled.selecting(index, axis: 0)
        }
        if perceiver.configuration.space == .vision {
            all = projector(all)
            allPooled = projector(allPooled)
        }
        return VisualTokens(tokens: all, pooled: allPooled)
    }

    /// All snapshots, then all tiles, normalised: `[P + sum m, 3, h, w]`.
    private func pixels(of pictures: [TiledPicture], tileCounts: [Int]) -> Tensor {
        let side = vision.configuration.imageSize
        let total = pictures.count + tileCounts.reduce(0, +)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(total * 3 * side * side)
        for picture in pictures { bytes += picture.snapshot }
        for (picture, count) in zip(pictures, tileCounts) where count > 0 { bytes += picture.tiles }
        let raw = Tensor(bytes, shape: [total, 3, side, side], device: store.device)
        return configuration.normalization(raw, dtype: store.dtype)
    }

    // MARK: Training

    /// Loss sums of some samples.
    ///
    /// - Parameter generators: one for each sample; they draw the reconstruction's times and noise.
    public func losses(_ samples: [Sample], generators: [Generator]) throws -> VLSALosses {
        let pictures = samples.flatMap(\.pictures)
        let seen = pictures.isEmpty ? nil : see(pictures)
        let batch = try PromptBatch(
            prompts: samples.map { ($0.ids, $0.isSupervised, $0.pictures.count) },
            names: samples.map(\.recordID), visualTokens: visualTokenCount)
        let hidden = language(
            batch.embeddings(in: language, visual: seen?.tokens, device: store.device))
        let text =
            batch.targets.isEmpty
            ? nil : language.loss(hidden, rows: batch.predictingRows, targets: batch.targets)

        var visual: Tensor?
        if let reconstruction, let seen, let pooled = seen.pooled {
            let z = reconstruction.targets(of: pictures, device: store.device)
            visual = reconstruction.loss(
                of: z, tokens: seen.tokens, pooled: pooled,
                generators: zip(samples, generators).flatMap { sample, generator in
                    sample.pictures.map { _ in generator }
                })
        }
        return VLSALosses(
            text: text?.sum, textCount: batch.targets.count, visual: visual,
            visualCount: visual == nil ? 0 : pictures.count)
    }
}
