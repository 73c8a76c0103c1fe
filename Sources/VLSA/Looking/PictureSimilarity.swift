import AnyRes
import Foundation

/// How near one picture comes to another of the same size.
public struct PictureSimilarity: Codable, Equatable, Sendable {
    /// Peak signal-to-noise ratio over all 8-bit values, in decibels; infinite for equal pictures.
    public let decibels: Double
    /// Structural similarity of the luma, 1 for equal pictures.
    public let structure: Double

    /// Compares two pictures; traps where their sizes differ.
    public init(of picture: Pixels, to truth: Pixels) {
        guard picture.size == truth.size else {
            fatalError("PictureSimilarity: \(picture.size) against \(truth.size)")
        }
        var sum = 0.0
        for (a, b) in zip(picture.bytes, truth.bytes) {
            let difference = Double(a) - Double(b)
            sum += difference * difference
        }
        let mean = sum / Double(picture.bytes.count)
        decibels = mean == 0 ? .infinity : 10 * log10(255 * 255 / mean)
        structure = structuralSimilarity(picture, truth)
    }

    /// Such as `23.41 dB PSNR, 0.812 SSIM`.
    public var text: String {
        String(format: "%.2f dB PSNR, %.3f SSIM", decibels, structure)
    }
}

/// Mean structural similarity (Wang et al. 2004, IEEE Transactions on Image Processing 13:4, equation 13).
///
/// On the BT.601 luma, in Gaussian windows of deviation 1.5 and 11 pixels that lie inside the picture; where
/// a side is shorter, the window is cut to it. K1 is 0.01 and K2 0.03.
private func structuralSimilarity(_ a: Pixels, _ b: Pixels) -> Double {
    let (width, height) = (a.width, a.height)
    let (x, y) = (luma(a), luma(b))
    func filtered(_ values: [Double]) -> [Double] {
        smoothed(values, width: width, height: height)
    }
    let (meanX, meanY) = (filtered(x), filtered(y))
    let squareX = filtered(products(x, x))
    let squareY = filtered(products(y, y))
    let product = filtered(products(x, y))
    let (c1, c2) = (6.5025, 58.5225)  // (0.01 * 255)^2 and (0.03 * 255)^2
    var sum = 0.0
    for i in meanX.indices {
        let (mx, my) = (meanX[i], meanY[i])
        let covariance = product[i] - mx * my
        let variances = squareX[i] - mx * mx + squareY[i] - my * my
        let above = (2 * mx * my + c1) * (2 * covariance + c2)
        sum += above / ((mx * mx + my * my + c1) * (variances + c2))
    }
    return sum / Double(meanX.count)
}

private func products(_ a: [Double], _ b: [Double]) -> [Double] {
    a.indices.map { (i: Int) -> Double in a[i] * b[i] }
}

private func luma(_ picture: Pixels) -> [Double] {
    stride(from: 0, to: picture.bytes.count, by: 3).map { (i: Int) -> Double in
        let (red, green) = (Double(picture.bytes[i]), Double(picture.bytes[i + 1]))
        return 0.299 * red + 0.587 * green + 0.114 * Double(picture.bytes[i + 2])
    }
}

/// Gaussian weights of at most 11 places, their sum 1.
private func window(_ length: Int) -> [Double] {
    let count = min(11, length)
    let middle = Double(count - 1) / 2
    let weights = (0..<count).map { (place: Int) -> Double in
        let distance = (Double(place) - middle) / 1.5
        return exp(-distance * distance / 2)
    }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
}

/// Gaussian means in all windows that lie inside `[height, width]`, row by row.
private func smoothed(_ values: [Double], width: Int, height: Int) -> [Double] {
    let (across, down) = (window(width), window(height))
    let columns = width - across.count + 1
    let rows = height - down.count + 1
    var narrow = [Double](repeating: 0, count: height * columns)
    for row in 0..<height {
        for column in 0..<columns {
            var sum = 0.0
            for (k, weight) in across.enumerated() {
                sum += weight * values[row * width + column + k]
            }
            narrow[row * columns + column] = sum
        }
    }
    var result = [Double](repeating: 0, count: rows * columns)
    for row in 0..<rows {
        for (k, weight) in down.enumerated() {
            for column in 0..<columns {
                result[row * columns + column] += weight * narrow[(row + k) * columns + column]
            }
        }
    }
    return result
}
