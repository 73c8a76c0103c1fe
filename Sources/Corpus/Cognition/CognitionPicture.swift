import AnyRes
import Codecs

/// One picture as the cognition tasks look at it: decoded at most once, codes computed once a grid.
final class CognitionPicture {
    private let access: any PictureAccess
    private let codebook: (any Codebook)?
    private let cache: CodeCache?
    private let tiler: Tiler?
    private var grids: [Int: CodeGrid] = [:]
    /// Upright size of the picture in its file.
    let size: PictureSize

    init(
        _ access: any PictureAccess, codebook: (any Codebook)?, cache: CodeCache? = nil,
        tiler: Tiler?
    ) throws {
        (self.access, self.codebook, self.cache, self.tiler) = (access, codebook, cache, tiler)
        size = try access.size()
    }

    /// The decoded picture.
    func picture() throws -> Picture { try access.picture() }

    var codeCount: Int { codebook?.codeCount ?? 0 }

    /// The grid with `longestSide` cells along the longer side.
    func shape(longestSide: Int) -> GridShape {
        GridShape(width: size.width, height: size.height, longestSide: longestSide)
    }

    /// The codes on that grid; nil without a codebook.
    func codes(longestSide: Int) throws -> CodeGrid? {
        guard let codebook else { return nil }
        if let known = grids[longestSide] { return known }
        let shape = shape(longestSide: longestSide)
        func make() throws -> CodeGrid {
            try codebook.indices(of: shape.fitted(picture().pixels, stride: codebook.stride))
        }
        let grid =
            if let cache, let key = try access.contentKey() {
                try cache.grid(picture: key, codebook: codebook, shape: shape, make: make)
            } else {
                try make()
            }
        grids[longestSide] = grid
        return grid
    }

    func frame(_ kind: CoordinateKind) throws -> CoordinateFrame {
        let geometry = try tiler?.plan(width: size.width, height: size.height)
        return CoordinateFrame(kind, of: try picture(), geometry: geometry)
    }

    /// Mean colours of a region of stored pixels on a grid, row by row; rounded half up to bytes, then counted in
    /// `levels`. Every cell has at least one pixel when the region has as many as the grid.
    func meanColours(
        x: Range<Int>, y: Range<Int>, shape: GridShape, levels: Int
    ) throws -> [ColourLevels] {
        let pixels = try picture().pixels
        return (0..<shape.rows).flatMap { row in
            (0..<shape.columns).map { column in
                Self.meanColour(
                    of: pixels, x: Self.part(column, of: shape.columns, in: x),
                    y: Self.part(row, of: shape.rows, in: y),
                    levels: levels)
            }
        }
    }

    private static func part(_ index: Int, of count: Int, in range: Range<Int>) -> Range<Int> {
        let start = range.lowerBound
        return start + index * range.count / count..<start + (index + 1) * range.count / count
    }

    private static func meanColour(
        of pixels: Pixels, x: Range<Int>, y: Range<Int>, levels: Int
    ) -> ColourLevels {
        let width = pixels.width
        var (red, green, blue) = (0, 0, 0)
        pixels.bytes.withUnsafeBufferPointer { bytes in
            for row in y {
                var offset = (row * width + x.lowerBound) * 3
                for _ in x {
                    red += Int(bytes[offset])
                    green += Int(bytes[offset + 1])
                    blue += Int(bytes[offset + 2])
                    offset += 3
                }
            }
        }
        let count = max(1, x.count * y.count)
        func level(_ sum: Int) -> Int { (2 * sum + count) / (2 * count) * levels / 256 }
        return ColourLevels(red: level(red), green: level(green), blue: level(blue))
    }
}
