import Codecs
import Testing

@testable import AnyRes
@testable import Corpus

struct CognitionTests {
    private func maker(
        _ pixels: Pixels, _ change: (inout CognitionConfiguration) -> Void = { _ in },
        tiler: Tiler? = nil,
        budget: Int = 48
    ) throws -> CognitionQuestionMaker {
        var configuration = CognitionConfiguration()
        change(&configuration)
        return CognitionQuestionMaker(
            picture: try CognitionPicture(
                MemoryPicture(pixels), codebook: BrightnessCodebook(), tiler: tiler),
            configuration: configuration, budget: budget)
    }

    private func questions(_ maker: CognitionQuestionMaker, _ task: CognitionTask, count: Int = 40)
        throws
        -> [CognitionQuestion]
    {
        try (0..<count).compactMap { index in
            var generator = SeededGenerator(seed: UInt64(index), task.rawValue)
            return try maker.question(task, &generator)
        }
    }

    private func number(_ question: CognitionQuestion, _ field: String) -> Int {
        Int(question.fields[field]!)!
    }

    @Test func codeQuestionsAgreeWithTheGrid() throws {
        let pixels = blockPicture(1)
        let maker = try maker(pixels)
        let grid = try BrightnessCodebook().indices(of: pixels, longestSide: 16)
        #expect(grid.shape == GridShape(rows: 12, columns: 16))
        for question in try questions(maker, .vqWindow) {
            let (top, left) = (number(question, "top") - 1, number(question, "left") - 1)
            let (bottom, right) = (number(question, "bottom"), number(question, "right"))
            #expect(top >= 0 && bottom <= 12 && left >= 0 && right <= 16)
            #expect(
                question.answer
                    == .codes(
                        grid.window(rows: top..<bottom, columns: left..<right),
                        columns: right - left))
            #expect(
                number(question, "height") == bottom - top
                    && number(question, "width") == right - left)
        }
        for question in try questions(maker, .vqCell) {
            let code = grid[number(question, "row") - 1, number(question, "column") - 1]
            #expect(question.answer == .codes([code], columns: 1))
        }
        for question in try questions(maker, .vqCells) {
            let cells = question.fields["cells"]!.matches(of: /\((\d+), (\d+)\)/).map {
                grid[Int($0.1)! - 1, Int($0.2)! - 1]
            }
            #expect(cells.count == number(question, "count") && cells.count >= 2)
            #expect(question.answer == .codes(cells, columns: cells.count))
        }
        let coarse = try BrightnessCodebook().indices(of: pixels, longestSide: 6)
        for question in try questions(maker, .vqGrid, count: 2) {
            #expect(question.answer == .codes(coarse.values, columns: 6))
            #expect(number(question, "rows") == coarse.rows && number(question, "columns") == 6)
        }
        for question in try questions(maker, .vqFind) {
            let cells = coarse.values.indices.filter { coarse.values[$0] == question.code }.map {
                CognitionQuestion.Cell(row: $0 / 6 + 1, column: $0 % 6 + 1)
            }
            #expect(question.answer == .cells(cells) && !cells.isEmpty)
        }
    }

    @Test(arguments: CoordinateKind.allCases)
    func colourQuestionsAgreeWithThePixels(kind: CoordinateKind) throws {
        // Padding 120 x 90 to multiples of 64 gives 128 x 128; the picture lies at the top left.
        let tiler = try Tiler(TilingConfiguration(tileWidth: 64, tileHeight: 64))
        let pixels = blockPicture(2)
        let maker = try maker(pixels, { $0.coordinates = kind }, tiler: tiler)
        for task in [CognitionTask.pxQuarter, .pxWindow] {
            for question in try questions(maker, task) {
                let (left, right) = (number(question, "left"), number(question, "right"))
                let (top, bottom) = (number(question, "top"), number(question, "bottom"))
                let unit = kind == .thousandths ? (1000, 1000) : (120, 90)
                #expect(left >= 0 && top >= 0 && right <= unit.0 && bottom <= unit.1)
                if task == .pxQuarter {
                    #expect(right - left == unit.0 / 2 && bottom - top == unit.1 / 2)
                }
                let (x0, x1) = (left * 120 / unit.0, right * 120 / unit.0)
                let (y0, y1) = (top * 90 / unit.1, bottom * 90 / unit.1)
                guard case .colours(let colours, let columns) = question.answer else {
                    Issue.record("not colours")
                    continue
                }
                let rows = number(question, "rows")
                #expect(columns == number(question, "columns") && colours.count == rows * columns)
                for (index, colour) in colours.enumerated() {
                    let (row, column) = (index / columns, index % columns)
                    var sums = [0, 0, 0]
                    var count = 0
                    for y in y0 + row * (y1 - y0) / rows..<y0 + (row + 1) * (y1 - y0) / rows {
                        for x in x0 + column * (x1 - x0) / columns..<x0 + (column + 1) * (x1 - x0)
                            / columns
                        {
                            for c in 0..<3 { sums[c] += Int(pixels[x, y][c]) }
                            count += 1
                        }
                    }
                    let means = sums.map { Int((Double($0) / Double(count) + 0.5).rounded(.down)) }
                    #expect(colour == ColourLevels(red: means[0], green: means[1], blue: means[2]))
                }
            }
        }
        for question in try questions(maker, .pxPoint) {
            let unit = kind == .thousandths ? (1000, 1000) : (120, 90)
            let pixel = pixels[
                number(question, "x") * 120 / unit.0, number(question, "y") * 90 / unit.1]
            let levels = ColourLevels(red: Int(pixel[0]), green: Int(pixel[1]), blue: Int(pixel[2]))
            #expect(question.answer == .colours([levels], columns: 1))
        }
    }

    /// Where the canvas holds a scaled and centred picture, padded coordinates go through both.
    @Test func paddedCoordinatesFollowTheGeometry() throws {
        let tiler = try Tiler(
            TilingConfiguration(tileWidth: 32, tileHeight: 32, maxTiles: 4, padding: .centre))
        let pixels = blockPicture(3, width: 200, height: 100)
        let geometry = try tiler.plan(width: 200, height: 100)
        #expect(geometry.scaled.width < 200)
        let frame = CoordinateFrame(.padded, of: decoded(pixels), geometry: geometry)
        #expect(frame.size == geometry.padded)
        for x in frame.x.range {
            let centre = geometry.point(
                tile: (x / 32), x: Double(x % 32) + 0.5, y: 0)
            #expect(
                abs(Double(frame.x.pixel(at: x)) + 0.5 - centre.x) <= 200
                    / Double(geometry.scaled.width))
        }
        #expect(frame.x.pixel(at: frame.x.range.lowerBound) == 0)
        #expect(frame.x.pixel(at: frame.x.range.upperBound) == 200)
        #expect(frame.x.pixel(at: -50) == 0 && frame.x.pixel(at: 5000) == 200)
    }

    @Test func foundColoursAreUnmistakable() throws {
        for question in try questions(maker(blockPicture(4)), .pxFind) {
            guard case .cells(let cells) = question.answer, let wanted = question.colour else {
                Issue.record("not a cell")
                continue
            }
            #expect(cells.count == 1 && wanted.red < 256)
        }
        let grey = Pixels(width: 60, height: 60, colour: [9, 9, 9])
        #expect(try questions(maker(grey), .pxFind).isEmpty)
        // All cells of an even picture have one code, which is too many places to name.
        #expect(try questions(maker(grey), .vqFind).isEmpty)
    }

    @Test(arguments: CognitionTask.allCases)
    func budgetsHold(task: CognitionTask) throws {
        for budget in [3, 7, 20] {
            for question in try questions(maker(blockPicture(5), budget: budget), task, count: 20) {
                #expect(question.numberCount <= budget)
            }
        }
    }

    /// Pictures of any shape give a question or none, never a crash.
    @Test(arguments: [(1, 1), (1, 500), (500, 1), (2, 3), (3, 2), (700, 30)])
    func oddPicturesAreSafe(width: Int, height: Int) throws {
        let tiler = try Tiler(TilingConfiguration(tileWidth: 32, tileHeight: 32, maxTiles: 4))
        for kind in CoordinateKind.allCases {
            let maker = try maker(
                blockPicture(6, width: width, height: height, block: 1), { $0.coordinates = kind },
                tiler: tiler)
            for task in CognitionTask.allCases {
                for question in try questions(maker, task, count: 10) {
                    #expect(question.numberCount > 0)
                }
            }
        }
    }

    @Test func fewerLevelsCountInFewerNumbers() throws {
        let coarse = try maker(blockPicture(7)) { $0.colourLevels = 8 }
        let fine = try maker(blockPicture(7))
        for (a, b) in zip(try questions(coarse, .pxPoint), try questions(fine, .pxPoint)) {
            guard case .colours(let few, _) = a.answer, case .colours(let many, _) = b.answer else {
                continue
            }
            #expect(few[0].red == many[0].red / 32 && few[0].blue == many[0].blue / 32)
        }
    }

    @Test func answersAreWrittenAsAsked() {
        let text = AnswerWriter(vocabulary: .text)
        #expect(text.grid(["1", "2", "3", "4"], columns: 2, in: .lines) == "1 2\n3 4")
        #expect(text.grid(["1", "2", "3", "4"], columns: 2, in: .list) == "1, 2, 3, 4")
        let colour = ColourLevels(red: 1, green: 20, blue: 255)
        #expect(text.colour(colour, in: .lines) == "1,20,255")
        #expect(text.colour(colour, in: .list) == "(1,20,255)")
        #expect(text.addedTokens(codeCount: 9, colourLevels: 4).isEmpty)
        let tokens = AnswerWriter(vocabulary: .tokens)
        #expect(tokens.grid([17, 3].map(tokens.code), columns: 1, in: .lines) == "<vq_17>\n<vq_3>")
        #expect(tokens.colour(colour, in: .list) == "<px_r_1><px_g_20><px_b_255>")
        let added = tokens.addedTokens(codeCount: 9, colourLevels: 4)
        #expect(added.count == 9 + 12 && added.contains("<vq_8>") && added.contains("<px_b_3>"))
    }
}
