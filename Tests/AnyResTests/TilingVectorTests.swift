import Foundation
import Testing

@testable import AnyRes

/// What one picture size must become.
struct TilingVector: Sendable, CustomTestStringConvertible {
    let size: (width: Int, height: Int)
    let target: (width: Int, height: Int)
    let resized: (width: Int, height: Int)?
    let paste: (x: Int, y: Int)?
    let features: (rows: Int, columns: Int)?
    let tokens: Int

    init(
        _ width: Int, _ height: Int, _ target: (Int, Int), _ resized: (Int, Int)? = nil,
        at paste: (Int, Int)? = nil, _ features: (Int, Int)? = nil, tokens: Int
    ) {
        size = (width, height)
        self.target = (target.0, target.1)
        self.resized = resized.map { ($0.0, $0.1) }
        self.paste = paste.map { ($0.0, $0.1) }
        self.features = features.map { ($0.0, $0.1) }
        self.tokens = tokens
    }

    var testDescription: String { "\(size.width) x \(size.height)" }
}

@Suite("Any-resolution tiling: vectors of the official code")
struct TilingVectorTests {
    static let official: [TilingVector] = [
        .init(1, 1, (336, 672), (336, 336), at: (0, 168), (24, 24), tokens: 1176),
        .init(100, 100, (336, 672), (336, 336), at: (0, 168), (24, 24), tokens: 1176),
        .init(200, 100, (336, 672), (336, 168), at: (0, 252), (12, 24), tokens: 876),
        .init(100, 200, (336, 672), (336, 672), at: (0, 0), (48, 24), tokens: 1776),
        .init(250, 180, (336, 672), (336, 242), at: (0, 215), (18, 24), tokens: 1026),
        .init(300, 300, (336, 672), (336, 337), at: (0, 167), (24, 24), tokens: 1176),
        .init(336, 336, (336, 672), (336, 336), at: (0, 168), (24, 24), tokens: 1176),
        .init(337, 335, (672, 336), (339, 336), at: (166, 0), (24, 24), tokens: 1176),
        .init(500, 333, (672, 336), (505, 336), at: (83, 0), (24, 36), tokens: 1464),
        .init(333, 500, (336, 672), (336, 505), at: (0, 83), (36, 24), tokens: 1476),
        .init(640, 480, (672, 672), (672, 504), at: (0, 84), (36, 48), tokens: 2340),
        .init(480, 640, (672, 672), (504, 672), at: (84, 0), (48, 36), tokens: 2352),
        .init(600, 601, (672, 672), (671, 672), at: (0, 0), (48, 48), tokens: 2928),
        .init(672, 672, (672, 672), (672, 672), at: (0, 0), (48, 48), tokens: 2928),
        .init(1000, 1000, (672, 672), (672, 672), at: (0, 0), (48, 48), tokens: 2928),
        .init(673, 336, (1008, 336), (673, 336), at: (167, 0), (24, 48), tokens: 1752),
        .init(396, 704, (672, 672), (378, 672), at: (147, 0), (48, 26), tokens: 1872),
        .init(1024, 899, (672, 672), (672, 590), at: (0, 41), (42, 48), tokens: 2634),
        .init(1344, 336, (1008, 336), (1008, 252), at: (0, 42), (18, 72), tokens: 1890),
        .init(336, 1344, (336, 1008), (252, 1008), at: (42, 0), (72, 18), tokens: 1944),
        .init(1920, 1080, (672, 672), (672, 378), at: (0, 147), (28, 48), tokens: 1948),
        .init(1080, 1920, (672, 672), (378, 672), at: (147, 0), (48, 28), tokens: 1968),
        .init(1275, 1650, (672, 672), (520, 672), at: (76, 0), (48, 38), tokens: 2448),
        .init(3000, 400, (1008, 336), (1008, 135), at: (0, 100), (10, 72), tokens: 1306),
        .init(400, 3000, (336, 1008), (135, 1008), at: (100, 0), (72, 10), tokens: 1368),
        .init(4000, 3000, (672, 672), (672, 505), at: (0, 83), (36, 48), tokens: 2340),
        .init(10000, 100, (1008, 336), (1008, 11), at: (0, 162), (0, 72), tokens: 576),
        .init(100, 10000, (336, 1008), (11, 1008), at: (162, 0), (72, 0), tokens: 648),
        .init(5000, 1, (336, 672), (336, 1), at: (0, 335), (0, 24), tokens: 576),
    ]

    private func tiler(
        _ side: Int, _ pinpoints: Pinpoints = .standard, order: TieOrder = .llava
    ) throws -> Tiler {
        try Tiler(
            TilingConfiguration(
                tiling: .anyres, tileWidth: side, tileHeight: side, pinpoints: pinpoints,
                tieOrder: order))
    }

    private func check(
        _ vector: TilingVector, _ tiler: Tiler, patches: Int, maxTiles: Int? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let plan = try tiler.plan(width: vector.size.width, height: vector.size.height)
        let grid = plan.unpaddedGrid(patchesPerSide: patches, maxTiles: maxTiles)
        #expect(
            (plan.padded.width, plan.padded.height) == vector.target, sourceLocation: sourceLocation
        )
        let side = tiler.configuration.tileWidth
        #expect(
            plan.tileCount == vector.target.width / side * (vector.target.height / side),
            sourceLocation: sourceLocation)
        if let resized = vector.resized {
            #expect(
                (plan.scaled.width, plan.scaled.height) == resized, sourceLocation: sourceLocation)
        }
        if let paste = vector.paste {
            #expect((plan.offsetX, plan.offsetY) == paste, sourceLocation: sourceLocation)
        }
        if let features = vector.features {
            #expect((grid.rows, grid.columns) == features, sourceLocation: sourceLocation)
        }
        #expect(grid.tokenCount == vector.tokens, sourceLocation: sourceLocation)
    }

    @Test("336 list", arguments: official)
    func list336(vector: TilingVector) throws {
        try check(vector, tiler(336), patches: 24)
        try check(vector, tiler(336, #require(Pinpoints(name: "336"))), patches: 24)
    }

    @Test(
        "384 list",
        arguments: [
            TilingVector(384, 384, (384, 768), (384, 384), (28, 27), tokens: 1513),
            TilingVector(640, 480, (768, 768), nil, (40, 54), tokens: 2929),
            TilingVector(480, 640, (768, 768), nil, (54, 40), tokens: 2943),
            TilingVector(1920, 1080, (768, 768), nil, (30, 54), tokens: 2379),
            TilingVector(1152, 384, (1152, 384), (1152, 384), (27, 81), tokens: 2943),
            TilingVector(3000, 400, (1152, 384), nil, (11, 81), tokens: 1631),
            TilingVector(1000, 1000, (768, 768), (768, 768), (54, 54), tokens: 3699),
        ])
    func list384(vector: TilingVector) throws {
        try check(vector, tiler(384, #require(Pinpoints(name: "384"))), patches: 27)
    }

    @Test(
        "anyres_max_9 over the 6x6 range, 384",
        arguments: [
            TilingVector(100, 100, (384, 384), nil, (27, 27), tokens: 1485),
            TilingVector(385, 384, (768, 384), nil, (27, 28), tokens: 1512),
            TilingVector(800, 600, (1152, 768), (1024, 768), (54, 73), tokens: 4725),
            TilingVector(1920, 1080, (1920, 1152), nil, (60, 108), tokens: 7269),
            TilingVector(4000, 3000, (2304, 1920), nil, (70, 93), tokens: 7309),
            TilingVector(2304, 2304, (2304, 2304), nil, (81, 81), tokens: 7371),
            TilingVector(3000, 400, (2304, 384), nil, (21, 162), tokens: 4152),
            TilingVector(10000, 100, (2304, 384), nil, (1, 162), tokens: 892),
        ])
    func range384(vector: TilingVector) throws {
        let range = try #require(Pinpoints(name: "(1x1),...,(6x6)"))
        #expect(
            try range.candidates(tileWidth: 384, tileHeight: 384, order: .llava).count == 36)
        try check(vector, tiler(384, range), patches: 27, maxTiles: 9)
    }

    @Test(
        "anyres_max_9 over the 6x6 range, 336",
        arguments: [
            TilingVector(1920, 1080, (2016, 1344), nil, (54, 95), tokens: 5760),
            TilingVector(4000, 3000, (2016, 1680), nil, (62, 83), tokens: 5784),
            TilingVector(336, 336, (336, 336), nil, (24, 24), tokens: 1176),
        ])
    func range336(vector: TilingVector) throws {
        try check(
            vector, tiler(336, #require(Pinpoints(name: "(1x1),...,(6x6)"))), patches: 24,
            maxTiles: 9)
    }

    @Test(
        "Hugging Face reads the list the other way and rounds otherwise",
        arguments: [
            (200, 100, 1752), (100, 200, 888), (250, 180, 1416), (396, 704, 1968), (640, 480, 2340),
        ])
    func huggingFace(width: Int, height: Int, tokens: Int) throws {
        let plan = try tiler(336, order: .huggingface).plan(width: width, height: height)
        #expect(
            plan.unpaddedGrid(patchesPerSide: 24, rounding: .huggingface).tokenCount == tokens)
    }

    @Test(
        "the paper's smallest multiples",
        arguments: [
            (1, 1, 336, 336, 1), (337, 336, 672, 336, 2), (640, 480, 672, 672, 4),
            (673, 672, 1008, 672, 6), (1024, 768, 1344, 1008, 12), (1275, 1650, 1344, 1680, 20),
            (1920, 1080, 2016, 1344, 24), (4000, 3000, 4032, 3024, 108),
            (10000, 100, 10080, 336, 30),
        ])
    func smallestMultiples(width: Int, height: Int, padWidth: Int, padHeight: Int, tiles: Int)
        throws
    {
        let tiler = try Tiler(TilingConfiguration(maxTiles: 1000))
        let plan = try tiler.plan(width: width, height: height)
        #expect(plan.padded == PictureSize(width: padWidth, height: padHeight))
        #expect(plan.scaled == PictureSize(width: width, height: height))
        #expect(plan.tileCount == tiles)
    }

    @Test(
        "maxTiles scales down, aspect kept",
        arguments: [
            // 4000 x 3000 needs 108 tiles: 36 of them hold 2240 x 1680 in 7 x 5.
            (4000, 3000, 36, 2240, 1680, 7, 5),
            (4000, 3000, 1, 336, 252, 1, 1),
            (10000, 100, 8, 2688, 27, 8, 1),
            (20000, 20000, 36, 2016, 2016, 6, 6),
            (640, 480, 4, 640, 480, 2, 2),
        ])
    func budget(
        width: Int, height: Int, maxTiles: Int, scaledWidth: Int, scaledHeight: Int, columns: Int,
        rows: Int
    ) throws {
        let plan = try Tiler(TilingConfiguration(maxTiles: maxTiles)).plan(
            width: width, height: height)
        #expect(plan.scaled == PictureSize(width: scaledWidth, height: scaledHeight))
        #expect((plan.columns, plan.rows) == (columns, rows))
    }
}
