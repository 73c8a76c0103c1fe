/// A picture prepared as a checkpoint's own processor prepares it.
public struct ProcessedPicture: Sendable, Equatable {
    /// Views: 1, or for LLaVA-NeXT the base view and the tiles.
    public let count: Int
    /// Size of a view.
    public let size: PictureSize
    /// Resized, padded and cropped, before any scaling: `[count, 3, height, width]`.
    public let bytes: [UInt8]
    /// Where the tiles lie, for LLaVA-NeXT.
    public let geometry: TileGeometry?
}

/// The image processor of a checkpoint: CLIP, SigLIP, DINOv2, LLaVA-1.5 (padded) or LLaVA-NeXT.
///
/// Bytes and values are those of the Hugging Face processors that work on Pillow pictures.
public struct ImageProcessor: Sendable {
    /// What the checkpoint's `preprocessor_config.json` says.
    public let configuration: ImageProcessorConfiguration
    /// How bytes become the tower's input values.
    public let normalisation: Normalisation

    private let tiler: Tiler?

    /// Throws where a LLaVA-NeXT configuration's resolutions do not fit its tile.
    public init(_ configuration: ImageProcessorConfiguration) throws {
        self.configuration = configuration
        normalisation = Normalisation(
            rescaleFactor: configuration.rescaleFactor, mean: configuration.mean,
            deviation: configuration.deviation)
        guard configuration.kind == .anyres else {
            tiler = nil
            return
        }
        guard let tile = configuration.crop ?? configuration.fixedSize else {
            throw PictureError.badConfiguration(
                key: "crop_size", reason: "LLaVA-NeXT needs it as the tile's size")
        }
        tiler = try Tiler(
            TilingConfiguration(
                tiling: .anyres, tileWidth: tile.width, tileHeight: tile.height,
                pinpoints: .list(configuration.pinpoints), tieOrder: .huggingface))
    }

    /// From a `preprocessor_config.json`, or the folder that holds one.
    public init(path: String) throws {
        try self.init(ImageProcessorConfiguration(path: path))
    }

    /// The views of a picture.
    public func process(_ pixels: Pixels) throws -> ProcessedPicture {
        switch configuration.kind {
        case .plain:
            return single(framed(pixels))
        case .padded:
            let colour = (configuration.mean ?? [0, 0, 0]).map { UInt8(min(max($0 * 255, 0), 255)) }
            return single(framed(pixels.paddedToSquare(colour: colour, padding: .centre)))
        case .anyres:
            guard let tiler else { fatalError("ImageProcessor: an anyres processor has a tiler") }
            let geometry = try tiler.plan(width: pixels.width, height: pixels.height)
            let base = baseView(of: pixels, tile: geometry.tile)
            let tiles = tiler.tiles(of: pixels, geometry, filter: configuration.filter)
            return ProcessedPicture(
                count: geometry.tileCount + 1, size: geometry.tile,
                bytes: base.planar() + framed(tiles: tiles, geometry), geometry: geometry)
        }
    }

    /// The views' values as the tower takes them, `[count, 3, height, width]`.
    public func values(of picture: ProcessedPicture) -> [Float] {
        normalisation.values(of: picture.bytes, plane: picture.size.area)
    }

    private func single(_ view: Pixels) -> ProcessedPicture {
        ProcessedPicture(count: 1, size: view.size, bytes: view.planar(), geometry: nil)
    }

    /// Resized and cropped.
    private func framed(_ pixels: Pixels) -> Pixels {
        let size =
            switch configuration.size {
            case .shortestEdge(let edge): pixels.size.scaled(shortestEdge: edge)
            case .exactly(let size): size
            case nil: pixels.size
            }
        return pixels.resizedAndCropped(
            to: size, crop: configuration.crop ?? size, filter: configuration.filter)
    }

    /// Tiles go through the same framing as any picture, which changes them only where `size` is not the tile's.
    private func framed(tiles: [UInt8], _ geometry: TileGeometry) -> [UInt8] {
        guard let size = configuration.fixedSize, size != geometry.tile else { return tiles }
        let bytes = geometry.tile.area * 3
        return (0..<geometry.tileCount).flatMap { index in
            let tile = Pixels(
                width: geometry.tile.width, height: geometry.tile.height,
                planar: Array(tiles[index * bytes..<(index + 1) * bytes]))
            return framed(tile).planar()
        }
    }

    /// The whole picture squashed to the base size, then framed as any other.
    private func baseView(of pixels: Pixels, tile: PictureSize) -> Pixels {
        let size =
            switch configuration.size {
            case .shortestEdge(let edge): PictureSize(width: edge, height: edge)
            case .exactly(let size): size
            case nil: tile
            }
        return framed(
            resized(
                pixels, width: size.width, height: size.height, filter: configuration.filter))
    }
}

extension ImageProcessorConfiguration {
    var fixedSize: PictureSize? {
        switch size {
        case .exactly(let size): size
        case .shortestEdge(let edge): PictureSize(width: edge, height: edge)
        case nil: nil
        }
    }
}
