/// A position in a picture, in pixels from its top left corner; pixel (0, 0) covers 0..<1.
public struct PicturePoint: Codable, Equatable, Sendable {
    /// Pixels from the left edge.
    public var x: Double
    /// Pixels from the top edge.
    public var y: Double

    /// The point `x` pixels from the left and `y` from the top.
    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }
}

/// An upright rectangle in a picture, in pixels.
public struct PictureRect: Codable, Equatable, Sendable {
    /// Its left edge.
    public var x: Double
    /// Its top edge.
    public var y: Double
    /// Pixels from its left to its right edge.
    public var width: Double
    /// Pixels from its top to its bottom edge.
    public var height: Double

    /// The rectangle whose top left corner is at (`x`, `y`).
    public init(x: Double, y: Double, width: Double, height: Double) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }

    /// Width times height.
    public var area: Double { width * height }

    /// Its middle.
    public var centre: PicturePoint { PicturePoint(x: x + width / 2, y: y + height / 2) }

    /// Whether a point lies in it; the right and bottom edge do not.
    public func contains(_ point: PicturePoint) -> Bool {
        point.x >= x && point.y >= y && point.x < x + width && point.y < y + height
    }

    /// What it shares with another, nil where that has no area.
    public func intersection(_ other: PictureRect) -> PictureRect? {
        let left = max(x, other.x)
        let top = max(y, other.y)
        let right = min(x + width, other.x + other.width)
        let bottom = min(y + height, other.y + other.height)
        guard right > left, bottom > top else { return nil }
        return PictureRect(x: left, y: top, width: right - left, height: bottom - top)
    }

    /// One cell of a grid laid over it.
    func cell(column: Int, row: Int, columns: Int, rows: Int) -> PictureRect {
        let (w, h) = (width / Double(columns), height / Double(rows))
        return PictureRect(x: x + Double(column) * w, y: y + Double(row) * h, width: w, height: h)
    }
}

/// Where every tile, and every token of a tile or of the snapshot, lies in the original picture.
///
/// The picture is `scaled`, then laid at `offset` into a canvas of size `padded`, which is cut into `columns` x
/// `rows` tiles, numbered row by row from 0. Rectangles are in the original picture's pixels; those of padding
/// reach outside of it.
public struct TileGeometry: Codable, Equatable, Sendable {
    /// Upright size of the picture in its file.
    public let original: PictureSize
    /// Its size in the canvas.
    public let scaled: PictureSize
    /// The canvas.
    public let padded: PictureSize
    /// Canvas column of the scaled picture's left edge; negative where the canvas cuts it.
    public let offsetX: Int
    /// Canvas row of the scaled picture's top edge; negative where the canvas cuts it.
    public let offsetY: Int
    /// Tiles across; 0 where there are none.
    public let columns: Int
    /// Tiles down; 0 where there are none.
    public let rows: Int
    /// Size of a tile and of the snapshot, in their own pixels.
    public let tile: PictureSize
    /// What the snapshot shows.
    public let snapshotSource: SnapshotSource

    /// Number of tiles.
    public var tileCount: Int { columns * rows }

    /// The whole picture.
    public var bounds: PictureRect {
        PictureRect(x: 0, y: 0, width: Double(original.width), height: Double(original.height))
    }

    /// What the snapshot shows, in original pixels.
    public var snapshotRect: PictureRect {
        switch snapshotSource {
        case .original: bounds
        case .padded:
            inOriginal(
                PictureRect(
                    x: 0, y: 0, width: Double(padded.width), height: Double(padded.height)))
        }
    }

    private var scaleX: Double { Double(original.width) / Double(scaled.width) }
    private var scaleY: Double { Double(original.height) / Double(scaled.height) }

    /// A rectangle of the canvas, in original pixels.
    func inOriginal(_ rect: PictureRect) -> PictureRect {
        PictureRect(
            x: (rect.x - Double(offsetX)) * scaleX, y: (rect.y - Double(offsetY)) * scaleY,
            width: rect.width * scaleX, height: rect.height * scaleY)
    }

    /// A tile's rectangle in original pixels. Traps where there is no such tile.
    public func tile(_ index: Int) -> PictureRect {
        guard (0..<tileCount).contains(index) else {
            fatalError("TileGeometry: tile \(index) of \(tileCount)")
        }
        return inOriginal(
            PictureRect(
                x: Double(index % columns * tile.width), y: Double(index / columns * tile.height),
                width: Double(tile.width), height: Double(tile.height)))
    }

    /// The part of the picture that a tile shows, nil where it is all padding.
    public func visible(tile index: Int) -> PictureRect? { tile(index).intersection(bounds) }

    /// The rectangle of token `index`, row by row, of a tile with `perSide` x `perSide` tokens.
    public func token(tile: Int, index: Int, perSide: Int) -> PictureRect {
        self.tile(tile).cell(
            column: index % perSide, row: index / perSide, columns: perSide, rows: perSide)
    }

    /// The rectangle of token `index`, row by row, of the snapshot with `perSide` x `perSide` tokens.
    public func snapshotToken(index: Int, perSide: Int) -> PictureRect {
        snapshotRect.cell(
            column: index % perSide, row: index / perSide, columns: perSide, rows: perSide)
    }

    // MARK: Original to tiles

    /// The tile that shows a point of the picture, and where in the tile, in its pixels. Nil where no tile does.
    public func place(of point: PicturePoint) -> (tile: Int, x: Double, y: Double)? {
        guard tileCount > 0 else { return nil }
        let x = point.x / scaleX + Double(offsetX)
        let y = point.y / scaleY + Double(offsetY)
        guard x >= 0, y >= 0, x < Double(padded.width), y < Double(padded.height) else {
            return nil
        }
        let column = min(Int(x) / tile.width, columns - 1)
        let row = min(Int(y) / tile.height, rows - 1)
        return (
            row * columns + column, x - Double(column * tile.width), y - Double(row * tile.height)
        )
    }

    /// The point of the picture that a position in a tile, in tile pixels, shows.
    public func point(tile index: Int, x: Double, y: Double) -> PicturePoint {
        let rect = tile(index)
        return PicturePoint(
            x: rect.x + x / Double(tile.width) * rect.width,
            y: rect.y + y / Double(tile.height) * rect.height)
    }

    /// The tile and its token that show a point of the picture.
    public func token(at point: PicturePoint, perSide: Int) -> (tile: Int, index: Int)? {
        guard let place = place(of: point) else { return nil }
        let column = min(Int(place.x * Double(perSide) / Double(tile.width)), perSide - 1)
        let row = min(Int(place.y * Double(perSide) / Double(tile.height)), perSide - 1)
        return (place.tile, row * perSide + column)
    }

    /// The snapshot's token that shows a point of the picture.
    public func snapshotToken(at point: PicturePoint, perSide: Int) -> Int? {
        let rect = snapshotRect
        guard rect.contains(point) else { return nil }
        let column = min(Int((point.x - rect.x) / rect.width * Double(perSide)), perSide - 1)
        let row = min(Int((point.y - rect.y) / rect.height * Double(perSide)), perSide - 1)
        return row * perSide + column
    }

    /// The tiles that show some of a rectangle of the picture, in order.
    public func tiles(showing rect: PictureRect) -> [Int] {
        (0..<tileCount).filter { tile($0).intersection(rect) != nil }
    }
}
