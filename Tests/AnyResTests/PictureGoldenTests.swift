import Foundation
import GoldenSupport
import Testing

@testable import AnyRes

/// Every picture file of the family `images`, as its `expected.json` says.
@Suite("Pictures are read as the reference reads them")
struct PictureGoldenTests {
    struct Expected: Decodable {
        let status: String
        let format: String?
        let upright_size_wh: [Int]?
    }

    static let expected: [String: Expected] = {
        guard let data = FileManager.default.contents(atPath: Fixtures.path("expected.json")) else {
            return [:]
        }
        return (try? JSONDecoder().decode([String: Expected].self, from: data)) ?? [:]
    }()

    @Test("every file has its verdict", .enabled(if: GoldenFolder.isOwn))
    func everyFile() { #expect(Self.expected.count == 15) }

    @Test("pixels or a named error", arguments: expected.keys.sorted())
    func reads(name: String) throws {
        let expected = try #require(Self.expected[name])
        var reader = PictureReader()
        reader.alpha = .dropped
        guard expected.status == "ok" else {
            let error = #expect(throws: PictureError.self) {
                try reader.read(path: Fixtures.path(name))
            }
            return GoldenReport.record("images", equal: error != nil)
        }
        let picture = try reader.read(path: Fixtures.path(name))
        #expect([picture.size.width, picture.size.height] == expected.upright_size_wh)
        let stem = String(name.split(separator: ".")[0])
        // The reference clamps 16-bit grey; its high byte is the sensible reading.
        let names = ["\(stem).rgb_high_byte", "\(stem).rgb"]
        let key = try #require(names.first { Fixtures.golden?[$0] != nil })
        let pixels = try Fixtures.pixels(key, in: Fixtures.golden)
        let bytes = try Fixtures.bytes(name)
        let isLossless = expected.format != "JPEG" && !isLossyWebP(bytes)
        expectGolden(picture.bytes, pixels.bytes, within: isLossless ? 0 : 6, key)
        #expect(difference(picture.bytes, pixels.bytes).mean <= 1)
        if let white = Fixtures.golden?["\(stem).rgb_over_white"] {
            let picture = try PictureReader().read(
                path: Fixtures.path(name), padColour: PadColour.white)
            expectGolden(picture.bytes, white.bytes, "\(stem) over white")
        }
    }

    private func isLossyWebP(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: Array("RIFF".utf8)) && bytes.firstRange(of: Array("VP8 ".utf8)) != nil
    }
}
