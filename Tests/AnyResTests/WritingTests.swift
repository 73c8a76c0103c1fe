import Foundation
import Testing

@testable import AnyRes

@Suite("Writing and drawing")
struct WritingTests {
    @Test("PNG keeps every byte, JPEG and WebP nearly")
    func roundTrips() throws {
        let folder = try TemporaryFolder()
        let source = resized(noise(width: 8, height: 6, seed: 4), width: 96, height: 64)
        let reader = PictureReader()
        let png = folder.path + "/a.png"
        try writePNG(source, to: png)
        #expect(try reader.read(path: png) == source)
        let jpeg = folder.path + "/a.jpg"
        try writeJPEG(source, to: jpeg, quality: 95)
        #expect(difference(try reader.read(path: jpeg).bytes, source.bytes).mean < 3)
        let webp = folder.path + "/a.webp"
        try writeWebP(source, to: webp, quality: 95)
        #expect(difference(try reader.read(path: webp).bytes, source.bytes).mean < 4)
        #expect(PictureFormat(firstBytes: try source.encoded(as: .png())) == .png)
    }

    @Test("a place that cannot be written is named")
    func unwritable() {
        let path = "/nowhere/at/all.png"
        let error = #expect(throws: PictureError.self) {
            try writePNG(Pixels(width: 1, height: 1, colour: [0, 0, 0]), to: path)
        }
        guard case .unwritable(path, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("what the system says of a place is passed on")
    func unwritableReasons() throws {
        let folder = try TemporaryFolder()
        let dot = Pixels(width: 1, height: 1, colour: [0, 0, 0])
        for (path, expected) in [
            ("/nowhere/x.png", "No such file or directory"), (folder.path, "Is a directory"),
        ] {
            let error = #expect(throws: PictureError.self) { try writePNG(dot, to: path) }
            #expect("\(try #require(error))".hasSuffix(expected), "\(String(describing: error))")
        }
    }

    @Test("drawings over their background")
    func drawing() throws {
        let svg = """
            <svg xmlns="http://www.w3.org/2000/svg" width="30" height="20">
            <rect x="10" y="0" width="10" height="20" fill="#102030"/></svg>
            """
        let result = try renderSVG(svg)
        #expect(result.size == PictureSize(width: 30, height: 20))
        #expect(result[5, 5] == [255, 255, 255] && result[15, 10] == [0x10, 0x20, 0x30])
        #expect(try renderSVG(svg, background: [1, 2, 3])[25, 19] == [1, 2, 3])
        #expect(throws: PictureError.self) { try renderSVG("no drawing") }
        #expect(throws: PictureError.self) {
            try renderSVG(
                "<svg xmlns='http://www.w3.org/2000/svg' width='20000' height='20000'></svg>")
        }
    }

    @Test("many threads decode, resize and draw at once")
    func threads() async throws {
        let names = [
            "01_rgb.png", "02_rgb_420.jpg", "03_exif6.jpg", "10_animated.gif", "11_lossy.webp",
        ]
        let reader = PictureReader()
        let tiler = try Tiler(TilingConfiguration(tileWidth: 28, tileHeight: 28))
        let expected = try names.map { try tiler.tile(reader.picture(path: Fixtures.path($0))) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    for round in 0..<20 {
                        let index = (worker + round) % names.count
                        let path = Fixtures.path(names[index])
                        let tiled = try tiler.tile(reader.picture(path: path))
                        #expect(tiled == expected[index])
                        #expect(throws: PictureError.self) {
                            try reader.read(bytes: [0xFF, 0xD8, 0xFF, 1])
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
