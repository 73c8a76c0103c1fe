import AnyRes
import Codecs

/// A part of a picture, in pixels of the upright picture in its file: where a question looks, for people to see.
public struct CognitionRegion: Equatable, Sendable {
    /// First column.
    public var left: Int
    /// First row.
    public var top: Int
    /// Column after the last.
    public var right: Int
    /// Row after the last.
    public var bottom: Int

    /// A region of the given edges.
    public init(left: Int, top: Int, right: Int, bottom: Int) {
        (self.left, self.top, self.right, self.bottom) = (left, top, right, bottom)
    }

    /// The pixels that parts of an even division of both sides touch.
    init(x: Range<Int>, of columns: Int, y: Range<Int>, of rows: Int, in size: PictureSize) {
        func edges(_ part: Range<Int>, _ count: Int, _ length: Int) -> (Int, Int) {
            let start = part.lowerBound * length / count
            return (start, max(start + 1, (part.upperBound * length + count - 1) / count))
        }
        (left, right) = edges(x, columns, size.width)
        (top, bottom) = edges(y, rows, size.height)
    }
}

/// What an inserted question says of itself in its record: the key `cognition` of its turn holds the task's name,
/// `asked` the picture's index, the regions `[left, top, right, bottom]`, and the rows and columns that an answer of
/// several codes or colours divides its one region into.
public struct CognitionMark: Equatable, Sendable {
    /// The task.
    public var task: CognitionTask
    /// Which of the record's pictures, from 0.
    public var picture: Int
    /// Where in it.
    public var regions: [CognitionRegion]
    /// Rows and columns of cells in the region; nil for regions that are cells themselves.
    public var cells: GridShape?

    init(
        task: CognitionTask, picture: Int, regions: [CognitionRegion], cells: GridShape? = nil
    ) {
        (self.task, self.picture, self.regions, self.cells) = (task, picture, regions, cells)
    }

    /// The mark of a turn; nil for one that was not inserted, or whose mark no picture can have.
    public init?(_ turn: RecordTurn) {
        guard let task = turn.extra["cognition"]?.text.flatMap(CognitionTask.init(rawValue:)),
            case .object(let asked)? = turn.extra["asked"],
            let picture = asked["picture"]?.integer, picture >= 0,
            case .array(let regions)? = asked["regions"]
        else { return nil }
        (self.task, self.picture) = (task, picture)
        self.regions = []
        for region in regions {
            guard case .array(let edges) = region, edges.count == 4 else { return nil }
            let numbers = edges.compactMap(\.integer)
            let sides = 0...1 << 24
            guard numbers.count == 4, numbers.allSatisfy(sides.contains), numbers[0] < numbers[2],
                numbers[1] < numbers[3]
            else { return nil }
            self.regions.append(
                CognitionRegion(
                    left: numbers[0], top: numbers[1], right: numbers[2], bottom: numbers[3]))
        }
        if case .array(let sides)? = asked["cells"] {
            let numbers = sides.compactMap(\.integer).filter((1...128).contains)
            guard sides.count == 2, numbers.count == 2 else { return nil }
            cells = GridShape(rows: numbers[0], columns: numbers[1])
        }
    }

    /// The fields for the turn.
    var fields: JSONObject {
        func numbers(_ values: [Int]) -> JSONValue { .array(values.map { .number("\($0)") }) }
        var asked = JSONObject([
            .init("picture", .number("\(picture)")),
            .init(
                "regions",
                .array(regions.map { numbers([$0.left, $0.top, $0.right, $0.bottom]) })),
        ])
        if let cells { asked.members.append(.init("cells", numbers([cells.rows, cells.columns]))) }
        return JSONObject([
            .init("cognition", .string(task.rawValue)), .init("asked", .object(asked)),
        ])
    }
}
