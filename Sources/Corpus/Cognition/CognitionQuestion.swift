import AnyRes
import Codecs

/// A task with its place in a picture drawn and its answer known, before it is put into words.
struct CognitionQuestion: Equatable {
    /// What an answer says.
    enum Answer: Equatable {
        /// Codes on a grid with so many columns.
        case codes([Int], columns: Int)
        /// Colours on a grid with so many columns.
        case colours([ColourLevels], columns: Int)
        /// Cells, row and column counted from 1.
        case cells([Cell])
    }

    struct Cell: Equatable {
        var row: Int
        var column: Int
    }

    let task: CognitionTask
    /// Values of its templates' fields, `frame` and those written in a vocabulary excepted.
    var fields: [String: String]
    /// The frame its coordinates are in, where it has any.
    var frame: CoordinateFrame?
    /// A colour it names.
    var colour: ColourLevels?
    /// A code it names.
    var code: Int?
    /// The parts of the picture it is about, or where its answer lies.
    var regions: [CognitionRegion]
    let answer: Answer

    /// The cells that its one region is divided into; nil where its regions are cells themselves.
    var cells: GridShape? {
        let (count, columns): (Int, Int)
        switch answer {
        case .codes(let codes, let width): (count, columns) = (codes.count, width)
        case .colours(let colours, let width): (count, columns) = (colours.count, width)
        case .cells: return nil
        }
        guard regions.count == 1, count > 1 else { return nil }
        return GridShape(rows: count / columns, columns: columns)
    }

    /// Numbers in its answer.
    var numberCount: Int {
        switch answer {
        case .codes(let codes, _): codes.count
        case .colours(let colours, _): 3 * colours.count
        case .cells(let cells): 2 * cells.count
        }
    }
}

/// Draws questions about one picture.
struct CognitionQuestionMaker {
    let picture: CognitionPicture
    let configuration: CognitionConfiguration
    /// Numbers that the answer may have.
    let budget: Int

    /// A question of a task; nil where this picture and budget give none.
    func question(
        _ task: CognitionTask, _ generator: inout SeededGenerator
    ) throws -> CognitionQuestion? {
        switch task {
        case .vqGrid: try grid()
        case .vqWindow: try window(&generator)
        case .vqCell: try cells(1, task, &generator)
        case .vqCells: try cells(2 + generator.below(5), task, &generator)
        case .vqFind: try find(&generator)
        case .pxQuarter: try region(task, share: (1, 2), ofUpperLeft: true, &generator)
        case .pxWindow:
            try region(task, share: (1, 4 + generator.below(5)), ofUpperLeft: false, &generator)
        case .pxPoint: try point(&generator)
        case .pxFind: try findColour(&generator)
        }
    }

    // MARK: Codes

    /// The finest whole grid, up to the coarse one asked for, that the budget holds.
    private func grid() throws -> CognitionQuestion? {
        var side = configuration.coarseGrid
        while side > 1, picture.shape(longestSide: side).count > budget { side -= 1 }
        guard let codes = try picture.codes(longestSide: side), codes.shape.count <= budget else {
            return nil
        }
        return CognitionQuestion(
            task: .vqGrid, fields: sizes(codes.shape),
            regions: [region(codes.shape, rows: 0..<codes.rows, columns: 0..<codes.columns)],
            answer: .codes(codes.values, columns: codes.columns))
    }

    private func window(_ generator: inout SeededGenerator) throws -> CognitionQuestion? {
        guard let codes = try picture.codes(longestSide: configuration.grid) else { return nil }
        let rows = generator.integer(in: 1...min(codes.rows, 6, budget))
        let columns = generator.integer(in: 1...min(codes.columns, 6, budget / rows))
        let top = generator.below(codes.rows - rows + 1)
        let left = generator.below(codes.columns - columns + 1)
        var fields = sizes(codes.shape)
        fields["top"] = "\(top + 1)"
        fields["bottom"] = "\(top + rows)"
        fields["left"] = "\(left + 1)"
        fields["right"] = "\(left + columns)"
        fields["height"] = "\(rows)"
        fields["width"] = "\(columns)"
        let values = codes.window(rows: top..<top + rows, columns: left..<left + columns)
        return CognitionQuestion(
            task: .vqWindow, fields: fields,
            regions: [
                region(codes.shape, rows: top..<top + rows, columns: left..<left + columns)
            ], answer: .codes(values, columns: columns))
    }

    /// Some cells, in reading order.
    private func cells(
        _ count: Int, _ task: CognitionTask, _ generator: inout SeededGenerator
    ) throws -> CognitionQuestion? {
        guard let codes = try picture.codes(longestSide: configuration.grid) else { return nil }
        let chosen = generator.sample(min(count, budget), below: codes.shape.count)
        guard task == .vqCell || chosen.count > 1 else { return nil }
        let cells = chosen.map {
            CognitionQuestion.Cell(row: $0 / codes.columns + 1, column: $0 % codes.columns + 1)
        }
        var fields = sizes(codes.shape)
        fields["row"] = "\(cells[0].row)"
        fields["column"] = "\(cells[0].column)"
        fields["count"] = "\(cells.count)"
        fields["cells"] = cells.map { "(\($0.row), \($0.column))" }.joined(separator: ", ")
        return CognitionQuestion(
            task: task, fields: fields, regions: cells.map { region(codes.shape, $0) },
            answer: .codes(chosen.map { codes.values[$0] }, columns: chosen.count))
    }

    /// All cells of a code that occurs at most four times on the coarse grid.
    private func find(_ generator: inout SeededGenerator) throws -> CognitionQuestion? {
        guard let codes = try picture.codes(longestSide: configuration.coarseGrid) else {
            return nil
        }
        let places = Dictionary(grouping: codes.values.indices) { codes.values[$0] }
        let candidates = places.filter { $0.value.count <= min(4, budget / 2) }.keys.sorted()
        guard !candidates.isEmpty else { return nil }
        let code = generator.element(of: candidates)
        let cells = (places[code] ?? []).map {
            CognitionQuestion.Cell(row: $0 / codes.columns + 1, column: $0 % codes.columns + 1)
        }
        return CognitionQuestion(
            task: .vqFind, fields: sizes(codes.shape), code: code,
            regions: cells.map { region(codes.shape, $0) }, answer: .cells(cells))
    }

    private func sizes(_ shape: GridShape) -> [String: String] {
        ["rows": "\(shape.rows)", "columns": "\(shape.columns)", "codes": "\(picture.codeCount)"]
    }

    private func region(_ shape: GridShape, _ cell: CognitionQuestion.Cell) -> CognitionRegion {
        region(shape, rows: cell.row - 1..<cell.row, columns: cell.column - 1..<cell.column)
    }

    private func region(
        _ shape: GridShape, rows: Range<Int>, columns: Range<Int>
    ) -> CognitionRegion {
        CognitionRegion(
            x: columns, of: shape.columns, y: rows, of: shape.rows, in: picture.size)
    }

    // MARK: Colours

    /// Mean colours of a region whose sides are `share` of the picture's.
    ///
    /// The quarter's vertex lies in the upper left quadrant, so that the region stays inside (specification
    /// of the pixel task, VLSA section 3.3).
    private func region(
        _ task: CognitionTask, share: (Int, Int), ofUpperLeft: Bool,
        _ generator: inout SeededGenerator
    ) throws -> CognitionQuestion? {
        let frame = try picture.frame(configuration.coordinates)
        func part(_ axis: CoordinateAxis) -> Range<Int> {
            let length = max(1, axis.range.count * share.0 / share.1)
            let start = axis.range.lowerBound + generator.below(axis.range.count - length + 1)
            return start..<start + length
        }
        let (across, down) = (part(frame.x), part(frame.y))
        let (x, y) = (frame.x.pixels(across), frame.y.pixels(down))
        var side = configuration.colourGrid
        if !ofUpperLeft { side = max(1, side / 2) }
        var shape = GridShape(rows: min(side, y.count), columns: min(side, x.count))
        while 3 * shape.count > budget, shape.count > 1 {
            shape = GridShape(rows: max(1, shape.rows - 1), columns: max(1, shape.columns - 1))
        }
        guard shape.count > 0, 3 * shape.count <= budget else { return nil }
        let fields = [
            "rows": "\(shape.rows)", "columns": "\(shape.columns)", "left": "\(across.lowerBound)",
            "top": "\(down.lowerBound)", "right": "\(across.upperBound)",
            "bottom": "\(down.upperBound)",
        ]
        let colours = try picture.meanColours(
            x: x, y: y, shape: shape, levels: configuration.colourLevels)
        return CognitionQuestion(
            task: task, fields: fields, frame: frame, regions: [region(frame, x: x, y: y)],
            answer: .colours(colours, columns: shape.columns))
    }

    private func region(
        _ frame: CoordinateFrame, x: Range<Int>, y: Range<Int>
    ) -> CognitionRegion {
        CognitionRegion(
            x: x, of: frame.x.pixelCount, y: y, of: frame.y.pixelCount, in: picture.size)
    }

    private func point(_ generator: inout SeededGenerator) throws -> CognitionQuestion? {
        let frame = try picture.frame(configuration.coordinates)
        let column = frame.x.range.lowerBound + generator.below(frame.x.range.count)
        let row = frame.y.range.lowerBound + generator.below(frame.y.range.count)
        let (x, y) = (frame.x.pixel(at: column), frame.y.pixel(at: row))
        let colours = try picture.meanColours(
            x: x..<x + 1, y: y..<y + 1, shape: GridShape(rows: 1, columns: 1),
            levels: configuration.colourLevels)
        return CognitionQuestion(
            task: .pxPoint, fields: ["x": "\(column)", "y": "\(row)"], frame: frame,
            regions: [region(frame, x: x..<x + 1, y: y..<y + 1)],
            answer: .colours(colours, columns: 1))
    }

    /// The one cell of the coarse grid with a colour that no other cell comes near.
    private func findColour(_ generator: inout SeededGenerator) throws -> CognitionQuestion? {
        let shape = picture.shape(longestSide: configuration.coarseGrid)
        let size = try picture.picture().pixels.size
        guard shape.count > 1, size.width >= shape.columns, size.height >= shape.rows else {
            return nil
        }
        let colours = try picture.meanColours(
            x: 0..<size.width, y: 0..<size.height, shape: shape, levels: configuration.colourLevels)
        func distance(_ a: ColourLevels, _ b: ColourLevels) -> Int {
            abs(a.red - b.red) + abs(a.green - b.green) + abs(a.blue - b.blue)
        }
        let margin = max(1, 24 * configuration.colourLevels / 256)
        let candidates = colours.indices.filter { cell in
            colours.indices.allSatisfy {
                $0 == cell || distance(colours[$0], colours[cell]) >= margin
            }
        }
        guard !candidates.isEmpty else { return nil }
        let cell = generator.element(of: candidates)
        let place = CognitionQuestion.Cell(
            row: cell / shape.columns + 1, column: cell % shape.columns + 1)
        return CognitionQuestion(
            task: .pxFind, fields: sizes(shape), colour: colours[cell],
            regions: [region(shape, place)], answer: .cells([place]))
    }
}
