import AnyRes
import Torch

/// Where in a picture the SA-Perceiver's tokens gathered their detail from.
public struct GatheredDetail {
    /// Shares of each output token in each tile token, `[l + 1, N]`: the appended query last, rows sum to 1;
    /// tile tokens are tile by tile, row by row.
    public let shares: Tensor
    let picture: TiledPicture
    /// Tokens along a tile's side.
    let side: Int

    /// The share of each place of the tiles' joined grid, row by row, in one token, or in several on average.
    func map(of tokens: Range<Int>) -> HeatMap {
        let (columns, rows) = (picture.geometry.columns, picture.geometry.rows)
        let mean = shares.narrowed(axis: 0, start: tokens.lowerBound, length: tokens.count)
            .mean(axis: 0)
        let joined = mean.reshaped([rows, columns, side, side]).permuted([0, 2, 1, 3])
        return HeatMap(
            values: joined.reshaped([-1]).floats(), columns: columns * side, rows: rows * side)
    }

    /// The token whose cell of the snapshot holds a point, given in shares of the picture's width and height.
    func token(at point: (x: Double, y: Double), in shown: ShownPicture) -> Int {
        let x = point.x * Double(shown.pixels.width) - shown.snapshot.x
        let y = point.y * Double(shown.pixels.height) - shown.snapshot.y
        let column = Int(x / shown.snapshot.width * Double(side))
        let row = Int(y / shown.snapshot.height * Double(side))
        return min(max(row, 0), side - 1) * side + min(max(column, 0), side - 1)
    }

    /// Six places spread over a picture, as shares of its width and height.
    public static let spread: [(x: Double, y: Double)] = [0.3, 0.7].flatMap { y in
        [0.2, 0.5, 0.8].map { x in (x, y) }
    }

    /// The picture with its tiles, where all tokens, the appended query and single tokens gathered from.
    ///
    /// - Parameter points: places in shares of the picture's width and height; the token of each is shown.
    public func sheet(at points: [(x: Double, y: Double)] = Self.spread, title: String)
        -> PictureSheet
    {
        let geometry = picture.geometry
        let large = ShownPicture(picture).fitted(into: 360)
        let count = side * side
        var tiled = large.pixels
        for index in 0..<geometry.tileCount {
            tiled = tiled.outlining(
                large.canvas.cell(index, columns: geometry.columns, rows: geometry.rows),
                colour: [224, 64, 106], thickness: 1)
        }
        let first = [
            PictureSheet.Panel(tiled, "\(geometry.columns) x \(geometry.rows) tiles"),
            PictureSheet.Panel(
                map(of: 0..<count).over(large.pixels, covering: large.canvas),
                "all \(count) tokens together"),
            PictureSheet.Panel(
                map(of: count..<count + 1).over(large.pixels, covering: large.canvas),
                "the appended query"),
        ]
        let shown = large.fitted(into: 230)
        let single = points.map { point -> PictureSheet.Panel in
            let token = token(at: point, in: shown)
            let cell = shown.snapshot.cell(token, columns: side, rows: side)
            return PictureSheet.Panel(
                map(of: token..<token + 1).over(shown.pixels, covering: shown.canvas)
                    .outlining(cell, colour: [120, 220, 255]),
                "token \(token % side + 1), \(token / side + 1)")
        }
        let rows = stride(from: 0, to: single.count, by: 3).map {
            Array(single[$0..<min($0 + 3, single.count)])
        }
        return PictureSheet(
            title: title, rows: [first] + rows,
            note:
                "Bright places gave most. Frames: the tokens' own cells of the snapshot; each map has its "
                + "own scale.")
    }
}

extension VLSAModel {
    /// Where the SA-Perceiver's tokens gather from in a picture.
    ///
    /// - Throws: ``VLSAError/configuration(_:)`` for a model without perceiver.
    public func gathered(from picture: TiledPicture) throws -> GatheredDetail {
        guard let perceiver else {
            throw VLSAError.configuration(
                "the model has no perceiver (perceiver.enabled: false), so nothing is gathered")
        }
        return withoutGradients {
            let features = self.features(of: [picture])  // [1 + m, l, d]
            let (tiles, length, width) = (picture.tileCount, features.shape[1], features.shape[2])
            let shares = perceiver.gathered(
                features.narrowed(axis: 0, start: 0, length: 1),
                tiles: features.narrowed(axis: 0, start: 1, length: tiles)
                    .reshaped([1, tiles * length, width]),
                places: TokenPlaces(
                    columns: picture.geometry.columns, rows: picture.geometry.rows,
                    side: tokensPerSide, device: store.device))
            return GatheredDetail(shares: shares[0], picture: picture, side: tokensPerSide)
        }
    }
}
