import CVips
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

@Suite("Pictures that cannot be read")
struct BadPictureTests {
    let reader = PictureReader()

    private func refusal(_ bytes: [UInt8], _ reader: PictureReader? = nil) -> PictureError? {
        do {
            _ = try (reader ?? self.reader).read(bytes: bytes, name: "it.jpg")
            return nil
        } catch {
            return error as? PictureError
        }
    }

    @Test("no bytes")
    func empty() throws {
        #expect(refusal([]) == .empty(name: "it.jpg"))
        let path = Fixtures.path("13_zero_bytes.png")
        #expect(throws: PictureError.empty(name: path)) { try reader.read(path: path) }
    }

    @Test("text and other files named as pictures")
    func unknown() throws {
        #expect(refusal(Array("Dear reader,\n".utf8)) == .unknownFormat(name: "it.jpg"))
        #expect(refusal([0xFF]) == .unknownFormat(name: "it.jpg"))
        #expect(refusal(Array("%PDF-1.7".utf8)) == .unknownFormat(name: "it.jpg"))
        let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
        #expect(refusal(Array(svg.utf8)) == .unknownFormat(name: "it.jpg"))
        #expect(refusal(Array("P6 1 1 255\nabc".utf8)) == .unknownFormat(name: "it.jpg"))
        let folder = try TemporaryFolder()
        let file = try folder.write(Array("text".utf8), "letter.jpg")
        #expect(throws: PictureError.unknownFormat(name: file)) { try reader.read(path: file) }
        #expect("\(PictureError.unknownFormat(name: file))".contains("letter.jpg"))
    }

    @Test("no file, a folder, a pipe")
    func unreadable() throws {
        let folder = try TemporaryFolder()
        let pipe = folder.path + "/pipe.png"
        #expect(mkfifo(pipe, 0o600) == 0)
        for path in [folder.path + "/none.png", folder.path, pipe] {
            let error = #expect(throws: PictureError.self) { try reader.read(path: path) }
            guard case .unreadable(path, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test(
        "cut off at any length: an error, or all that was there to see",
        arguments: ["01_rgb.png", "02_rgb_420.jpg", "10_animated.gif", "11_lossy.webp"])
    func truncated(name: String) throws {
        let whole = try Fixtures.bytes(name)
        let pixels = try reader.read(bytes: whole)
        for length in stride(from: 0, to: whole.count, by: 7) {
            let result = try? reader.read(bytes: Array(whole[..<length]))
            // Markers after the pixels, and a GIF's later frames, can be done without.
            let mayBeWhole = length >= (name == "10_animated.gif" ? 700 : whole.count - 12)
            #expect(
                result == nil || (mayBeWhole && result == pixels),
                "\(length) of \(whole.count) bytes")
        }
    }

    @Test("the truncated fixture")
    func truncatedFixture() {
        let path = Fixtures.path("12_truncated.jpg")
        let error = #expect(throws: PictureError.self) { try reader.read(path: path) }
        guard case .broken(path, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("bytes overwritten with noise never crash", arguments: 0..<6)
    func noisy(seed: Int) throws {
        let names = [
            "01_rgb.png", "02_rgb_420.jpg", "05_cmyk.jpg", "10_animated.gif", "11_lossy.webp",
        ]
        var numbers = SeededNumbers(UInt64(seed))
        for name in names {
            let whole = try Fixtures.bytes(name)
            for _ in 0..<30 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...8, using: &numbers) {
                    bytes[.random(in: 12..<bytes.count, using: &numbers)] =
                        UInt8.random(in: 0...255, using: &numbers)
                }
                if let pixels = try? reader.read(bytes: bytes) {
                    #expect(pixels.bytes.count == pixels.size.area * 3)
                }
            }
        }
    }

    @Test("formats are refused unless accepted")
    func refusedFormats() throws {
        let png = try Fixtures.bytes("01_rgb.png")
        var reader = reader
        reader.formats = [.jpeg]
        #expect(
            refusal(png, reader) == .refusedFormat(name: "it.jpg", format: .png, accepted: [.jpeg]))
        let tiff: [UInt8] = [0x49, 0x49, 0x2A, 0, 8, 0, 0, 0, 0, 0]
        guard case .refusedFormat(_, .tiff, _) = refusal(tiff) else {
            Issue.record("a TIFF was not refused")
            return
        }
    }

    @Test("libvips runs no loader of a blocked format, even asked to guess one")
    func blocked() throws {
        #expect(LibVips.isStarted)
        func guesses(_ text: String) -> Bool {
            let bytes = Array(text.utf8)
            return cvips_guess_succeeds(bytes, bytes.count) != 0
        }
        #expect(!guesses("P6 1 1 255\nabc"))
        #expect(!guesses("%PDF-1.4\n1 0 obj\n"))
        let png = try Fixtures.bytes("01_rgb.png")
        #expect(cvips_guess_succeeds(png, png.count) != 0)
        // A drawing in a file, whatever its name.
        let folder = try TemporaryFolder()
        let svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
        let file = try folder.write(Array(svg.utf8), "drawing.png")
        #expect(throws: PictureError.unknownFormat(name: file)) { try reader.read(path: file) }
    }

    @Test("too many pixels are refused by the header")
    func bombs() {
        let bomb = MadeFiles.blackPNG(width: 30000, height: 30000, colour: 0)
        #expect(
            refusal(bomb)
                == .tooLarge(
                    name: "it.jpg", size: PictureSize(width: 30000, height: 30000),
                    limit: 600_000_000))
        let interlaced = MadeFiles.png(
            width: 9000, height: 9000, isInterlaced: true, stream: [0x78, 1, 1])
        #expect(
            refusal(interlaced)
                == .tooLargeToHold(
                    name: "it.jpg", size: PictureSize(width: 9000, height: 9000),
                    limit: 64_000_000))
        var small = reader
        small.limits.maxPixels = 99
        let ten = MadeFiles.png(
            width: 10, height: 10, colour: 0,
            rows: .init(repeating: .init(repeating: 0, count: 10), count: 10))
        #expect(
            refusal(ten, small)
                == .tooLarge(name: "it.jpg", size: PictureSize(width: 10, height: 10), limit: 99))
    }
}

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

    /// Peak resident bytes of this process.
    private func peakResident() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") })
        return try #require(Int(line.split(separator: " ").dropLast().last ?? "")) * 1024
    }

    @Test("20000 x 20000 pixels in bounded memory")
    func huge() throws {
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
