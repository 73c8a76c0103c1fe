import Foundation
import Testing

@testable import AnyRes

@Suite("Large pictures are shrunk while they stream")
struct LargePictureTests {
    @Test("a factor of 1 leaves every pixel, a larger one takes block means", arguments: 1...5)
    func blockMeans(factor: Int) throws {
        let source = noise(width: 61, height: 47, seed: 8)
        let png = try source.encoded(as: .png())
        var reader = PictureReader()
        let kept = PictureSize(
            width: (61 + factor - 1) / factor, height: (47 + factor - 1) / factor)
        reader.limits.maxKeptPixels = kept.area
        let picture = try reader.picture(bytes: png)
        #expect(picture.shrink == factor)
        #expect(picture.original == source.size && picture.pixels.size == kept)
        for y in 0..<kept.height {
            for x in 0..<kept.width {
                let columns = x * factor..<min(61, (x + 1) * factor)
                let rows = y * factor..<min(47, (y + 1) * factor)
                for channel in 0..<3 {
                    var sum = 0
                    for row in rows {
                        for column in columns { sum += Int(source[column, row][channel]) }
                    }
                    let area = rows.count * columns.count
                    #expect(Int(picture.pixels[x, y][channel]) == (sum + area / 2) / area)
                }
            }
        }
    }

    @Test("a JPEG is shrunk by its decoder first, upright size and shrink reported")
    func jpeg() throws {
        let source = resized(noise(width: 8, height: 6, seed: 8), width: 400, height: 300)
        let file = MadeFiles.jpeg(try source.encoded(as: .jpeg(quality: 95)), orientation: 6)
        var reader = PictureReader()
        reader.limits.maxKeptPixels = 100 * 75
        let picture = try reader.picture(bytes: file)
        #expect(picture.original == PictureSize(width: 300, height: 400))
        #expect(picture.shrink == 4 && picture.pixels.size == PictureSize(width: 75, height: 100))
        let expected = resized(
            source.upright(orientation: 6), width: 75, height: 100, filter: .box)
        #expect(difference(picture.pixels.bytes, expected.bytes).mean < 2)
    }

    /// In a process of its own: what other tests hold must not count.
    @Test("20000 x 20000 pixels in bounded memory")
    func huge() async {
        await #expect(processExitsWith: .success) {
            let side = 20000
            let folder = try TemporaryFolder()
            let file = try folder.write(
                MadeFiles.blackPNG(width: side, height: side, colour: 0), "huge.png")
            let picture = try PictureReader().picture(path: file)
            #expect(picture.original == PictureSize(width: side, height: side))
            #expect(picture.shrink == 3 && picture.pixels.width == 6667)
            let tiled = try Tiler(TilingConfiguration()).tile(picture)
            #expect(tiled.tileCount == 36)
            #expect(tiled.geometry.original == picture.original)
            #expect(try peakResident() < 1 << 30)
        }
    }
}

/// Most memory this process has held, in bytes.
private func peakResident() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") })
    return try #require(Int(line.split(separator: " ").dropLast().last ?? "")) * 1024
}
