/// How the length of an unpadded feature grid is cut to a whole number.
public enum UnpadRounding: String, Codable, CaseIterable, Sendable {
    /// Truncated from the raw double, as in the official code.
    case llava
    /// Rounded at the seventh decimal first, as in Hugging Face's.
    case huggingface
}

/// The tile features of the `anyres` tiling that show the picture and not its padding.
///
/// The features of all tiles, put side by side, are a grid of `rows` x `columns` of the tiles times `patchesPerSide`
/// squared. Padding is cut off at two opposite sides, then a grid above `maxTiles` tiles' worth is made smaller.
/// Each row ends with a newline token.
public struct UnpaddedGrid: Equatable, Sendable {
    /// Patches along a tile's side.
    public let patchesPerSide: Int
    /// Rows of the joined grid that are kept.
    public let keptRows: Range<Int>
    /// Columns of the joined grid that are kept.
    public let keptColumns: Range<Int>
    /// Rows after a grid above the cap was resized bilinearly (corners not aligned, no antialiasing).
    public let rows: Int
    /// Columns after that.
    public let columns: Int

    /// Whether the kept features are resized.
    public var isResized: Bool { rows != keptRows.count || columns != keptColumns.count }

    /// Visual tokens of the picture: the base view, then every row with its newline.
    public var tokenCount: Int { patchesPerSide * patchesPerSide + rows * (columns + 1) }
}

extension TileGeometry {
    /// The features kept of this picture's tiles. `maxTiles` is N of `anyres_max_N`, nil for no cap.
    public func unpaddedGrid(
        patchesPerSide: Int, rounding: UnpadRounding = .llava, maxTiles: Int? = nil
    ) -> UnpaddedGrid {
        let (gridRows, gridColumns) = (rows * patchesPerSide, columns * patchesPerSide)
        let (width, height) = (Double(original.width), Double(original.height))
        func whole(_ value: Double) -> Int {
            switch rounding {
            case .llava: Int(value)
            case .huggingface: Int((value * 1e7).rounded(.toNearestOrEven) / 1e7)
            }
        }
        var keptRows = 0..<gridRows
        var keptColumns = 0..<gridColumns
        if width / height > Double(gridColumns) / Double(gridRows) {
            let length = whole(height * (Double(gridColumns) / width))
            let padding = (gridRows - length) / 2
            keptRows = padding..<gridRows - padding
        } else {
            let length = whole(width * (Double(gridRows) / height))
            let padding = (gridColumns - length) / 2
            keptColumns = padding..<gridColumns - padding
        }
        var (finalRows, finalColumns) = (keptRows.count, keptColumns.count)
        if let maxTiles {
            let budget = Double(maxTiles * patchesPerSide * patchesPerSide)
            let times = (Double(finalRows * finalColumns) / budget).squareRoot()
            if times > 1.1 {
                finalRows = Int(Double(finalRows) / times)
                finalColumns = Int(Double(finalColumns) / times)
            }
        }
        return UnpaddedGrid(
            patchesPerSide: patchesPerSide, keptRows: keptRows, keptColumns: keptColumns,
            rows: finalRows, columns: finalColumns)
    }
}
