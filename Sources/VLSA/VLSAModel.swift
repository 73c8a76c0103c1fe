import AnyRes
import Corpus
import Foundation
import Prompting
import Torch
import TorchNN

// Shapes: P pictures, B samples, m tiles of a picture, l tokens of a tile, dv tower width, d language width,
// T positions of a batch.

/// What the language model sees of some pictures.
public struct VisualTokens {
    /// The pictures' tokens one after the other, `[sum of counts, d]`.
    public let rows: Tensor
    /// Tokens of each picture.
    public let counts: [Int]
    /// The appended query's output through the projector, `[P, d]`; nil without a perceiver.
    public let pooled: Tensor?

    /// From equally many tokens of each picture, `[P, l, d]`.
    init(tokens: Tensor, pooled: Tensor?) {
        rows = tokens.flattened(from: 0, to: 1)
        counts = Array(repeating: tokens.shape[1], count: tokens.shape[0])
        self.pooled = pooled
    }

    /// From each picture's tokens, `[tokens, d]`.
    init(pictures: [Tensor]) {
        rows = Tensor.concatenated(pictures, axis: 0)
        counts = pictures.map { $0.shape[0] }
        pooled = nil
    }

    /// `[P, l, d]`; traps where pictures have different numbers of tokens.
    public var tokens: Tensor { rows.reshaped([counts.count, counts[0], rows.shape[1]]) }
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

/// A part of a model whose intermediate values need not be kept for the derivative.
public enum CheckpointedPart: String, Codable, CaseIterable, Sendable {
    case vision, perceiver, language, denoiser
}

/// A vision-language model: tower, SA-Perceiver, projector and decoder, and in training what its visual objective needs,
/// such as the denoiser that must rebuild the pictures from the visual tokens.
public final class VLSAModel {
    /// First segments of the store's names: what a stage's `train:` list chooses from.
    public static let parts = [
        "vision", "perceiver", "projector", "language", "epigone", "denoiser", "ross", "asvr",
        "balance", "newline",
    ]

    public let configuration: VLSAConfiguration
    public let store: ParameterStore
    public let tokenizer: Tokenizer
    public let vision: any VisionTower
    public let perceiver: SAPerceiver?
    public let projector: Projector
    public let language: LanguageModel
    /// Ends a row of tiles' tokens, `[d]`, with ``UnpaddingConfiguration``.
    let newline: Tensor?
    public let reconstruction: Reconstruction?
    public let ross: ROSS?
    public let asvr: ASVR?
    /// Learned weights of the losses, with ``LossBalance/uncertainty``.
    public let balance: UncertaintyBalance?
    /// Keeps the frozen latents of reconstruction and ROSS on disk; nil encodes them at every step.
    public var latentCache: LatentCache?
    /// Keeps ASVR's frozen codes on disk; nil computes them at every step.
    public var codeCache: CodeCache?
    /// For each loss, the squares of its derivatives on the visual tokens, a scalar for each micro-batch since
    /// ``takeTokenGradients()``.
    private var tokenGradients: [(loss: String, squares: Tensor)] = []
    /// Ids that end an answer: the chat format's and the language model's own.
    public let stopIDs: Set<Int>
    /// Ids of the tokens that the language model got when this model was made; they are saved with it.
    public let addedTokens: Range<Int>
    /// Parts whose layers are run a second time in the backward pass instead of keeping what they computed.
    public var checkpointedParts: Set<CheckpointedPart> = []
    /// Whether the samples of a training batch stand back to back in one row, without padding.
    public var packsSequences = false
    let folders: PartFolders
    let grownTokenizer: Data?

    init(
        _ configuration: VLSAConfiguration, parts folders: PartFolders,
        addingTokens tokens: [String], store: ParameterStore
    ) throws {
        self.configuration = configuration
        self.store = store
        self.folders = folders
        let languageFolder = try CheckpointFolder(folders.language)
        let vocabulary = try GrownVocabulary(folder: folders.language, adding: tokens)
        tokenizer = vocabulary.tokenizer
        grownTokenizer = vocabulary.json
        addedTokens = vocabulary.added
        vision = try CheckpointFolder(folders.vision).visionTower(into: store, at: "vision")
        language = try languageFolder.languageModel(
            into: store, at: "language", vocabulary: vocabulary)
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
        newline =
            configuration.unpadding?.isEnabled == true
            ? try store.scope["newline"].parameter(
                "weight", shape: [language.width],
                initial: .normal(deviation: 1 / Double(language.width).squareRoot())) : nil
        let side = vision.configuration.imageSize / vision.configuration.patchSize
        reconstruction = try Reconstruction(
            configuration, folders: folders, width: language.width, tokensPerSide: side,
            store: store)
        ross = try ROSS(
            configuration, folders: folders, width: language.width, tokensPerSide: side,
            store: store)
        asvr = try ASVR(
            configuration, folders: folders, width: language.width, tokensPerSide: side,
            store: store)
        let objective = configuration.objective
        balance =
            objective.kind != .none && objective.balance == .uncertainty
            ? try UncertaintyBalance(weight: objective.weight, in: store.scope["balance"]) : nil
        try checkGeometry()
    }

    /// Parts that do not fit each other are found here and not with the first picture.
    private func checkGeometry() throws {
        let layers = vision.layerCount
        guard (-layers - 1...layers).contains(configuration.features.layer) else {
            throw VLSAError.configuration(
                "features.vision_feature_layer is \(configuration.features.layer), but the tower has "
                    + "\(layers) layers: 0 (the embeddings) to \(layers), or -1 to \(-layers - 1) from the end"
            )
        }
        guard !configuration.features.keepsClassToken else {
            throw VLSAError.configuration(
                "features.vision_feature_select_strategy is full, but the tokens must be a grid without the "
                    + "class token; set it to default")
        }
        let rows = language.configuration.vocabularySize
        guard tokenizer.idLimit <= rows else {
            throw VLSAError.configuration(
                "the tokenizer has ids up to \(tokenizer.idLimit - 1), but the decoder's vocab_size is \(rows): "
                    + "they are not of the same model")
        }
        guard configuration.picture.tiling != .square || !configuration.perceiver.isEnabled else {
            throw VLSAError.configuration(
                "picture.tiling is square, which gives no tiles to gather from; set perceiver.enabled: false"
            )
        }
        let picture = configuration.picture
        if newline != nil {
            guard picture.tiling == .anyres else {
                throw VLSAError.configuration(
                    "unpadding is for picture.tiling: anyres, not \(picture.tiling.rawValue)")
            }
            guard !configuration.perceiver.isEnabled else {
                throw VLSAError.configuration(
                    "unpadding puts the tiles' own tokens in place of the perceiver's; set "
                        + "perceiver.enabled: false or unpadding.enabled: false")
            }
        }
        if picture.tiling == .anyres {
            let largest = try picture.pinpoints.candidates(
                tileWidth: picture.tileWidth, tileHeight: picture.tileHeight,
                order: picture.tieOrder
            ).max { $0.area < $1.area }
            let tiles = (largest?.area ?? 0) / (picture.tileWidth * picture.tileHeight)
            guard tiles <= picture.maxTiles else {
                throw VLSAError.configuration(
                    "picture.pinpoints has a resolution of \(tiles) tiles, more than picture.maxTiles, "
                        + "\(picture.maxTiles)")
            }
        }
        guard
            !configuration.perceiver.isEnabled || configuration.perceiver.cropPosition == .off
                || picture.snapshotSource == .padded
        else {
            throw VLSAError.configuration(
                "perceiver.cropPosition is gaussian, which takes snapshot and tiles to share one frame; set "
                    + "picture.snapshotSource: padded or perceiver.cropPosition: off")
        }
        let side = vision.configuration.imageSize
        guard configuration.picture.tileWidth == side, configuration.picture.tileHeight == side
        else {
            throw VLSAError.configuration(
                "picture.tileWidth x tileHeight is \(configuration.picture.tileWidth) x "
                    + "\(configuration.picture.tileHeight), but the tower takes \(side) x \(side)")
        }
    }

    // MARK: Seeing

    /// Tokens of a tile along one side.
    var tokensPerSide: Int { vision.configuration.imageSize / vision.configuration.patchSize }

    /// Visual tokens of the snapshot: all that a picture has, however large it is, unless its tiles' own are
    /// unpadded.
    public var visualTokenCount: Int { tokensPerSide * tokensPerSide }

    /// How many visual tokens a tiled picture has.
    public var visualTokenCounter: @Sendable (TileGeometry) -> Int {
        let (side, unpadding) = (tokensPerSide, newline == nil ? nil : configuration.unpadding)
        return { geometry in
            unpadding.map { $0.grid(of: geometry, side: side).tokenCount } ?? side * side
        }
    }

    /// Snapshot and tiles through the tower, the detail gathered into the snapshot's grid, projected.
    public func see(_ pictures: [TiledPicture]) -> VisualTokens {
        let features = features(of: pictures)
        if let newline, let unpadding = configuration.unpadding {
            return VisualTokens(
                pictures: unpacked(projector(features), pictures, unpadding, newline: newline))
        }
        guard let perceiver else { return VisualTokens(tokens: projector(features), pooled: nil) }

        // Pictures with the same tile grid are compressed together: ragged counts cost no padding.
        let grids = Dictionary(grouping: pictures.indices) { index in
            [pictures[index].geometry.columns, pictures[index].geometry.rows]
        }
        let counts = pictures.map(\.tileCount)
        let starts = counts.indices.map { pictures.count + counts[..<$0].reduce(0, +) }
        var order: [Int] = []
        var tokens: [Tensor] = []
        var pooled: [Tensor] = []
        for (grid, members) in grids.sorted(by: { $0.value[0] < $1.value[0] }) {
            let tileCount = grid[0] * grid[1]
            let rows = members.flatMap { starts[$0]..<(starts[$0] + tileCount) }
            let (length, width) = (features.shape[1], features.shape[2])
            let places = TokenPlaces(
                columns: grid[0], rows: grid[1], side: tokensPerSide, device: store.device)
            let compress = { (inputs: [Tensor]) -> [Tensor] in
                let compressed = perceiver(inputs[0], tiles: inputs[1], places: places)
                return [compressed.tokens, compressed.pooled]
            }
            let inputs = [
                features.selecting(
                    Tensor(members, shape: [members.count], device: store.device), axis: 0),
                features.selecting(
                    Tensor(rows, shape: [rows.count], device: store.device), axis: 0
                ).reshaped([members.count, tileCount * length, width]),
            ]
            let compressed =
                checkpointedParts.contains(.perceiver)
                ? checkpointed(inputs, results: 2, compress) : compress(inputs)
            tokens.append(compressed[0])
            pooled.append(compressed[1])
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

    /// What enters the perceiver (or, without one, the projector): features of all snapshots, then of all
    /// tiles, `[P + sum m, l, dv]`; `[…, d]` where the perceiver works behind the projector.
    func features(of pictures: [TiledPicture]) -> Tensor {
        let counts = pictures.map { perceiver == nil && newline == nil ? 0 : $0.tileCount }
        let features = vision.features(
            pixels(of: pictures, tileCounts: counts), configuration.features,
            isCheckpointed: checkpointedParts.contains(.vision))
        return perceiver?.configuration.space == .language ? projector(features) : features
    }

    /// Each picture's snapshot tokens, then its tiles' without padding, a newline after each row.
    private func unpacked(
        _ features: Tensor, _ pictures: [TiledPicture], _ unpadding: UnpaddingConfiguration,
        newline: Tensor
    ) -> [Tensor] {
        var start = pictures.count
        return pictures.enumerated().map { index, picture in
            defer { start += picture.tileCount }
            let grid = unpadding.grid(of: picture.geometry, side: tokensPerSide)
            guard grid.rows > 0 else { return features[index] }
            let rows = unpaddedRows(
                features.narrowed(axis: 0, start: start, length: picture.tileCount),
                columns: picture.geometry.columns, side: tokensPerSide, keptRows: grid.keptRows,
                keptColumns: grid.keptColumns,
                size: grid.isResized ? (grid.rows, grid.columns) : nil, newline: newline)
            return Tensor.concatenated([features[index], rows], axis: 0)
        }
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
    /// - Parameter generators: one for each sample; they draw the visual objective's times and noise.
    public func losses(_ samples: [Sample], generators: [Generator]) throws -> VLSALosses {
        prepareDropout(generators)
        let pictures = samples.flatMap(\.pictures)
        let seen = pictures.isEmpty ? nil : see(pictures)
        let batch = try PromptBatch(
            prompts: samples.map { sample in
                (
                    sample.ids, sample.isSupervised,
                    sample.pictures.map { visualTokenCounter($0.geometry) }
                )
            }, names: samples.map(\.recordID), arrangement: packsSequences ? .packed : .padded)
        let hidden = language(
            batch.embeddings(
                in: language, visual: seen.map { watched($0.rows, for: "text") },
                device: store.device), layout: batch.layout,
            isCheckpointed: checkpointedParts.contains(.language))
        let text =
            batch.targets.isEmpty
            ? nil : language.loss(hidden, rows: batch.predictingRows, targets: batch.targets)

        let visual = try seen.flatMap {
            try visualLoss(
                of: samples, seen: $0, hidden: hidden, places: batch.visualRows,
                generators: generators)
        }
        return VLSALosses(
            text: text?.sum, textCount: batch.targets.count, visual: visual,
            visualCount: visual == nil ? 0 : pictures.count)
    }

    /// The same tokens, the derivative of one loss on them to be measured, where both losses have their own.
    func watched(_ tokens: Tensor, for loss: String) -> Tensor {
        guard reconstruction != nil, tokens.requiresGradient else { return tokens }
        let (tensor, squares) = tokens.watchingGradient()
        tokenGradients.append((loss, squares))
        return tensor
    }

    /// Norm of the derivative of each loss's part of the objective on the visual tokens that both losses share,
    /// over all backward passes since the last call; empty where only one loss is trained, or nothing before
    /// the tokens.
    public func takeTokenGradients() -> [(loss: String, norm: Double)] {
        defer { tokenGradients = [] }
        return ["text", "visual"].compactMap { loss in
            let squares = tokenGradients.filter { $0.loss == loss }.map { $0.squares.item() }
            return squares.isEmpty ? nil : (loss, squares.reduce(0, +).squareRoot())
        }
    }
}
