import AnyRes
import Codecs
import Foundation
import Synchronization

/// Views that a tower learns to name, drawn from a seed without end: whole snapshots, and mosaics of four windows
/// around things worth naming, each from a picture of its own.
///
/// Small things are few and far between; four windows in one view show the tower four times as many for the same work.
final class ViewSource: ExampleSource {
    typealias Example = PatchCaptions

    private let views: DrawnViews
    private var index = 0

    init(_ data: RegionPictures, seed: UInt64, side: Int, patch: Int, snapshotShare: Double) {
        views = DrawnViews(
            data: data, seed: seed, side: side, patch: patch, snapshotShare: snapshotShare)
    }

    var count: Int { views.data.pictures.count }

    /// The next views, drawn on all cores.
    func next(_ count: Int) -> [PatchCaptions] {
        let (views, first) = (views, index)
        index += count
        let drawn = Mutex<[PatchCaptions?]>(Array(repeating: nil, count: count))
        DispatchQueue.concurrentPerform(iterations: count) { place in
            let view = views.view(first + place)
            drawn.withLock { $0[place] = view }
        }
        return drawn.withLock { $0.compactMap { $0 } }
    }

    func position() throws -> [UInt8] { Array("{\"index\":\(index)}".utf8) }

    func seek(_ position: [UInt8]) throws {
        struct Position: Decodable { let index: Int }
        index = try JSONDecoder().decode(Position.self, from: Data(position)).index
    }
}

/// The views of a ``ViewSource``, each drawn from the seed and its number alone.
private struct DrawnViews: Sendable {
    let data: RegionPictures
    let seed: UInt64
    let side: Int
    let patch: Int
    let snapshotShare: Double

    func view(_ index: Int) -> PatchCaptions {
        var random = SeededGenerator(seed: seed, "view", "\(index)")
        let picture = random.element(of: data.pictures)
        if random.unit() < snapshotShare {
            return picture.snapshotCaptions(side: side, patch: patch)
        }
        // Two by two windows of a whole number of patches; what is left over takes the larger ones.
        let perSide = side / patch
        let (first, second) = (0..<perSide / 2, perSide / 2..<perSide)
        var pixels = [UInt8](repeating: 0, count: 3 * side * side)
        var names = [[Int]](repeating: [], count: perSide * perSide)
        for (rows, columns) in [(first, first), (first, second), (second, first), (second, second)]
        {
            let length = max(rows.count, columns.count)
            let shown = window(side: length * patch, &random)
            let planes = shown.pixels.planar()
            let (width, x0) = (length * patch, columns.lowerBound * patch)
            for channel in 0..<3 {
                for y in 0..<rows.count * patch {
                    let from = (channel * width + y) * width
                    let to = (channel * side + rows.lowerBound * patch + y) * side + x0
                    let count = columns.count * patch
                    pixels.replaceSubrange(to..<to + count, with: planes[from..<from + count])
                }
            }
            for (y, row) in rows.enumerated() {
                for (x, column) in columns.enumerated() {
                    names[row * perSide + column] = shown.names[y * length + x]
                }
            }
        }
        return PatchCaptions(
            recordID: picture.id, pixels: pixels, names: names, places: picture.places(perSide))
    }

    /// A window around a thing of any picture: half of them at tile scale around a fine one, the others at any scale
    /// up to the whole picture's around any one.
    private func window(side: Int, _ random: inout SeededGenerator) -> (
        pixels: Pixels, names: [[Int]]
    ) {
        let picture = random.element(of: data.pictures)
        let (width, height) = (picture.whole.width, picture.whole.height)
        let most = Double(min(width, height)) / Double(side)
        let reach =
            random.unit() < 0.5
            ? side : min(width, height, Int((Double(side) * pow(most, random.unit())).rounded()))
        let fine = picture.regions.filter(\.isFine)
        let things = fine.isEmpty || reach > side ? picture.regions : fine
        func start(_ centre: Double, _ length: Int) -> Int {
            let low = centre - Double(reach) * (0.1 + random.unit() * 0.8)
            return min(max(Int(low), 0), length - reach)
        }
        let middle = PicturePoint(x: Double(width) / 2, y: Double(height) / 2)
        let centre = things.isEmpty ? middle : random.element(of: things).box.centre
        let (x, y) = (start(centre.x, width), start(centre.y, height))
        return picture.window(x: x, y: y, reach: reach, side: side, patch: patch)
    }
}
