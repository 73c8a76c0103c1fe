import AnyRes
import Foundation

// Shapes: N patches, F = 3 p² values of a patch, p the patch side.

/// The square patches of a picture as rows of a matrix.
///
/// A row holds one patch in the order of a convolution's weight `[3, p, p]`: channel, then row, then column;
/// values are `byte / 127.5 - 1`. Rows follow the picture row by row.
struct Patches {
    let side: Int
    let rows: Int
    let columns: Int
    /// `[N, F]`, N = rows x columns.
    let values: [Float]

    /// The patches of `pixels`, whose sides must be positive multiples of `side`.
    init(of pixels: Pixels, side: Int) throws {
        guard pixels.width > 0, pixels.height > 0, pixels.width % side == 0,
            pixels.height % side == 0
        else {
            throw CodecError.size(
                "a picture of \(pixels.width) x \(pixels.height) does not divide into patches of "
                    + "\(side) x \(side): resize it to multiples of \(side) first")
        }
        self.side = side
        let (rows, columns) = (pixels.height / side, pixels.width / side)
        (self.rows, self.columns) = (rows, columns)
        let size = 3 * side * side
        values = [Float](unsafeUninitializedCapacity: rows * columns * size) { output, count in
            pixels.bytes.withUnsafeBufferPointer { input in
                for row in 0..<rows {
                    for column in 0..<columns {
                        Self.gather(
                            input, width: pixels.width, x: column * side, y: row * side, side: side,
                            into: output.baseAddress! + (row * columns + column) * size)
                    }
                }
            }
            count = rows * columns * size
        }
    }

    private static func gather(
        _ input: UnsafeBufferPointer<UInt8>, width: Int, x: Int, y: Int, side: Int,
        into output: UnsafeMutablePointer<Float>
    ) {
        var index = 0
        for channel in 0..<3 {
            for row in 0..<side {
                var offset = ((y + row) * width + x) * 3 + channel
                for _ in 0..<side {
                    output[index] = Float(input[offset]) * (1 / 127.5) - 1
                    index += 1
                    offset += 3
                }
            }
        }
    }

    /// The picture whose patches are the rows of `values`, rounded and clamped to bytes.
    static func pixels(from values: [Float], side: Int, rows: Int, columns: Int) -> Pixels {
        let width = columns * side
        var bytes = [UInt8](repeating: 0, count: rows * side * width * 3)
        var index = 0
        for row in 0..<rows {
            for column in 0..<columns {
                for channel in 0..<3 {
                    for y in 0..<side {
                        var offset = ((row * side + y) * width + column * side) * 3 + channel
                        for _ in 0..<side {
                            let value = (values[index] + 1) * 127.5
                            bytes[offset] = UInt8(max(0, min(255, value.rounded())))
                            index += 1
                            offset += 3
                        }
                    }
                }
            }
        }
        return Pixels(width: width, height: rows * side, bytes: bytes)
    }
}

/// Mean and principal axes of a sample of patches.
struct PatchSpectrum {
    /// `[F]`.
    let mean: [Float]
    /// Variances along the axes, largest first, `[F]`.
    let variances: [Double]
    /// Unit axes as rows, `[F, F]`.
    let axes: [Double]

    /// Measures the rows of `patches`, `[N, F]`.
    init(_ patches: [Float], size: Int) throws {
        try LinearAlgebra.open()
        let count = patches.count / size
        guard count >= 2 else { throw CodecError.fit("\(count) patches are too few") }
        var sums = [Double](repeating: 0, count: size)
        patches.withUnsafeBufferPointer { values in
            for row in 0..<count {
                for column in 0..<size { sums[column] += Double(values[row * size + column]) }
            }
        }
        let mean = sums.map { Float($0 / Double(count)) }

        // Blocks in fp32, their sum in fp64 and in the order of the blocks: exact enough, and the same
        // whatever the number of cores.
        var covariance = [Double](repeating: 0, count: size * size)
        let rows = 8192
        for start in stride(from: 0, to: count, by: rows) {
            let length = min(rows, count - start)
            var centred = [Float](repeating: 0, count: length * size)
            for row in 0..<length {
                for column in 0..<size {
                    centred[row * size + column] =
                        patches[(start + row) * size + column] - mean[column]
                }
            }
            var block = [Float](repeating: 0, count: size * size)
            LinearAlgebra.addGram(centred, rows: length, columns: size, to: &block)
            for row in 0..<size {
                for column in row..<size {
                    covariance[row * size + column] += Double(block[row * size + column])
                }
            }
        }
        for row in 0..<size {
            for column in row..<size {
                let value = covariance[row * size + column] / Double(count - 1)
                covariance[row * size + column] = value
                covariance[column * size + row] = value
            }
        }
        let (values, vectors) = try LinearAlgebra.eigen(symmetric: covariance, n: size)
        self.mean = mean
        variances = values.map { max(0, $0) }
        axes = vectors
    }
}

/// Peak signal-to-noise ratio in decibels of values in -1...1 with the given mean squared error; a perfect
/// match gives 100.
func peakSignalToNoise(meanSquaredError: Double) -> Double {
    meanSquaredError <= 4e-10 ? 100 : 10 * log10(4 / meanSquaredError)
}
