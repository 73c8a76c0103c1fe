import CPixels

/// A picture as the vision tower sees it.
public struct TiledPicture: Sendable, Equatable {
    /// The low-resolution whole, `[3, tileHeight, tileWidth]`.
    public let snapshot: [UInt8]
    /// The tiles row by row, `[tileCount, 3, tileHeight, tileWidth]`.
    public let tiles: [UInt8]
    /// Where they lie in the original picture.
    public let geometry: TileGeometry

    /// A picture cut elsewhere, such as one read back from a cache.
    public init(snapshot: [UInt8], tiles: [UInt8], geometry: TileGeometry) {
        self.snapshot = snapshot
        self.tiles = tiles
        self.geometry = geometry
    }

    /// Number of tiles.
    public var tileCount: Int { geometry.tileCount }

    /// The snapshot as a picture to look at.
    public var snapshotPixels: Pixels {
        Pixels(width: geometry.tile.width, height: geometry.tile.height, planar: snapshot)
    }

    /// A tile as a picture to look at.
    public func tilePixels(_ index: Int) -> Pixels {
        let size = geometry.tile.area * 3
        return Pixels(
            width: geometry.tile.width, height: geometry.tile.height,
            planar: Array(tiles[index * size..<(index + 1) * size]))
    }
}

/// Cuts pictures into a snapshot and tiles.
public struct Tiler: Sendable {
    /// What decides the cut.
    public let configuration: TilingConfiguration

    /// Most pixels of a padded picture: 100 million.
    public static let maxCanvasPixels = 100_000_000

    private let candidates: [PictureSize]

    /// Throws where the configuration cannot work.
    public init(_ configuration: TilingConfiguration) throws {
        try configuration.check()
        self.configuration = configuration
        candidates =
            configuration.tiling == .anyres
            ? try configuration.pinpoints.candidates(
                tileWidth: configuration.tileWidth, tileHeight: configuration.tileHeight,
                order: configuration.tieOrder) : []
    }

    /// The cut of a picture of this size, without its pixels.
    public func plan(width: Int, height: Int) throws -> TileGeometry {
        let size = PictureSize(width: width, height: height)
        guard width >= 1, height >= 1 else { throw PictureError.noPixels(size: size) }
        switch configuration.tiling {
        case .vlsa: return try planSmallestMultiples(size)
        case .anyres: return try planBestResolution(size)
        case .square: return planSquare(size)
        }
    }

    /// Cuts a decoded picture; places are in the pixels of its file.
    public func tile(_ picture: Picture) throws -> TiledPicture {
        try tile(picture.pixels, original: picture.original)
    }

    /// Cuts a picture. `original` is its size before a reader shrank it, where one did.
    public func tile(_ pixels: Pixels, original: PictureSize? = nil) throws -> TiledPicture {
        let original = original ?? pixels.size
        let geometry = try plan(width: original.width, height: original.height)
        if configuration.tiling == .square {
            let snapshot = squared(pixels)
            return TiledPicture(snapshot: snapshot.planar(), tiles: [], geometry: geometry)
        }
        let scaled = resized(pixels, width: geometry.scaled.width, height: geometry.scaled.height)
        let snapshot: Pixels
        switch configuration.snapshotSource {
        case .original:
            snapshot = resized(
                pixels, width: configuration.tileWidth, height: configuration.tileHeight)
        case .padded:
            snapshot = resized(
                padded(scaled, geometry), width: configuration.tileWidth,
                height: configuration.tileHeight)
        }
        return TiledPicture(
            snapshot: snapshot.planar(), tiles: cut(scaled, geometry), geometry: geometry)
    }
}

// MARK: - Planning

extension Tiler {
    private var tileSize: PictureSize {
        PictureSize(width: configuration.tileWidth, height: configuration.tileHeight)
    }

    private func planSmallestMultiples(_ size: PictureSize) throws -> TileGeometry {
        let scaled = fittingBudget(size)
        let columns = (scaled.width + tileSize.width - 1) / tileSize.width
        let rows = (scaled.height + tileSize.height - 1) / tileSize.height
        return try geometry(
            of: size, scaled: scaled,
            padded: PictureSize(width: columns * tileSize.width, height: rows * tileSize.height))
    }

    /// The largest size, aspect kept and at most the picture's own, that needs at most `maxTiles` tiles.
    private func fittingBudget(_ size: PictureSize) -> PictureSize {
        let (tw, th) = (tileSize.width, tileSize.height)
        let natural = (columns: (size.width + tw - 1) / tw, rows: (size.height + th - 1) / th)
        guard natural.columns * natural.rows > configuration.maxTiles else { return size }
        var best = PictureSize(width: 1, height: 1)
        var bestScale = 0.0
        for columns in 1...min(natural.columns, configuration.maxTiles) {
            let rows = min(natural.rows, configuration.maxTiles / columns)
            let (byWidth, byHeight) = (columns * tw * size.height, rows * th * size.width)
            let scale = Double(min(byWidth, byHeight)) / (Double(size.width) * Double(size.height))
            guard scale > bestScale else { continue }
            bestScale = scale
            if byWidth <= byHeight {
                let height = (2 * byWidth + size.width) / (2 * size.width)
                best = PictureSize(width: columns * tw, height: max(1, height))
            } else {
                let width = (2 * byHeight + size.height) / (2 * size.height)
                best = PictureSize(width: max(1, width), height: rows * th)
            }
        }
        return best
    }

    private func planBestResolution(_ size: PictureSize) throws -> TileGeometry {
        guard let target = bestResolution(for: size, among: candidates) else {
            fatalError("Tiler: an anyres configuration has candidates")
        }
        let scaleX = Double(target.width) / Double(size.width)
        let scaleY = Double(target.height) / Double(size.height)
        // The rounding of the doubles shows in the sizes, and must: 4000 x 3000 becomes 672 x 505.
        let scaled =
            scaleX < scaleY
            ? PictureSize(
                width: target.width,
                height: min(Int((Double(size.height) * scaleX).rounded(.up)), target.height))
            : PictureSize(
                width: min(Int((Double(size.width) * scaleY).rounded(.up)), target.width),
                height: target.height)
        return try geometry(of: size, scaled: scaled, padded: target)
    }

    private func geometry(
        of size: PictureSize, scaled: PictureSize, padded: PictureSize
    ) throws -> TileGeometry {
        guard padded.area <= Self.maxCanvasPixels else {
            throw PictureError.canvasTooLarge(
                size: size, canvas: padded, limit: Self.maxCanvasPixels)
        }
        let isCentred = configuration.padding == .centre
        return TileGeometry(
            original: size, scaled: scaled, padded: padded,
            offsetX: isCentred ? (padded.width - scaled.width) / 2 : 0,
            offsetY: isCentred ? (padded.height - scaled.height) / 2 : 0,
            columns: padded.width / tileSize.width, rows: padded.height / tileSize.height,
            tile: tileSize, snapshotSource: configuration.snapshotSource)
    }

    private func planSquare(_ size: PictureSize) -> TileGeometry {
        var scaled = size
        var padded = size
        var (offsetX, offsetY) = (0, 0)
        switch configuration.squareFit {
        case .squash: break
        case .pad:
            let side = max(size.width, size.height)
            padded = PictureSize(width: side, height: side)
            if configuration.padding == .centre {
                (offsetX, offsetY) = ((side - size.width) / 2, (side - size.height) / 2)
            }
        case .crop:
            let side = tileSize.width
            scaled = size.scaled(shortestEdge: side)
            padded = tileSize
            (offsetX, offsetY) = (-((scaled.width - side) / 2), -((scaled.height - side) / 2))
        }
        return TileGeometry(
            original: size, scaled: scaled, padded: padded, offsetX: offsetX, offsetY: offsetY,
            columns: 0, rows: 0, tile: tileSize, snapshotSource: .padded)
    }
}

// MARK: - Pixels

extension Tiler {
    /// The tiles of a planned picture, `[tileCount, 3, tileHeight, tileWidth]`.
    func tiles(of pixels: Pixels, _ geometry: TileGeometry, filter: ResizeFilter) -> [UInt8] {
        cut(
            resized(
                pixels, width: geometry.scaled.width, height: geometry.scaled.height,
                filter: filter), geometry)
    }

    private func squared(_ pixels: Pixels) -> Pixels {
        let side = configuration.tileWidth
        switch configuration.squareFit {
        case .squash:
            return resized(pixels, width: side, height: configuration.tileHeight)
        case .pad:
            let square = pixels.paddedToSquare(
                colour: configuration.padColour, padding: configuration.padding)
            return resized(square, width: side, height: side)
        case .crop:
            return pixels.resizedAndCropped(
                to: pixels.size.scaled(shortestEdge: side),
                crop: PictureSize(width: side, height: side), filter: .bicubic)
        }
    }

    private func padded(_ scaled: Pixels, _ geometry: TileGeometry) -> Pixels {
        guard scaled.size != geometry.padded else { return scaled }
        return Pixels(
            width: geometry.padded.width, height: geometry.padded.height,
            colour: configuration.padColour
        ).pasting(scaled, x: geometry.offsetX, y: geometry.offsetY)
    }

    /// The tiles of a canvas that is never made: each is padding with its part of the picture over it.
    private func cut(_ scaled: Pixels, _ geometry: TileGeometry) -> [UInt8] {
        let plane = tileSize.area
        let total = geometry.tileCount * plane * 3
        return [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            for index in 0..<geometry.tileCount {
                let out = UnsafeMutableBufferPointer(
                    rebasing: buffer[index * plane * 3..<(index + 1) * plane * 3])
                copyTile(index, of: scaled, geometry, to: out.baseAddress!)
            }
            count = total
        }
    }

    private func copyTile(
        _ index: Int, of scaled: Pixels, _ geometry: TileGeometry,
        to out: UnsafeMutablePointer<UInt8>
    ) {
        let plane = tileSize.area
        // The tile's frame in the scaled picture's pixels, and what of the picture is in it.
        let left = index % geometry.columns * tileSize.width - geometry.offsetX
        let top = index / geometry.columns * tileSize.height - geometry.offsetY
        let x = max(left, 0)..<max(max(left, 0), min(left + tileSize.width, scaled.width))
        let y = max(top, 0)..<max(max(top, 0), min(top + tileSize.height, scaled.height))
        if x.count < tileSize.width || y.count < tileSize.height {
            for channel in 0..<3 {
                (out + channel * plane).update(
                    repeating: configuration.padColour[channel], count: plane)
            }
        }
        guard !x.isEmpty, !y.isEmpty else { return }
        scaled.bytes.withUnsafeBufferPointer { bytes in
            cpixels_to_planes(
                bytes.baseAddress! + (y.lowerBound * scaled.width + x.lowerBound) * 3,
                scaled.width * 3, x.count, y.count,
                out + (y.lowerBound - top) * tileSize.width + (x.lowerBound - left), plane,
                tileSize.width)
        }
    }
}
