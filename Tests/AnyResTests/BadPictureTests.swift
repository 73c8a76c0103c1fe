import CVips
import Foundation
import Testing

@testable import AnyRes

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
        // Users have no option that raises a limit.
        #expect(refusal(ten, small).map { "\($0)" }?.contains("raise") == false)
    }
}
