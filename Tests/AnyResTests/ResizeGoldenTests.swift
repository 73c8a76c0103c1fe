import CPixels
import GoldenSupport
import Testing

@testable import AnyRes

@Suite("Resizing equals Pillow's")
struct ResizeGoldenTests {
    static let filters: [String: ResizeFilter] = [
        "bicubic": .bicubic, "bilinear": .bilinear, "lanczos": .lanczos, "nearest": .nearest,
        "box": .box,
    ]

    static let cases: [String] = (Fixtures.resize?.names ?? []).filter { !$0.hasSuffix("in") }

    @Test("golden resize", arguments: cases)
    func golden(name: String) throws {
        let parts = name.split(separator: ".").map(String.init)
        let isNoise = parts[0] == "noise"
        let source = try Fixtures.pixels(isNoise ? "noise.in" : "in", in: Fixtures.resize)
        let filter = try #require(Self.filters[parts[isNoise ? 1 : 0]])
        let expected = try Fixtures.pixels(name, in: Fixtures.resize)
        for instructions in ResizeTests.instructionSets {
            let result = resized(
                source, width: expected.width, height: expected.height, filter: filter,
                window: ResizeWindow(x: 0, y: 0, width: expected.width, height: expected.height),
                instructions: instructions)
            #expect(result.size == expected.size)
            expectGolden(
                result.bytes, expected.bytes, "\(name), instructions \(instructions.rawValue)")
        }
        let result = resized(
            source, width: expected.width, height: expected.height, filter: filter)
        expectGolden(result.bytes, expected.bytes, name)
    }

    @Test("there are golden resizes to compare with", .enabled(if: GoldenFolder.isOwn))
    func goldenIsThere() { #expect(Self.cases.count >= 19) }
}
