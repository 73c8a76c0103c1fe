import Torch

// Shapes: n patches along a tile's side, g tiles of a picture, D width.

/// Height and width, in pixels.
public struct GridSize: Codable, Equatable, Sendable {
    /// Pixels.
    public let height: Int
    /// Pixels.
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// Written as a pair, height first.
    public init(from decoder: any Decoder) throws {
        var values = try decoder.unkeyedContainer()
        height = try values.decode(Int.self)
        width = try values.decode(Int.self)
        guard height > 0, width > 0, values.isAtEnd else {
            throw DecodingError.dataCorruptedError(
                in: values, debugDescription: "a grid is two sizes in pixels, height and width")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.unkeyedContainer()
        try values.encode(height)
        try values.encode(width)
    }
}

/// How LLaVA-NeXT lays a picture's tiles out as tokens: the whole picture's first, then the tiles'
/// put together to one grid, the rows and columns of padding cut off, a newline vector after each
/// row.
public struct AnyResPacking: Equatable, Sendable {
    /// Canvases a picture may be cut on, in order of preference.
    public let pinpoints: [GridSize]
    /// Side of a tile in pixels.
    public let tileSize: Int
    /// Patches along a tile's side.
    public let side: Int
    /// Cuts fractions off as the original code does; transformers rounds to seven places first,
    /// which differs rarely.
    public let truncatesUnpadding: Bool

    public init(
        pinpoints: [GridSize], tileSize: Int, side: Int, truncatesUnpadding: Bool = false
    ) {
        self.pinpoints = pinpoints
        self.tileSize = tileSize
        self.side = side
        self.truncatesUnpadding = truncatesUnpadding
    }

    /// The canvas of a picture: most picture kept, then least canvas wasted, then the first.
    public func canvas(height: Int, width: Int) -> GridSize {
        var best = pinpoints[0]
        var (bestKept, bestWaste) = (-1, Int.max)
        for candidate in pinpoints {
            let scale = min(
                Double(candidate.width) / Double(width), Double(candidate.height) / Double(height))
            let kept = min(
                Int(Double(width) * scale) * Int(Double(height) * scale), width * height)
            let waste = candidate.width * candidate.height - kept
            if kept > bestKept || (kept == bestKept && waste < bestWaste) {
                (best, bestKept, bestWaste) = (candidate, kept, waste)
            }
        }
        return best
    }

    /// Tiles down and across the canvas of a picture.
    public func grid(height: Int, width: Int) -> (rows: Int, columns: Int) {
        let canvas = canvas(height: height, width: width)
        return (canvas.height / tileSize, canvas.width / tileSize)
    }

    /// Tiles of a picture, the whole picture counted as one.
    public func tileCount(height: Int, width: Int) -> Int {
        let grid = grid(height: height, width: width)
        return 1 + grid.rows * grid.columns
    }

    /// Rows and columns of the joined grid that show the picture and no padding.
    public func unpadded(height: Int, width: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let grid = grid(height: height, width: width)
        let (rows, columns) = (grid.rows * side, grid.columns * side)
        let (h, w) = (Double(height), Double(width))
        if w / h > Double(columns) / Double(rows) {
            let cut = (rows - whole(h * (Double(columns) / w))) / 2
            return (cut..<max(cut, rows - cut), 0..<columns)
        }
        let cut = (columns - whole(w * (Double(rows) / h))) / 2
        return (0..<rows, cut..<max(cut, columns - cut))
    }

    private func whole(_ length: Double) -> Int {
        truncatesUnpadding ? Int(length) : Int((length * 1e7).rounded(.toNearestOrEven) / 1e7)
    }

    /// Tokens of a picture.
    public func tokenCount(height: Int, width: Int) -> Int {
        let kept = unpadded(height: height, width: width)
        return side * side + kept.rows.count * (kept.columns.count + 1)
    }

    /// The tokens of one picture, `[tokenCount, D]`.
    ///
    /// - Parameters:
    ///   - tiles: `[g, n n, D]`, the whole picture first; more than needed are passed over.
    ///   - newline: `[D]`.
    public func pack(_ tiles: Tensor, height: Int, width: Int, newline: Tensor) -> Tensor {
        let grid = grid(height: height, width: width)
        let count = grid.rows * grid.columns
        let depth = tiles.shape[2]
        guard tiles.shape[0] > count, tiles.shape[1] == side * side else {
            fatalError(
                "packing \(tiles.shape): a \(height) x \(width) picture has \(count + 1) tiles of "
                    + "\(side * side) tokens")
        }
        let whole = tiles.narrowed(axis: 0, start: 0, length: 1).reshaped([side * side, depth])
        let kept = unpadded(height: height, width: width)
        guard !kept.rows.isEmpty else { return whole }
        let rows = unpaddedRows(
            tiles.narrowed(axis: 0, start: 1, length: count), columns: grid.columns, side: side,
            keptRows: kept.rows, keptColumns: kept.columns, newline: newline)
        return Tensor.concatenated([whole, rows], axis: 0)
    }
}
