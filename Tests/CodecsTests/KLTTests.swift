import AnyRes
import Foundation
import Testing

@testable import Codecs

struct KLTTests {
    static let settings = KLTSettings(
        channels: 16, patchSide: 4, longestSides: [16, 24], patchLimit: 6000, seed: 1)

    @Test func channelsHaveUnitVarianceAndZeroMean() throws {
        var settings = Self.settings
        settings.longestSides = [24]
        settings.patchLimit = 24 * 384  // every patch of every picture
        let latents = try KLTLatents.fit(
            pictures: syntheticPictures, settings: settings)
        var sums = [Double](repeating: 0, count: 16)
        var squares = sums
        var count = 0.0
        for index in 0..<24 {
            let grid = try latents.encode(
                GridShape(rows: 16, columns: 24).fitted(syntheticPicture(index), stride: 4))
            #expect((grid.channels, grid.rows, grid.columns) == (16, 16, 24))
            for channel in 0..<16 {
                for value in grid.values[channel * 384..<(channel + 1) * 384] {
                    sums[channel] += Double(value)
                    squares[channel] += Double(value * value)
                }
            }
            count += 384
        }
        for channel in 0..<16 {
            #expect(abs(sums[channel] / count) < 1e-3)
            #expect(abs(squares[channel] / count - 1) < 1e-2)
        }
    }

    @Test func basisIsOrthonormal() throws {
        let latents = try KLTLatents.fit(
            pictures: syntheticPictures, settings: Self.settings)
        let f = 48
        for a in 0..<16 {
            for b in 0...a {
                let inner = (0..<f).reduce(0) {
                    $0 + latents.basis[a * f + $1] * latents.basis[b * f + $1]
                }
                #expect(abs(inner - (a == b ? 1 : 0)) < 1e-5)
            }
        }
    }

    /// The stated formula, which tensor code follows, is what ``KLTLatents/encode(_:)`` computes.
    @Test func encodingFollowsItsFormula() throws {
        let latents = try KLTLatents.fit(
            pictures: syntheticPictures, settings: Self.settings)
        let picture = syntheticPicture(40, width: 16, height: 8)
        let grid = try latents.encode(picture)
        let patches = try Patches(of: picture, side: 4)
        for patch in 0..<8 {
            for channel in 0..<16 {
                var value: Float = 0
                for i in 0..<48 {
                    value +=
                        latents.basis[channel * 48 + i]
                        * (patches.values[patch * 48 + i] - latents.mean[i])
                }
                #expect(
                    abs(grid.values[channel * 8 + patch] - value * latents.scale[channel]) < 1e-3)
            }
        }
    }

    @Test func moreChannelsRebuildBetterAndAllRebuildExactly() throws {
        let picture = GridShape(rows: 16, columns: 24).fitted(syntheticPicture(50), stride: 4)
        var previous = 0.0
        for channels in [2, 8, 24] {
            var settings = Self.settings
            settings.channels = channels
            let latents = try KLTLatents.fit(
                pictures: syntheticPictures, settings: settings)
            let rebuilt = try latents.decode(latents.encode(picture))
            let quality = try decibels(rebuilt, against: picture)
            #expect(quality > previous)
            previous = quality
        }
        // Noise spans every axis, so a full basis loses nothing but the rounding to bytes.
        var generator = SeededGenerator(seed: 4)
        let noise = Pixels(
            width: 64, height: 64, bytes: (0..<64 * 64 * 3).map { _ in UInt8(generator.below(256)) }
        )
        let full = try KLTLatents.fit(
            pictures: FitPictures([noise]),
            settings: KLTSettings(channels: 12, patchSide: 2, longestSides: [32]))
        #expect(try full.decode(full.encode(noise)) == noise)
    }

    @Test func tooUniformPicturesAreNamed() {
        let grey = FitPictures([
            Pixels(width: 64, height: 64, bytes: .init(repeating: 9, count: 64 * 64 * 3))
        ])
        #expect(throws: CodecError.self) {
            try KLTLatents.fit(
                pictures: grey, settings: Self.settings)
        }
    }

    @Test func savedAndReadIsTheSame() throws {
        try withTemporaryFolder { folder in
            let latents = try KLTLatents.fit(
                pictures: syntheticPictures, settings: Self.settings)
            try latents.save(to: folder)
            let read = try KLTLatents(folder: folder)
            #expect(read.fingerprint == latents.fingerprint && read.report == latents.report)
            #expect(
                read.basis == latents.basis && read.mean == latents.mean
                    && read.scale == latents.scale)
        }
    }

    @Test(arguments: ["", "{", #"{"model_type":"klt_latents"}"#, #"{"model_type":7}"#])
    func aBrokenConfigIsNamed(text: String) throws {
        try withTemporaryFolder { folder in
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/config.json"))
            #expect {
                try KLTLatents(folder: folder)
            } throws: {
                "\($0)".contains("config.json")
            }
        }
    }
}
