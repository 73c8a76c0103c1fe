import AnyRes
import Foundation

@testable import Codecs

/// Pictures with structure at several scales: a gradient, a rectangle and a stripe pattern of seeded colours.
func syntheticPicture(_ index: Int, width: Int = 96, height: Int = 64) -> Pixels {
    var generator = SeededGenerator(seed: 77, String(index))
    func colour() -> [Double] { (0..<3).map { _ in 255 * generator.unit() } }
    let (from, to, box, stripe) = (colour(), colour(), colour(), colour())
    let (left, top) = (generator.below(width / 2), generator.below(height / 2))
    let (period, slant) = (2 + generator.below(9), generator.below(3))
    var bytes: [UInt8] = []
    for y in 0..<height {
        for x in 0..<width {
            let inBox = x >= left && x < left + width / 3 && y >= top && y < top + height / 3
            let inStripe = y > height * 3 / 4 && (x + slant * y) / period % 2 == 0
            let t = Double(x + y) / Double(width + height)
            for c in 0..<3 {
                let value = inBox ? box[c] : inStripe ? stripe[c] : from[c] * (1 - t) + to[c] * t
                bytes.append(UInt8(max(0, min(255, value))))
            }
        }
    }
    return Pixels(width: width, height: height, bytes: bytes)
}

let syntheticPictures = FitPictures(count: 24) { syntheticPicture($0) }

/// A new empty folder, removed when the test's process ends its work with it.
func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
    let path = NSTemporaryDirectory() + "codecs-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}
