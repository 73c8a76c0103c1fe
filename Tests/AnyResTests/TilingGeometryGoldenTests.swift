import Foundation
import GoldenSupport
import Testing

@testable import AnyRes

@Suite("Any-resolution tiling: Hugging Face's geometry")
struct TilingGeometryGoldenTests {
    static let families = GoldenFolder.families("llava_next").filter {
        GoldenFolder.contains($0 + "/geometry.json")
    }

    struct Geometry: Decodable {
        struct Case: Decodable {
            let width: Int
            let height: Int
            let bestResolution: [Int]
            let resized: [Int]
            let padTopBottom: [Int]
            let padLeftRight: [Int]
            let grid: [Int]
            let unpaddedRows: Int
            let unpaddedCols: Int
            let tiles: Int
            let imageTokens: Int
        }

        let tile: Int
        let patch: Int
        let gridPinpoints: [[Int]]
        let cases: [Case]
    }

    @Test("geometry of many sizes", arguments: families)
    func geometry(family: String) throws {
        let data = try Data(
            contentsOf: URL(fileURLWithPath: GoldenFolder.path + "/\(family)/geometry.json"))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let geometry = try decoder.decode(Geometry.self, from: data)
        #expect(geometry.cases.count == 64 || !GoldenFolder.isOwn)
        let tiler = try Tiler(
            TilingConfiguration(
                tiling: .anyres, tileWidth: geometry.tile, tileHeight: geometry.tile,
                pinpoints: .list(geometry.gridPinpoints), tieOrder: .huggingface))
        let patches = geometry.tile / geometry.patch
        for row in geometry.cases {
            let plan = try tiler.plan(width: row.width, height: row.height)
            let grid = plan.unpaddedGrid(patchesPerSide: patches, rounding: .huggingface)
            let made = [
                [plan.padded.height, plan.padded.width], [plan.scaled.height, plan.scaled.width],
                [plan.offsetY, plan.offsetX], [plan.rows * patches, plan.columns * patches],
                [plan.tileCount + 1], [grid.rows, grid.rows == 0 ? 0 : grid.columns],
                [grid.tokenCount],
            ]
            let expected = [
                row.bestResolution, row.resized, [row.padTopBottom[0], row.padLeftRight[0]],
                row.grid, [row.tiles], [row.unpaddedRows, row.unpaddedCols], [row.imageTokens],
            ]
            GoldenReport.record(family, equal: made == expected)
            #expect(made == expected, "\(row.width) x \(row.height)")
        }
    }
}
