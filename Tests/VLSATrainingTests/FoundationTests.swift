import AnyRes
import Foundation
import Testing
import Torch
import VLSA

@testable import VLSATraining

@Suite struct FoundationTests {
    // MARK: Starting values

    @Test("rows are orthonormal within a block", arguments: [(4, 8), (8, 8), (12, 8)])
    func orthonormal(rows: Int, columns: Int) {
        let matrix = orthonormalRows(rows, columns, generator: Generator(seed: 1))
        let products = matrix.matmul(matrix.transposed(0, 1)).floats()
        for a in 0..<rows {
            for b in 0..<rows where a / columns == b / columns {
                #expect(abs(products[a * rows + b] - (a == b ? 1 : 0)) < 1e-5)
            }
        }
    }

    @Test(
        "turning the code of a place gives the code of the place at the offset",
        arguments: [(1, 0), (-2, 0), (0, 4), (3, -1)])
    func turning(x: Int, y: Int) {
        let side = 8
        let codes = TowerNaming.places(perSide: side, width: 16)
        let turned = codes.matmul(
            TowerNaming.turning(by: (x, y), width: 16).transposed(0, 1)
        ).floats()
        let plain = codes.floats()
        for row in 0..<side where (0..<side).contains(row + y) {
            for column in 0..<side where (0..<side).contains(column + x) {
                let (from, to) = (row * side + column, (row + y) * side + column + x)
                for index in 0..<16 {
                    #expect(abs(turned[from * 16 + index] - plain[to * 16 + index]) < 1e-4)
                }
            }
        }
    }

    @Test("a place's code is most like itself")
    func placesPeak() {
        let codes = TowerNaming.places(perSide: 8, width: 16)
        let likeliest = codes.matmul(codes.transposed(0, 1)).argmax(axis: -1).ints()
        #expect(likeliest == Array(0..<64))
    }

    @Test("cosine filters are orthogonal, the first one flat")
    func filters() {
        let filters = TowerNaming.cosineFilters(width: 12, side: 7).reshaped([12, 3 * 49])
        let products = filters.matmul(filters.transposed(0, 1)).floats()
        for a in 0..<12 {
            for b in 0..<12 where a != b { #expect(abs(products[a * 12 + b]) < 1e-5) }
        }
        let first = filters.narrowed(axis: 0, start: 0, length: 1).floats()
        #expect(first.allSatisfy { abs($0 - first[0]) < 1e-6 } && first[0] > 0)
    }

    // MARK: Captions

    /// 224 x 224 pixels with tiles of 112: a box of two digits in the upper left quarter.
    private func picture() throws -> RegionPicture {
        let pixels = Pixels(
            width: 224, height: 224, bytes: [UInt8](repeating: 200, count: 224 * 224 * 3))
        let tiled = try Tiler(
            TilingConfiguration(tiling: .vlsa, tileWidth: 112, tileHeight: 112, maxTiles: 4)
        ).tile(pixels)
        func region(
            _ x: Double, _ y: Double, _ w: Double, _ h: Double, _ words: [Int], _ fine: Bool
        )
            -> CaptionedRegion
        {
            CaptionedRegion(
                box: PictureRect(x: x, y: y, width: w, height: h), words: words, isFine: fine)
        }
        let regions = [
            region(28, 28, 56, 56, [1], false), region(40, 44, 28, 14, [2, 3], true),
            region(40, 44, 14, 14, [2], true), region(54, 44, 14, 14, [3], true),
        ]
        return RegionPicture(
            id: "a", tiled: tiled, whole: pixels, regions: regions, caption: [],
            placeWords: ["left": 4, "top": 5, "right": 6, "bottom": 7, "center": 8])
    }

    @Test("a window names fine things where their patches are, whatever its place")
    func window() throws {
        let shown = try picture().window(x: 28, y: 28, reach: 56, side: 56, patch: 14)
        #expect(shown.pixels.width == 56)
        // The digits' boxes cover the centres of the patches (1, 1) and (2, 1).
        #expect(shown.names[1 * 4 + 1] == [2] && shown.names[1 * 4 + 2] == [3])
        #expect(shown.names[3 * 4 + 3] == [1])
    }

    @Test("a coarse window does not name what is too small for it")
    func coarseWindow() throws {
        let shown = try picture().window(x: 0, y: 0, reach: 224, side: 56, patch: 14)
        #expect(!shown.names.joined().contains(2) && shown.names.joined().contains(1))
    }

    @Test("detail is told in the cell of its centre, each digit once")
    func detail() throws {
        let told = try picture().detailCaptions(side: 112, patch: 14)
        #expect(told.joined().count { $0 == 2 } == 1 && told.joined().count { $0 == 3 } == 1)
        // Centres (47, 51) and (61, 51) of 224 pixels in cells of 28.
        #expect(told[1 * 8 + 1].contains(2) && told[1 * 8 + 2].contains(3))
        #expect(told[1 * 8 + 1].contains(4) && told[1 * 8 + 1].contains(5))
    }

    @Test("a mosaic is a view like a snapshot, the same for the same seed and position")
    func mosaic() throws {
        let data = RegionPictures(
            pictures: [try picture()], words: ["background", "sign", "2", "3"])
        func source() -> ViewSource {
            ViewSource(data, seed: 5, side: 112, patch: 14, snapshotShare: 0)
        }
        let first = source()
        let views = first.next(3)
        #expect(views.allSatisfy { $0.pixels.count == 3 * 112 * 112 && $0.names.count == 64 })
        #expect(views.allSatisfy { $0.names.allSatisfy { !$0.isEmpty } })
        let position = try first.position()
        let after = first.next(1)[0]
        let second = source()
        try second.seek(position)
        let again = second.next(1)[0]
        #expect(again.names == after.names && again.pixels == after.pixels)
    }
}
