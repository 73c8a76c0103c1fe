import AnyRes
import Foundation

/// A frozen vocabulary of picture cells: every `stride x stride` cell of a picture has one code.
///
/// One protocol for the k-means codebook here and for the VQ networks that need tensors.
public protocol Codebook: Sendable {
    /// A short name for logs and caches, such as `kmeans-1024`.
    var name: String { get }
    /// A hexadecimal hash of everything that decides the codes; part of the key of cached indices.
    var fingerprint: String { get }
    /// Codes are `0..<codeCount`.
    var codeCount: Int { get }
    /// Side of a cell in pixels.
    var stride: Int { get }
    /// The nearest code of every cell, for a picture whose sides are multiples of ``stride``.
    ///
    /// Nearest in squared Euclidean distance, ties to the lowest code (VLSA equation 5, read as VQ-Diffusion's
    /// quantiser does); cells in row-major order. Safe to call from several threads.
    func indices(of pixels: Pixels) throws -> CodeGrid
}

extension Codebook {
    /// The codes of a picture of any size, resized to a grid whose longer side has `longestSide` cells.
    public func indices(of pixels: Pixels, longestSide: Int) throws -> CodeGrid {
        let shape = GridShape(width: pixels.width, height: pixels.height, longestSide: longestSide)
        return try indices(of: shape.fitted(pixels, stride: stride))
    }
}

/// Rows and columns of a grid laid over a picture.
public struct GridShape: Codable, Equatable, Hashable, Sendable {
    public var rows: Int
    public var columns: Int

    /// A grid of the given size.
    public init(rows: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
    }

    /// The grid of about square cells over a picture of `width x height` pixels whose longer side has
    /// `longestSide` cells; at least one row and one column.
    public init(width: Int, height: Int, longestSide: Int) {
        func share(_ side: Int, of longest: Int) -> Int {
            max(1, (2 * side * longestSide + longest) / (2 * longest))  // rounds half up
        }
        rows = share(height, of: max(width, height, 1))
        columns = share(width, of: max(width, height, 1))
    }

    /// Number of cells.
    public var count: Int { rows * columns }

    /// `pixels` resized so that every cell has `stride x stride` pixels.
    public func fitted(_ pixels: Pixels, stride: Int) -> Pixels {
        let (width, height) = (columns * stride, rows * stride)
        guard pixels.width != width || pixels.height != height else { return pixels }
        return resized(pixels, width: width, height: height, filter: .bicubic)
    }
}

/// The codes of a picture's cells.
public struct CodeGrid: Codable, Equatable, Sendable {
    /// Size of the grid.
    public let shape: GridShape
    /// Codes in row-major order, `rows x columns`.
    public let values: [Int]

    /// A grid of `shape.count` codes.
    public init(shape: GridShape, values: [Int]) {
        guard values.count == shape.count else {
            fatalError("CodeGrid: \(values.count) codes for \(shape.rows) x \(shape.columns) cells")
        }
        (self.shape, self.values) = (shape, values)
    }

    /// Number of rows.
    public var rows: Int { shape.rows }
    /// Number of columns.
    public var columns: Int { shape.columns }

    /// The code of one cell.
    public subscript(row: Int, column: Int) -> Int { values[row * columns + column] }

    /// The codes of `rows x columns` in row-major order.
    public func window(rows: Range<Int>, columns: Range<Int>) -> [Int] {
        rows.flatMap { row in columns.map { self[row, $0] } }
    }
}

/// How evenly a codebook is used.
public struct CodebookUse: Codable, Equatable, Sendable {
    /// Share of the codes that occur, 0...1.
    public let usedFraction: Double
    /// `exp` of the entropy of the codes' shares: the number of codes in effective use.
    public let perplexity: Double

    enum CodingKeys: String, CodingKey {
        case usedFraction = "used_fraction"
        case perplexity
    }

    /// Measures `codes`, each below `codeCount`.
    public init(codes: some Sequence<Int>, codeCount: Int) {
        var counts = [Int](repeating: 0, count: codeCount)
        for code in codes { counts[code] += 1 }
        let total = Double(counts.reduce(0, +))
        var entropy = 0.0
        for count in counts where count > 0 {
            let share = Double(count) / total
            entropy -= share * log(share)
        }
        usedFraction = Double(counts.count { $0 > 0 }) / Double(max(1, codeCount))
        perplexity = total > 0 ? exp(entropy) : 0
    }
}
