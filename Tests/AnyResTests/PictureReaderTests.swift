import Foundation
import Testing

@testable import AnyRes

@Suite("Reading pictures")
struct PictureReaderTests {
    let reader = PictureReader()

    private func rgb(_ name: String) throws -> Pixels {
        try Fixtures.pixels(name, in: Fixtures.golden)
    }

    @Test(
        "lossless pictures equal the reference's",
        arguments: [
            "01_rgb.png", "04_gray.png", "06_rgba.png", "08_rgb16.png", "09_palette_trns.png",
            "10_animated.gif", "14_tall_1x500.png",
        ])
    func lossless(name: String) throws {
        var reader = reader
        reader.alpha = .dropped
        let expected = try rgb("\(name.split(separator: ".")[0]).rgb")
        #expect(try reader.read(path: Fixtures.path(name)) == expected)
        #expect(try reader.read(bytes: Fixtures.bytes(name)) == expected)
        #expect(try reader.read(data: Data(Fixtures.bytes(name))) == expected)
        #expect(try reader.size(of: Fixtures.path(name)) == expected.size)
        #expect(try reader.size(of: Fixtures.bytes(name)) == expected.size)
    }

    @Test("16-bit grey is its high byte")
    func grey16() throws {
        #expect(
            try reader.read(path: Fixtures.path("07_gray16.png")) == rgb("07_gray16.rgb_high_byte"))
    }

    @Test(
        "alpha over white equals the reference's",
        arguments: ["06_rgba.png", "09_palette_trns.png"])
    func overWhite(name: String) throws {
        let expected = try rgb("\(name.split(separator: ".")[0]).rgb_over_white")
        let result = try reader.read(path: Fixtures.path(name), padColour: PadColour.white)
        #expect(result == expected)
    }

    @Test(
        "JPEG and lossy WebP within a level of the reference's decoders",
        arguments: [
            "02_rgb_420.jpg", "03_exif6.jpg", "05_cmyk.jpg", "11_lossy.webp", "15_gray.jpg",
        ])
    func lossy(name: String) throws {
        let expected = try rgb("\(name.split(separator: ".")[0]).rgb")
        let result = try reader.read(path: Fixtures.path(name))
        #expect(result.size == expected.size)
        #expect(difference(result.bytes, expected.bytes).largest <= 1)
    }

    @Test("the stored picture, where orientation is not wanted")
    func withoutOrientation() throws {
        var reader = reader
        reader.appliesOrientation = false
        let result = try reader.read(path: Fixtures.path("03_exif6.jpg"))
        let expected = try rgb("03_exif6.rgb_without_exif")
        #expect(result.size == expected.size)
        #expect(difference(result.bytes, expected.bytes).largest <= 1)
    }

    @Test("every EXIF orientation", arguments: 1...8)
    func orientation(value: Int) throws {
        // Four colours, so that every turn and mirror differs; far from square.
        var source = Pixels(width: 48, height: 32, colour: [250, 20, 20])
        source = source.pasting(Pixels(width: 24, height: 16, colour: [20, 250, 20]), x: 24, y: 0)
        source = source.pasting(Pixels(width: 24, height: 16, colour: [20, 20, 250]), x: 0, y: 16)
        source = source.pasting(
            Pixels(width: 24, height: 16, colour: [250, 250, 20]), x: 24, y: 16)
        let (red, green, blue, yellow) = (0, 1, 2, 3)
        // The corners as shown, from the top left in reading order, by the EXIF standard's wording.
        let corners = [
            [red, green, blue, yellow], [green, red, yellow, blue], [yellow, blue, green, red],
            [blue, yellow, red, green], [red, blue, green, yellow], [blue, red, yellow, green],
            [yellow, green, blue, red], [green, yellow, red, blue],
        ][value - 1]
        let colours: [[UInt8]] = [[250, 20, 20], [20, 250, 20], [20, 20, 250], [250, 250, 20]]
        let jpeg = MadeFiles.jpeg(
            try source.encoded(as: .jpeg(quality: 95)), orientation: value)
        let result = try reader.read(bytes: jpeg)
        let upright = PictureSize(width: value >= 5 ? 32 : 48, height: value >= 5 ? 48 : 32)
        #expect(result.size == upright)
        #expect(try reader.size(of: jpeg) == upright)
        for (index, corner) in corners.enumerated() {
            let x = index % 2 == 0 ? 4 : upright.width - 5
            let y = index / 2 == 0 ? 4 : upright.height - 5
            #expect(difference(result[x, y], colours[corner]).largest <= 12, "corner \(index)")
        }
    }

    @Test("an orientation outside 1...8 is none", arguments: [0, 9, 4711])
    func badOrientation(value: Int) throws {
        let source = noise(width: 24, height: 16, seed: 1)
        let jpeg = MadeFiles.jpeg(try source.encoded(as: .jpeg()), orientation: value)
        #expect(try reader.read(bytes: jpeg).size == source.size)
    }

    @Test("an embedded profile is converted, sRGB and nonsense are left alone")
    func profiles() throws {
        let grey = Pixels(width: 16, height: 16, colour: [128, 128, 128])
        let jpeg = try grey.encoded(as: .jpeg(quality: 100))
        let linear = MadeFiles.jpeg(jpeg, profile: MadeFiles.linearProfile(name: "Linear light"))
        let converted = try reader.read(bytes: linear)
        // 128/255 of the light is 188 in sRGB.
        #expect(difference(converted[8, 8], [188, 188, 188]).largest <= 1)
        var plain = reader
        plain.convertsProfiles = false
        #expect(try plain.read(bytes: linear) == grey)
        let named = MadeFiles.jpeg(
            jpeg, profile: MadeFiles.linearProfile(name: "sRGB IEC61966-2.1"))
        #expect(try reader.read(bytes: named) == grey)
        let broken = MadeFiles.jpeg(jpeg, profile: [UInt8](repeating: 7, count: 300))
        #expect(try reader.read(bytes: broken) == grey)
        #expect(try reader.read(bytes: MadeFiles.jpeg(jpeg, profile: [1, 2, 3])) == grey)
    }

    @Test("a profile beside alpha and 16 bits")
    func profileWithAlpha() throws {
        let profile = MadeFiles.linearProfile(name: "Linear light")
        let extra = MadeFiles.chunk(
            "iCCP", Array("x".utf8) + [0, 0] + MadeFiles.stored(profile))
        let wide: [UInt8] = [0x80, 0x12, 0x80, 0x34, 0x80, 0x56, 0x40, 0x99]
        let png = MadeFiles.png(
            width: 2, height: 1, depth: 16, colour: 6, extra: extra, rows: [wide + wide])
        let result = try reader.read(bytes: png, padColour: [0, 0, 0])
        // 188 with an alpha of 64 over black.
        #expect(difference(result[1, 0], [47, 47, 47]).largest <= 1)
        #expect(result.size == PictureSize(width: 2, height: 1))
    }

    @Test("grey with alpha, 8 and 16 bits")
    func greyAlpha() throws {
        let png = MadeFiles.png(
            width: 3, height: 1, colour: 4, rows: [[200, 255, 200, 0, 100, 128]])
        let result = try reader.read(bytes: png, padColour: [10, 20, 30])
        #expect(result.bytes == [200, 200, 200, 10, 20, 30, 55, 60, 65])
        let wide = MadeFiles.png(
            width: 1, height: 1, depth: 16, colour: 4, rows: [[200, 99, 255, 255]])
        #expect(try reader.read(bytes: wide).bytes == [200, 200, 200])
    }

    @Test("a transparent GIF shows its palette's colour where alpha is dropped")
    func transparentGIF() throws {
        // 2 x 1 pixels, indices 1 and 0 of a palette of two; 1 is transparent.
        let gif: [UInt8] =
            Array("GIF89a".utf8) + [2, 0, 1, 0, 0x80, 0, 0, 10, 20, 30, 40, 50, 60]
            + [0x21, 0xF9, 4, 1, 0, 0, 1, 0] + [0x2C, 0, 0, 0, 0, 2, 0, 1, 0, 0]
            + [2, 2, 0x0C, 0x0A, 0, 0x3B]
        #expect(try reader.read(bytes: gif, padColour: [1, 2, 3]).bytes == [1, 2, 3, 10, 20, 30])
        var dropping = reader
        dropping.alpha = .dropped
        #expect(try dropping.read(bytes: gif).bytes == [40, 50, 60, 10, 20, 30])
    }

    @Test("orientation in a PNG's eXIf chunk")
    func orientedPNG() throws {
        let png = MadeFiles.png(
            width: 2, height: 1, colour: 2,
            extra: MadeFiles.chunk("eXIf", MadeFiles.exif(orientation: 6)),
            rows: [[1, 2, 3, 4, 5, 6]])
        let result = try reader.read(bytes: png)
        #expect(result == Pixels(width: 1, height: 2, bytes: [1, 2, 3, 4, 5, 6]))
    }

    @Test("TIFF where it is accepted", .enabled(if: PictureFormat.tiff.isInstalled))
    func tiff() throws {
        func entry(_ tag: UInt8, _ kind: UInt8, _ count: UInt8, _ value: UInt8) -> [UInt8] {
            [tag, 1, kind, 0, count, 0, 0, 0, value, 0, 0, 0]
        }
        // 2 x 1 pixels of 8-bit RGB in one strip behind the directory.
        let entries = [
            entry(0, 3, 1, 2), entry(1, 3, 1, 1), entry(2, 3, 1, 8), entry(3, 3, 1, 1),
            entry(6, 3, 1, 2), entry(17, 4, 1, 122), entry(21, 3, 1, 3), entry(22, 3, 1, 1),
            entry(23, 4, 1, 6),
        ]
        let tiff: [UInt8] =
            [0x49, 0x49, 42, 0, 8, 0, 0, 0, 9, 0] + entries.flatMap { $0 } + [0, 0, 0, 0]
            + [9, 8, 7, 6, 5, 4]
        #expect(throws: PictureError.self) { try reader.read(bytes: tiff) }
        var accepting = reader
        accepting.formats.insert(.tiff)
        #expect(try accepting.read(bytes: tiff).bytes == [9, 8, 7, 6, 5, 4])
    }

    @Test("tiny pictures")
    func tiny() throws {
        let one = MadeFiles.png(width: 1, height: 1, colour: 2, rows: [[1, 2, 3]])
        #expect(try reader.read(bytes: one).bytes == [1, 2, 3])
        let strip = MadeFiles.png(
            width: 1, height: 5000, colour: 0, rows: (0..<5000).map { [UInt8($0 % 251)] })
        let result = try reader.read(bytes: strip)
        #expect(result.size == PictureSize(width: 1, height: 5000))
        #expect(result[0, 4999] == [230, 230, 230])
    }
}
