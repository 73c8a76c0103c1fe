import Foundation
import GoldenSupport
import Testing

@testable import AnyRes

@Suite("Image processors equal Hugging Face's")
struct ImageProcessorGoldenTests {
    static let names = Fixtures.golden?.names ?? []
    static func named(_ suffix: String) -> [String] { names.filter { $0.hasSuffix(suffix) } }

    private func parts(of name: String) throws -> (picture: String, processor: ImageProcessor) {
        let parts = name.split(separator: ".").map(String.init)
        let path = Fixtures.path("processors/\(parts[1])")
        return (parts[0], try ImageProcessor(path: path))
    }

    @Test("golden bytes", arguments: named(".u8"))
    func bytes(name: String) throws {
        let (picture, processor) = try parts(of: name)
        let source = try Fixtures.pixels("\(picture).rgb", in: Fixtures.golden)
        let expected = try #require(Fixtures.golden?[name])
        let result = try processor.process(source)
        let shape = [result.count, 3, result.size.height, result.size.width]
        #expect(shape.suffix(expected.shape.count) == expected.shape[...])
        expectGolden(result.bytes, expected.bytes, name)
    }

    @Test("golden values", arguments: named(".pixel_values"))
    func values(name: String) throws {
        let (picture, processor) = try parts(of: name)
        let source = try Fixtures.pixels("\(picture).rgb", in: Fixtures.golden)
        let expected = try #require(Fixtures.golden?[name])
        expectGolden(
            processor.values(of: try processor.process(source)), expected.floats, name)
    }

    @Test("golden values of the real sizes", arguments: named(".every16"))
    func realSizes(name: String) throws {
        let (picture, processor) = try parts(of: name)
        let source = try Fixtures.pixels("\(picture).rgb", in: Fixtures.golden)
        let expected = try #require(Fixtures.golden?[name])
        let result = try processor.process(source)
        let values = processor.values(of: result)
        let (width, height) = (result.size.width, result.size.height)
        var sampled: [Float] = []
        for plane in 0..<result.count * 3 {
            for y in stride(from: 0, to: height, by: 16) {
                for x in stride(from: 0, to: width, by: 16) {
                    sampled.append(values[(plane * height + y) * width + x])
                }
            }
        }
        expectGolden(sampled, expected.floats, name)
    }

    @Test("the fixtures hold every processor", .enabled(if: GoldenFolder.isOwn))
    func fixturesAreThere() {
        #expect(Self.named(".u8").count >= 70)
        #expect(Self.named(".pixel_values").count == 18)
        #expect(Self.named(".every16").count == 6)
    }
}
