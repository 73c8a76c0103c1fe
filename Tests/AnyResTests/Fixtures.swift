import Foundation
import GoldenSupport
import Testing

@testable import AnyRes

/// Files of the golden family `images`.
enum Fixtures {
    static let folder = GoldenFolder.path + "/images"

    static func path(_ name: String) -> String { folder + "/" + name }

    static let golden = try? FixtureTensors(path: path("golden.safetensors"))
    static let resize = try? FixtureTensors(path: path("resize/golden.safetensors"))

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
    }

    /// The reference's pixels `[height, width, 3]` under a name.
    static func pixels(_ name: String, in file: FixtureTensors?) throws -> Pixels {
        let tensor = try #require(file?[name], "no fixture tensor '\(name)'")
        return Pixels(width: tensor.shape[1], height: tensor.shape[0], bytes: tensor.bytes)
    }
}

/// A temporary folder that goes away with its last reference.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/anyres-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let file = path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }
}

/// The largest and the mean difference of two pictures' bytes.
func difference(_ a: [UInt8], _ b: [UInt8]) -> (largest: Int, mean: Double) {
    guard a.count == b.count else { return (.max, .infinity) }
    var (largest, sum) = (0, 0)
    for i in a.indices {
        let d = abs(Int(a[i]) - Int(b[i]))
        largest = max(largest, d)
        sum += d
    }
    return (largest, Double(sum) / Double(max(a.count, 1)))
}

/// Reproducible random numbers (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// A picture of noise.
func noise(width: Int, height: Int, seed: UInt64) -> Pixels {
    var numbers = SeededNumbers(seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(width * height * 3 + 8)
    while bytes.count < width * height * 3 {
        withUnsafeBytes(of: numbers.next()) { bytes += $0 }
    }
    return Pixels(width: width, height: height, bytes: Array(bytes.prefix(width * height * 3)))
}

/// Holds bytes against the reference's and reports the largest difference under `images`.
func expectGolden(
    _ found: [UInt8], _ expected: [UInt8], within tolerance: Int = 0, _ label: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let off = difference(found, expected)
    GoldenReport.record(
        "images", absolute: Double(off.largest), largest: 255, isWithin: off.largest <= tolerance)
    #expect(off.largest <= tolerance, "\(label)", sourceLocation: sourceLocation)
}

/// Holds finished values against the reference's, bit for bit, and reports them under `images`.
func expectGolden(
    _ found: [Float], _ expected: [Float], _ label: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    GoldenReport.record("images", found.map(Double.init), expected.map(Double.init))
    #expect(found == expected, "\(label)", sourceLocation: sourceLocation)
}
