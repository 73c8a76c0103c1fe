/// Candidate resolutions of the `anyres` tiling.
///
/// In a file: `standard`, `336`, `384`, a range such as `(1x1),...,(6x6)`, or a list of pairs.
public enum Pinpoints: Equatable, Sendable {
    /// LLaVA-NeXT's five shapes at the tile's size: 1x2, 2x1, 2x2, 3x1 and 1x3 tiles.
    case standard
    /// Every grid from the first to the last, in tiles: the first number of a grid in the outer loop.
    case range(first: [Int], last: [Int])
    /// Literal pairs in pixels, in order. ``TieOrder`` says which number is the width.
    case list([[Int]])

    /// The list of a name, `standard`, `336`, `384` or a range; nil where it is none of them.
    public init?(name: String) {
        switch name {
        case "standard": self = .standard
        case "336", "384":
            let side = name == "336" ? 336 : 384
            self = .list(Self.standardGrids.map { [$0[0] * side, $0[1] * side] })
        default:
            // Only the first and the last grid of the text count.
            let grids = name.matches(of: /\((\d+)x(\d+)\)/).compactMap { match -> [Int]? in
                guard let a = Int(match.1), let b = Int(match.2) else { return nil }
                return [a, b]
            }
            guard let first = grids.first, let last = grids.last else { return nil }
            self = .range(first: first, last: last)
        }
    }

    static let standardGrids = [[1, 2], [2, 1], [2, 2], [3, 1], [1, 3]]

    /// The resolutions in order, each a whole number of tiles.
    public func candidates(
        tileWidth: Int, tileHeight: Int, order: TieOrder
    ) throws -> [PictureSize] {
        func refused(_ reason: String) -> PictureError {
            .badConfiguration(key: "pinpoints", reason: reason)
        }
        // A pair is (width, height) or (height, width); so is a pair of tile counts.
        func size(_ pair: [Int], _ unitWidth: Int, _ unitHeight: Int) -> PictureSize {
            switch order {
            case .llava: PictureSize(width: pair[0] * unitWidth, height: pair[1] * unitHeight)
            case .huggingface: PictureSize(width: pair[1] * unitWidth, height: pair[0] * unitHeight)
            }
        }
        switch self {
        case .standard:
            return Self.standardGrids.map { size($0, tileWidth, tileHeight) }
        case .range(let first, let last):
            guard first.count == 2, last.count == 2, first.allSatisfy({ $0 >= 1 }),
                last[0] >= first[0], last[1] >= first[1], last.allSatisfy({ $0 <= 64 })
            else { throw refused("the range must rise from (1x1) or more to (64x64) or less") }
            return (first[0]...last[0]).flatMap { a in
                (first[1]...last[1]).map { b in size([a, b], tileWidth, tileHeight) }
            }
        case .list(let pairs):
            guard !pairs.isEmpty else { throw refused("the list is empty") }
            return try pairs.map { pair in
                guard pair.count == 2, pair.allSatisfy({ (1...65536).contains($0) }) else {
                    throw refused("\(pair) is not a pair of sizes in pixels")
                }
                let size = size(pair, 1, 1)
                guard size.width % tileWidth == 0, size.height % tileHeight == 0 else {
                    throw refused(
                        "\(pair) is not a whole number of \(tileWidth) x \(tileHeight) tiles")
                }
                return size
            }
        }
    }
}

extension Pinpoints: Codable {
    /// From a name, a range or a list of pairs.
    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let pairs = try? value.decode([[Int]].self) {
            self = .list(pairs)
            return
        }
        let name = try (try? value.decode(String.self)) ?? String(value.decode(Int.self))
        guard let named = Pinpoints(name: name) else {
            throw PictureError.badConfiguration(
                key: "pinpoints",
                reason: "'\(name)' is none of: standard, 336, 384, (1x1),...,(6x6), a list of pairs"
            )
        }
        self = named
    }

    /// As its name, its range or its list of pairs.
    public func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .standard: try value.encode("standard")
        case .range(let a, let b): try value.encode("(\(a[0])x\(a[1])),...,(\(b[0])x\(b[1]))")
        case .list(let pairs): try value.encode(pairs)
        }
    }
}

/// The candidate that keeps most of a picture's detail, then wastes least; the first of equals. Nil where there
/// are none.
///
/// All in IEEE doubles with truncation, as the official code computes it: a picture so thin that it has no area
/// at any candidate gets the smallest.
public func bestResolution(
    for size: PictureSize, among candidates: [PictureSize]
) -> PictureSize? {
    var best: PictureSize?
    var (mostUsed, leastWasted) = (0, Int.max)
    for candidate in candidates {
        let scale = min(
            Double(candidate.width) / Double(size.width),
            Double(candidate.height) / Double(size.height))
        let scaled = Int(Double(size.width) * scale) * Int(Double(size.height) * scale)
        let used = min(scaled, size.area)
        let wasted = candidate.area - used
        if used > mostUsed || (used == mostUsed && wasted < leastWasted) {
            (best, mostUsed, leastWasted) = (candidate, used, wasted)
        }
    }
    return best
}
