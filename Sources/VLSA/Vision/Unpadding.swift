import AnyRes
import Torch

// Shapes: l = n n tokens of a tile, m tiles of a picture, D width.

/// LLaVA-NeXT's path from tiles to visual tokens, read from `unpadding` in `config.json` and in a stage file.
///
/// The snapshot's tokens, then the tiles' put together to one grid, the padding's rows and columns cut off, a
/// learned newline token after each row: nothing is compressed, and the number of tokens follows the picture.
public struct UnpaddingConfiguration: Codable, Equatable, Sendable {
    public var isEnabled: Bool
    /// How the length of the kept grid is cut to a whole number.
    public var rounding: UnpadRounding
    /// N of `anyres_max_N`: a larger grid is resized to about N tiles' worth of tokens; nil for no cap.
    public var maxTiles: Int?

    public init(isEnabled: Bool = true, rounding: UnpadRounding = .llava, maxTiles: Int? = nil) {
        self.isEnabled = isEnabled
        self.rounding = rounding
        self.maxTiles = maxTiles
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case isEnabled = "enabled"
        case rounding, maxTiles
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        isEnabled = try values.decodeIfPresent(Bool.self, forKey: .isEnabled) ?? true
        rounding = try values.decodeIfPresent(UnpadRounding.self, forKey: .rounding) ?? .llava
        maxTiles = try values.decodeIfPresent(Int.self, forKey: .maxTiles)
        try values.require((maxTiles ?? 1) >= 1, .maxTiles, "must be 1 or more")
    }

    /// The kept grid of a picture whose tiles have `side` x `side` tokens.
    func grid(of geometry: TileGeometry, side: Int) -> UnpaddedGrid {
        geometry.unpaddedGrid(patchesPerSide: side, rounding: rounding, maxTiles: maxTiles)
    }
}

/// The tokens of tiles that show the picture, row by row, a newline after each: `[rows * (columns + 1), D]`.
///
/// - Parameters:
///   - tiles: `[m, l, D]`, row by row of the tile grid.
///   - columns: tiles across; `side`: tokens along a tile's side.
///   - keptRows: of the joined grid; `keptColumns` likewise.
///   - size: rows and columns that the kept part is resized to, bilinearly; nil leaves it.
///   - newline: `[D]`.
func unpaddedRows(
    _ tiles: Tensor, columns: Int, side: Int, keptRows: Range<Int>, keptColumns: Range<Int>,
    size: (rows: Int, columns: Int)? = nil, newline: Tensor
) -> Tensor {
    let depth = tiles.shape[2]
    let rows = tiles.shape[0] / columns
    var joined = tiles.reshaped([rows, columns, side, side, depth])
        .permuted([0, 2, 1, 3, 4])
        .reshaped([rows * side, columns * side, depth])
        .narrowed(axis: 0, start: keptRows.lowerBound, length: keptRows.count)
        .narrowed(axis: 1, start: keptColumns.lowerBound, length: keptColumns.count)
    if let size, size.rows > 0, size.columns > 0 {
        joined = joined.permuted([2, 0, 1]).unsqueezed(0)
            .resizedBilinear(height: size.rows, width: size.columns)[0].permuted([1, 2, 0])
    }
    let ends = newline.expanded(to: [joined.shape[0], 1, depth])
    return Tensor.concatenated([joined, ends], axis: 1).reshaped([-1, depth])
}
