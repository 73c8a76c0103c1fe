extension Synthesis {
    /// A picture told in words, the way ideal visual tokens would tell it: squeezed onto a grid of
    /// cells, row by row, each cell the captions of what is in it, followed by `|`.
    ///
    /// A small region's caption stands in the cell of its centre, a large one's in every cell that
    /// it covers by half; digits stand last.
    public static func words(of picture: Picture, columns: Int = 8, rows: Int = 8) -> String {
        let (cellWidth, cellHeight) = (
            Double(picture.width) / Double(columns), Double(picture.height) / Double(rows)
        )
        var cells = [[Region]](repeating: [], count: columns * rows)
        for region in picture.regions where region.kind.isElementary {
            let box = region.box
            let column = min(columns - 1, max(0, Int(box.midX / cellWidth)))
            let row = min(rows - 1, max(0, Int(box.midY / cellHeight)))
            for index in cells.indices {
                let (x, y) = (index % columns, index / columns)
                let isCentre = x == column && y == row
                let isCovered =
                    region.kind.isLarge
                    && Box(
                        Double(x) * cellWidth, Double(y) * cellHeight, Double(x + 1) * cellWidth,
                        Double(y + 1) * cellHeight
                    ).share(in: box) >= 0.5
                if isCentre || isCovered { cells[index].append(region) }
            }
        }
        return cells.map { regions in
            // Digits last, in the order in which they were drawn: as one reads.
            let glyphs = regions.filter { $0.kind == .glyph }
            let others = regions.filter { $0.kind != .glyph }
            return (others + glyphs).map { $0.caption + " " }.joined() + "|"
        }.joined(separator: " ")
    }
}

extension Synthesis.Region.Kind {
    /// Whether it may cover several cells of a coarse grid.
    fileprivate var isLarge: Bool {
        switch self {
        case .bar, .plate, .header, .paragraph, .row, .highlight: true
        case .shape, .dot, .point, .marker, .word, .glyph, .text, .group: false
        }
    }
}
