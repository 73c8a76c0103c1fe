extension Synthesis {
    /// A picture told in words, the way ideal visual tokens would tell it: squeezed onto a grid of
    /// cells, row by row, with `|` between them. Each cell, also an empty one, begins with the name
    /// of its place among nine and goes on with the captions of what is in it.
    ///
    /// A small region's caption stands in the cell of its centre, a large one's in every cell that
    /// it covers by half; digits stand last, as one reads.
    public static func words(of picture: Picture, columns: Int = 8, rows: Int = 8) -> String {
        var cells = (0..<columns * rows).map { index in
            let band = (band(index % columns, of: columns), band(index / columns, of: rows))
            return SynthesisPlace.names[band.1 * 3 + band.0]
        }
        let glyphs = picture.regions.filter { $0.kind == .glyph }
        let others = picture.regions.filter { $0.kind != .glyph && $0.kind.isElementary }
        for region in others + glyphs {
            let box = region.box
            let isLarge = region.kind.isLarge
            let x = Extent(box.x0, box.x1, of: Double(picture.width), columns, isLarge: isLarge)
            let y = Extent(box.y0, box.y1, of: Double(picture.height), rows, isLarge: isLarge)
            var isTold = false
            for row in y.cells {
                for column in x.cells where x.share(column) * y.share(row) >= 0.5 {
                    cells[row * columns + column] += " " + region.caption
                    isTold = true
                }
            }
            if !isTold { cells[y.centre * columns + x.centre] += " " + region.caption }
        }
        return cells.joined(separator: " | ")
    }

    /// Which of three bands a cell of so many is in: of eight, the first three, two and three.
    private static func band(_ cell: Int, of count: Int) -> Int {
        let middle = (Double(cell) + 0.5) / Double(count)
        return middle < 0.375 ? 0 : middle < 0.625 ? 1 : 2
    }

    /// The cells that a region covers along one axis: those covered by half, or where there are
    /// none, as under a narrow bar, that of its middle, which then counts as covered whole.
    private struct Extent {
        let centre: Int
        let cells: ClosedRange<Int>
        private let isCovered: Bool
        private let from: Double
        private let to: Double

        init(_ start: Double, _ end: Double, of length: Double, _ count: Int, isLarge: Bool) {
            let size = length / Double(count)
            centre = min(count - 1, max(0, Int((start + end) / 2 / size)))
            (from, to) = (start / size, end / size)
            let first = Int((from + 0.5).rounded(.down))
            let last = min(count, Int((to + 0.5).rounded(.down))) - 1
            isCovered = isLarge && first <= last
            cells = isCovered ? first...last : centre...centre
        }

        /// The share of the cell that is covered, 0...1.
        func share(_ cell: Int) -> Double {
            isCovered ? min(to, Double(cell + 1)) - max(from, Double(cell)) : 1
        }
    }
}

extension Synthesis.Region.Kind {
    /// Whether it may cover several cells of a coarse grid.
    fileprivate var isLarge: Bool {
        switch self {
        case .shape, .bar, .plate, .header, .highlight: true
        case .dot, .point, .marker, .word, .paragraph, .row, .glyph, .text, .group: false
        }
    }
}
