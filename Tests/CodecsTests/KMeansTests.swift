import AnyRes
import Foundation
import Testing

@testable import Codecs

struct KMeansTests {
    static let settings = KMeansSettings(
        codeCount: 24, patchSide: 4, dimensions: 12, longestSides: [8, 16], patchLimit: 3000,
        seed: 3)

    @Test func separatedClustersAreFound() throws {
        var generator = SeededGenerator(seed: 8)
        let truth: [[Float]] = [[0, 0], [10, 0], [0, 10], [10, 10], [5, 30]]
        var points: [Float] = []
        for index in 0..<400 {
            for i in 0..<2 { points.append(truth[index % 5][i] + Float(generator.unit() - 0.5)) }
        }
        let fitted = try KMeans(points, dimensions: 2, count: 5, steps: 50, seed: 1)
        for centre in truth {
            let nearest = (0..<5).map { k in
                hypot(fitted.centres[2 * k] - centre[0], fitted.centres[2 * k + 1] - centre[1])
            }
            #expect(nearest.min()! < 0.1)
        }
        for index in 0..<400 { #expect(fitted.labels[index] == fitted.labels[index % 5]) }
    }

    @Test(arguments: [1, 5, 16, 33])
    func assignmentIsTheNearestWithTiesToTheLowest(count: Int) {
        var generator = SeededGenerator(seed: UInt64(count))
        let d = 7
        var centres = (0..<count * d).map { _ in Float(generator.below(5)) }
        centres += centres[..<d]  // a duplicate of code 0 must never be chosen
        // Small whole numbers, so that ties are exact.
        let points = (0..<100 * d).map { _ in Float(generator.below(5)) }
        let (labels, distances) = KMeans(centres: centres, dimensions: d).assign(points)
        for point in 0..<100 {
            let exact = (0...count).map { k in
                (0..<d).reduce(Float(0)) {
                    let difference = points[point * d + $1] - centres[k * d + $1]
                    return $0 + difference * difference
                }
            }
            #expect(labels[point] == exact.firstIndex(of: exact.min()!))
            #expect(distances[point] == exact.min()!)
        }
    }

    @Test func deadCentresAreRevived() throws {
        // 90 equal points and ten far ones: a start that misses some must still end with all in use.
        var points = [Float](repeating: 0, count: 90)
        points += (1...10).map { Float($0 * 100) }
        let fitted = try KMeans(points, dimensions: 1, count: 11, steps: 50, seed: 2)
        #expect(Set(fitted.labels).count == 11)
    }

    @Test func tooFewDifferentPatchesAreNamed() throws {
        #expect(throws: CodecError.self) {
            _ = try KMeans(
                [Float](repeating: 1, count: 100), dimensions: 1, count: 2, steps: 3, seed: 0)
        }
        let grey = FitPictures([
            Pixels(width: 64, height: 64, bytes: .init(repeating: 9, count: 64 * 64 * 3))
        ])
        #expect(throws: CodecError.self) {
            try KMeansCodebook.fit(
                pictures: grey, settings: Self.settings)
        }
    }

    @Test func fitIsDeterministicAndUsesItsCodes() throws {
        let first = try KMeansCodebook.fit(
            pictures: syntheticPictures, settings: Self.settings)
        let second = try KMeansCodebook.fit(
            pictures: syntheticPictures, settings: Self.settings)
        #expect(first.fingerprint == second.fingerprint)
        var other = Self.settings
        other.seed = 4
        #expect(
            try KMeansCodebook.fit(
                pictures: syntheticPictures, settings: other
            ).fingerprint
                != first.fingerprint)
        let use = try #require(first.report.use)
        #expect(use.usedFraction == 1)
        #expect(use.perplexity > 8 && use.perplexity <= 24)
        #expect(first.report.decibels > 15)
        #expect(first.report.pictures == 24 && first.report.unreadable == 0)
    }

    @Test func codesOfTheirOwnPictureComeBack() throws {
        let codebook = try KMeansCodebook.fit(
            pictures: syntheticPictures, settings: Self.settings)
        let grid = try codebook.indices(of: syntheticPicture(5), longestSide: 12)
        #expect(grid.shape == GridShape(rows: 8, columns: 12))
        #expect(grid.values.allSatisfy { (0..<24).contains($0) })
        // Cells are independent: the codes of a part are the part of the codes.
        let whole = GridShape(rows: 8, columns: 12).fitted(syntheticPicture(5), stride: 4)
        let half = Pixels(
            width: 48, height: 16, bytes: Array(whole.bytes[..<(48 * 16 * 3)]))
        #expect(try codebook.indices(of: half).values == grid.window(rows: 0..<4, columns: 0..<12))
        let rebuilt = try codebook.picture(of: grid)
        #expect(try decibels(rebuilt, against: whole) > 14)
    }

    @Test func unreadablePicturesAreCounted() throws {
        struct Unreadable: Error {}
        let pictures = FitPictures(count: 25) { index in
            if index % 5 == 0 { throw Unreadable() }
            return syntheticPicture(index)
        }
        let codebook = try KMeansCodebook.fit(
            pictures: pictures, settings: Self.settings)
        #expect(codebook.report.pictures == 20 && codebook.report.unreadable == 5)
        #expect(throws: CodecError.self) {
            try KMeansCodebook.fit(
                pictures: FitPictures(count: 3) { _ in throw Unreadable() }, settings: Self.settings
            )
        }
    }

    @Test func savedAndReadIsTheSame() throws {
        try withTemporaryFolder { folder in
            let codebook = try KMeansCodebook.fit(
                pictures: syntheticPictures, settings: Self.settings)
            try codebook.save(to: folder + "/codebook")
            let read = try KMeansCodebook(folder: folder + "/codebook")
            #expect(read.fingerprint == codebook.fingerprint)
            #expect(read.settings == codebook.settings && read.report == codebook.report)
            let picture = syntheticPicture(30)
            #expect(
                try read.indices(of: picture, longestSide: 16)
                    == codebook.indices(of: picture, longestSide: 16))
            #expect(throws: CodecError.self) { try KLTLatents(folder: folder + "/codebook") }
        }
    }

    @Test func badSettingsAreNamed() {
        var settings = Self.settings
        settings.dimensions = 1000
        #expect {
            try KMeansCodebook.fit(
                pictures: syntheticPictures, settings: settings)
        } throws: {
            "\($0)".contains("dimensions") && "\($0)".contains("1...48")
        }
    }
}
