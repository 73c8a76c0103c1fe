/// How large some samples are, as far as their work depends on it.
public struct StageExtent: Equatable, Sendable {
    /// Pictures, each with its snapshot.
    public let pictures: Int
    /// Tiles of all pictures, beside the snapshots.
    public let tiles: Int
    /// Positions of each sequence, those of its pictures included.
    public let lengths: [Int]
    /// Positions whose next token is supervised, in all sequences.
    public let predictions: Int

    public init(pictures: Int, tiles: Int, lengths: [Int], predictions: Int) {
        self.pictures = pictures
        self.tiles = tiles
        self.lengths = lengths
        self.predictions = predictions
    }
}

/// A product of one part's work: `[rows, in]` times a weight `[out, in]`, transposed.
public struct WorkProduct: Hashable, Sendable {
    public let rows: Int
    public let inWidth: Int
    public let outWidth: Int
    /// Whether the weight's derivative is a product too.
    public let trainsWeight: Bool
    /// Whether the input's derivative is a product too.
    public let passesDerivative: Bool
}

/// What one part of a model has to do for some samples, in floating-point operations, and what it has to keep.
public struct PartWork: Equatable, Sendable {
    /// First segment of its parameters' names.
    public let part: String
    /// What it works on, such as `37 x 577 tokens`.
    public let tokens: String
    /// Operations of the forward pass.
    public let forward: Double
    /// Operations of the derivatives.
    public let backward: Double
    /// Its products with weights, which are these operations but for ``attention``.
    public let products: [WorkProduct]
    /// Operations of the attentions' products, forward and backward.
    public let attention: Double
    /// Bytes that wait for the derivatives, or, without any, the most that is needed at a time. An estimate.
    public let activationBytes: Int
}

extension VLSAModel {
    /// Most tiles that a picture is cut into.
    public var maxTileCount: Int {
        let picture = configuration.picture
        guard perceiver != nil || configuration.unpadding?.isEnabled == true else { return 0 }
        switch picture.tiling {
        case .square: return 0
        case .vlsa: return picture.maxTiles
        case .anyres:
            let sizes = try? picture.pinpoints.candidates(
                tileWidth: picture.tileWidth, tileHeight: picture.tileHeight,
                order: picture.tieOrder)
            let tile = picture.tileWidth * picture.tileHeight
            return sizes?.map { $0.width * $0.height / tile }.max() ?? 0
        }
    }

    /// The largest sample with one picture: as many tiles as `picture` allows, `maxLength` tokens, and every
    /// token of its text supervised.
    public func largestSample(maxLength: Int) -> StageExtent {
        StageExtent(
            pictures: 1, tiles: maxTileCount, lengths: [maxLength],
            predictions: max(0, maxLength - visualTokenCount))
    }
}
