import AnyRes
import Testing

@testable import Codecs

struct PatchesTests {
    @Test func orderIsThatOfAConvolutionWeight() throws {
        // 4 x 2 picture, patches of 2: value of byte (x, y, c) is 10 (4 y + x) + c
        let bytes = (0..<8).flatMap { pixel in (0..<3).map { UInt8(10 * pixel + $0) } }
        let patches = try Patches(of: Pixels(width: 4, height: 2, bytes: bytes), side: 2)
        #expect((patches.rows, patches.columns) == (1, 2))
        let back = patches.values.map { Int((($0 + 1) * 127.5).rounded()) }
        #expect(back[..<12] == [0, 10, 40, 50, 1, 11, 41, 51, 2, 12, 42, 52])
        #expect(back[12...] == [20, 30, 60, 70, 21, 31, 61, 71, 22, 32, 62, 72])
    }

    @Test(arguments: [1, 2, 4, 8])
    func picturesSurviveTheRoundTrip(side: Int) throws {
        let picture = syntheticPicture(3, width: 32, height: 24)
        let patches = try Patches(of: picture, side: side)
        #expect(
            Patches.pixels(
                from: patches.values, side: side, rows: patches.rows, columns: patches.columns)
                == picture)
    }

    @Test func unfitSizesAreNamed() {
        #expect(throws: CodecError.self) {
            try Patches(of: syntheticPicture(0, width: 30, height: 24), side: 8)
        }
    }

    @Test func spectrumFindsAKnownCovariance() throws {
        // Two independent axes of variance 4 and 1, rotated by the 3-4-5 triangle.
        var generator = SeededGenerator(seed: 1)
        var values: [Float] = []
        for _ in 0..<20000 {
            let a = 2 * (generator.unit() - 0.5) * 12.0.squareRoot()
            let b = (generator.unit() - 0.5) * 12.0.squareRoot()
            values += [Float(0.6 * a - 0.8 * b + 5), Float(0.8 * a + 0.6 * b - 1)]
        }
        let spectrum = try PatchSpectrum(values, size: 2)
        #expect(abs(spectrum.mean[0] - 5) < 0.05 && abs(spectrum.mean[1] + 1) < 0.05)
        #expect(abs(spectrum.variances[0] - 4) < 0.1 && abs(spectrum.variances[1] - 1) < 0.05)
        #expect(abs(spectrum.axes[0] - 0.6) < 0.02 && abs(spectrum.axes[1] - 0.8) < 0.02)
        let inner = spectrum.axes[0] * spectrum.axes[2] + spectrum.axes[1] * spectrum.axes[3]
        #expect(abs(inner) < 1e-12)
    }

    @Test(arguments: [
        (1000, 500, 16, 8, 16), (500, 1000, 16, 16, 8), (336, 336, 7, 7, 7), (1, 5000, 32, 32, 1),
    ])
    func gridsKeepTheAspect(width: Int, height: Int, longest: Int, rows: Int, columns: Int) {
        #expect(
            GridShape(width: width, height: height, longestSide: longest)
                == GridShape(rows: rows, columns: columns))
    }
}
