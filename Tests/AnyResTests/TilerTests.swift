import Foundation
import Testing

@testable import AnyRes

@Suite("Tiler")
struct TilerTests {
    /// A random configuration and size from a seed.
    private func random(_ seed: Int) -> (TilingConfiguration, Int, Int) {
        var numbers = SeededNumbers(UInt64(seed))
        let side = Int.random(in: 4...40, using: &numbers)
        let other = Bool.random(using: &numbers) ? side : Int.random(in: 4...40, using: &numbers)
        let tiling: Tiling = Bool.random(using: &numbers) ? .vlsa : .anyres
        let configuration = TilingConfiguration(
            tiling: tiling, tileWidth: side, tileHeight: other,
            maxTiles: .random(in: 1...20, using: &numbers),
            pinpoints: Bool.random(using: &numbers)
                ? .standard : .range(first: [1, 1], last: [3, 4]),
            tieOrder: Bool.random(using: &numbers) ? .llava : .huggingface,
            padding: Bool.random(using: &numbers) ? .corner : .centre,
            snapshotSource: Bool.random(using: &numbers) ? .padded : .original)
        let extent = Bool.random(using: &numbers) ? 50 : 600
        return (
            configuration, .random(in: 1...extent, using: &numbers),
            .random(in: 1...extent, using: &numbers)
        )
    }

    @Test("tiles cover the picture once and stay in the budget")
    func coverage() throws {
        for seed in 0..<3000 {
            let (configuration, width, height) = random(seed)
            let plan = try Tiler(configuration).plan(width: width, height: height)
            let name: Comment = "seed \(seed): \(width) x \(height), \(configuration)"
            if configuration.tiling == .vlsa {
                #expect(plan.tileCount <= configuration.maxTiles, name)
            }
            #expect(plan.tileCount >= 1, name)
            var area = 0.0
            for i in 0..<plan.tileCount { area += plan.visible(tile: i)?.area ?? 0 }
            let whole = Double(width * height)
            #expect(abs(area - whole) < 1e-6 * whole, name)
            for i in 0..<plan.tileCount {
                for j in 0..<i {
                    let shared = plan.tile(i).intersection(plan.tile(j))?.area ?? 0
                    #expect(shared < 1e-6 * whole, name)
                }
            }
        }
    }

    @Test("a square shows the whole picture, or the largest square in its middle")
    func squareCoverage() throws {
        for seed in 0..<500 {
            var numbers = SeededNumbers(UInt64(seed))
            let side = Int.random(in: 4...40, using: &numbers)
            let configuration = TilingConfiguration(
                tiling: .square, tileWidth: side, tileHeight: side,
                padding: Bool.random(using: &numbers) ? .corner : .centre,
                squareFit: SquareFit.allCases[seed % 3])
            let (width, height) = (
                Int.random(in: 1...600, using: &numbers), Int.random(in: 1...600, using: &numbers)
            )
            let plan = try Tiler(configuration).plan(width: width, height: height)
            let name: Comment = "seed \(seed): \(width) x \(height), \(configuration)"
            #expect(plan.tileCount == 0, name)
            let (shown, whole) = (plan.snapshotRect, Double(width * height))
            let seen = shown.intersection(plan.bounds)?.area ?? 0
            guard configuration.squareFit == .crop else {
                #expect(abs(seen - whole) < 1e-6 * whole, name)
                continue
            }
            #expect(abs(seen - shown.area) < 1e-6 * whole, name)
            // Whole along the short side; along the long one to half a pixel of the resized picture.
            let (short, long) = (Double(min(width, height)), Double(max(width, height)))
            let pixel = long / Double(max(plan.scaled.width, plan.scaled.height))
            #expect(abs(seen - short * short) <= short * short * pixel / long + 1e-6, name)
            let middle = width > height ? shown.centre.x : shown.centre.y
            #expect(abs(middle - long / 2) <= pixel, name)
        }
    }

    @Test("places and points are inverse, tokens included")
    func inversion() throws {
        for seed in 0..<2000 {
            let (configuration, width, height) = random(seed)
            let plan = try Tiler(configuration).plan(width: width, height: height)
            var numbers = SeededNumbers(UInt64(seed) + 7)
            let point = PicturePoint(
                x: .random(in: 0..<Double(width), using: &numbers),
                y: .random(in: 0..<Double(height), using: &numbers))
            let name: Comment = "seed \(seed): \(width) x \(height) at \(point)"
            let place = try #require(plan.place(of: point), name)
            let back = plan.point(tile: place.tile, x: place.x, y: place.y)
            #expect(abs(back.x - point.x) < 1e-6 && abs(back.y - point.y) < 1e-6, name)
            for perSide in [1, 3, 24] {
                let token = try #require(plan.token(at: point, perSide: perSide), name)
                let rect = plan.token(tile: token.tile, index: token.index, perSide: perSide)
                #expect(rect.grown(by: 1e-6).contains(point), name)
                let centre = rect.centre
                if plan.bounds.contains(centre) {
                    let again = try #require(plan.token(at: centre, perSide: perSide), name)
                    #expect(again == token, name)
                }
                let index = try #require(plan.snapshotToken(at: point, perSide: perSide), name)
                let view = plan.snapshotToken(index: index, perSide: perSide)
                #expect(view.grown(by: 1e-6).contains(point), name)
            }
            #expect(plan.tiles(showing: plan.bounds).count >= 1, name)
        }
    }

    @Test("tiles hold the pixels that the geometry says", arguments: 0..<60)
    func pixels(seed: Int) throws {
        let (configuration, width, height) = random(seed)
        let source = noise(width: width, height: height, seed: UInt64(seed))
        let tiled = try Tiler(configuration).tile(source)
        let geometry = tiled.geometry
        let scaled = resized(source, width: geometry.scaled.width, height: geometry.scaled.height)
        #expect(
            tiled.tiles.count
                == geometry.tileCount * 3 * configuration.tileWidth * configuration.tileHeight)
        // The canvas, made here pixel by pixel.
        let canvas = Pixels(
            width: geometry.padded.width, height: geometry.padded.height,
            colour: configuration.padColour
        ).pasting(scaled, x: geometry.offsetX, y: geometry.offsetY)
        for index in 0..<geometry.tileCount {
            let x = index % geometry.columns * configuration.tileWidth
            let y = index / geometry.columns * configuration.tileHeight
            #expect(
                tiled.tilePixels(index)
                    == canvas.cropped(
                        x: x, y: y, width: configuration.tileWidth,
                        height: configuration.tileHeight), "seed \(seed), tile \(index)")
        }
        let snapshot = resized(
            configuration.snapshotSource == .padded ? canvas : source,
            width: configuration.tileWidth, height: configuration.tileHeight)
        #expect(tiled.snapshotPixels == snapshot)
        #expect(tiled.paddedPicture() == canvas)
    }

    @Test("padding at the corner and in the centre")
    func padding() throws {
        let red = Pixels(width: 5, height: 4, colour: [255, 0, 0])
        var configuration = TilingConfiguration(
            tileWidth: 8, tileHeight: 8, padding: .corner, padColour: [1, 2, 3])
        let corner = try Tiler(configuration).tile(red).tilePixels(0)
        #expect(corner[0, 0] == [255, 0, 0] && corner[4, 3] == [255, 0, 0])
        #expect(corner[5, 0] == [1, 2, 3] && corner[0, 4] == [1, 2, 3])
        configuration.padding = .centre
        let centre = try Tiler(configuration).tile(red).tilePixels(0)
        // Three columns and four rows of padding: the odd column goes right.
        #expect(centre[0, 2] == [1, 2, 3] && centre[1, 2] == [255, 0, 0])
        #expect(centre[5, 5] == [255, 0, 0] && centre[6, 5] == [1, 2, 3])
    }

    @Test("a square picture by padding, cutting and squashing")
    func square() throws {
        let source = noise(width: 40, height: 30, seed: 5)
        var configuration = TilingConfiguration(
            tiling: .square, tileWidth: 20, tileHeight: 20, padColour: [9, 9, 9])
        let padded = try Tiler(configuration).tile(source)
        #expect(padded.tileCount == 0 && padded.tiles.isEmpty)
        let canvas = Pixels(width: 40, height: 40, colour: [9, 9, 9]).pasting(source, x: 0, y: 5)
        #expect(padded.snapshotPixels == resized(canvas, width: 20, height: 20))
        #expect(
            padded.geometry.snapshotRect == PictureRect(x: 0, y: -5, width: 40, height: 40))

        configuration.squareFit = .crop
        let cut = try Tiler(configuration).tile(source)
        // 26 x 20 after resizing, three columns lost at either side.
        #expect(
            cut.snapshotPixels
                == resized(source, width: 26, height: 20).cropped(x: 3, y: 0, width: 20, height: 20)
        )
        let seen = cut.geometry.snapshotRect
        #expect(abs(seen.x - 3.0 * 40 / 26) < 1e-9 && abs(seen.width - 20.0 * 40 / 26) < 1e-9)

        configuration.squareFit = .squash
        let squashed = try Tiler(configuration).tile(source)
        #expect(squashed.snapshotPixels == resized(source, width: 20, height: 20))
        #expect(squashed.geometry.snapshotRect == squashed.geometry.bounds)
    }

    @Test("extreme shapes", arguments: [(1, 1), (1, 5000), (5000, 1), (1, 40000), (3, 9000)])
    func extremes(width: Int, height: Int) throws {
        let source = Pixels(width: width, height: height, colour: [10, 200, 30])
        for tiling in Tiling.allCases {
            let tiled = try Tiler(TilingConfiguration(tiling: tiling)).tile(source)
            #expect(tiled.snapshot.count == 3 * 336 * 336)
            #expect(tiled.tileCount <= 36)
        }
    }

    @Test("a canvas beyond the limit is refused before it is made")
    func canvasLimit() throws {
        let tiler = try Tiler(TilingConfiguration(maxTiles: 1_000_000))
        #expect(throws: PictureError.self) { try tiler.plan(width: 1, height: 1_000_000) }
        #expect(throws: PictureError.noPixels(size: PictureSize(width: 0, height: 3))) {
            try tiler.plan(width: 0, height: 3)
        }
    }

    @Test("a shrunk picture is placed in the pixels of its file")
    func shrunk() throws {
        let picture = Picture(
            pixels: noise(width: 100, height: 80, seed: 1),
            original: PictureSize(width: 300, height: 240), shrink: 3)
        let tiled = try Tiler(TilingConfiguration(tileWidth: 32, tileHeight: 32, maxTiles: 4)).tile(
            picture)
        #expect(tiled.geometry.original == picture.original)
        let area = (0..<tiled.tileCount).reduce(0) {
            $0 + (tiled.geometry.visible(tile: $1)?.area ?? 0)
        }
        #expect(abs(area - 300 * 240) < 1e-6)
    }

    @Test("a configuration survives its file")
    func coding() throws {
        for seed in 0..<20 {
            let (configuration, _, _) = random(seed)
            let data = try JSONEncoder().encode(configuration)
            #expect(
                try JSONDecoder().decode(TilingConfiguration.self, from: data) == configuration)
        }
        let short = try JSONDecoder().decode(
            TilingConfiguration.self,
            from: Data(#"{"tiling":"anyres","tileWidth":384,"pinpoints":"384"}"#.utf8))
        #expect(
            short.tileHeight == 384 && short.padColour == [0, 0, 0] && short.padding == .centre)
        #expect(short.snapshotSource == .original)
        #expect(try Tiler(short).plan(width: 640, height: 480).tileCount == 4)
    }

    @Test(
        "a configuration that cannot work is refused by its key",
        arguments: [
            (#"{"maxTiles":0}"#, "maxTiles"), (#"{"tileWidth":0}"#, "tileWidth"),
            (#"{"padColour":[1,2]}"#, "padColour"),
            (#"{"tiling":"anyres","pinpoints":"nonsense"}"#, "pinpoints"),
            (#"{"tiling":"anyres","tileWidth":384,"pinpoints":"336"}"#, "pinpoints"),
            (#"{"tiling":"anyres","pinpoints":[]}"#, "pinpoints"),
            (#"{"tiling":"anyres","pinpoints":"(3x3),...,(1x1)"}"#, "pinpoints"),
            (#"{"tiling":"square","tileWidth":20,"tileHeight":30}"#, "squareFit"),
        ])
    func refused(json: String, key: String) throws {
        let error = #expect(throws: PictureError.self) {
            try JSONDecoder().decode(TilingConfiguration.self, from: Data(json.utf8))
        }
        guard case .badConfiguration(key, _) = error else {
            Issue.record("\(String(describing: error)) does not name \(key)")
            return
        }
    }
}

extension PictureRect {
    fileprivate func grown(by margin: Double) -> PictureRect {
        PictureRect(
            x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin)
    }
}
