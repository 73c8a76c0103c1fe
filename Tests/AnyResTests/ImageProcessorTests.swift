import Foundation
import Testing

@testable import AnyRes

@Suite("Image processors equal Hugging Face's")
struct ImageProcessorTests {
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
        #expect(result.bytes == expected.bytes)
    }

    @Test("golden values", arguments: named(".pixel_values"))
    func values(name: String) throws {
        let (picture, processor) = try parts(of: name)
        let source = try Fixtures.pixels("\(picture).rgb", in: Fixtures.golden)
        let expected = try #require(Fixtures.golden?[name])
        #expect(processor.values(of: try processor.process(source)) == expected.floats)
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
        #expect(sampled == expected.floats)
    }

    @Test("the fixtures hold every processor")
    func fixturesAreThere() {
        #expect(Self.named(".u8").count >= 70)
        #expect(Self.named(".pixel_values").count == 18)
        #expect(Self.named(".every16").count == 6)
    }

    @Test("plain numbers of old files mean the same")
    func oldForm() throws {
        let folder = Fixtures.path("processors/clip")
        let old = try ImageProcessorConfiguration(path: folder + "/preprocessor_config.old.json")
        #expect(try ImageProcessorConfiguration(path: folder) == old)
    }

    @Test("an absurd shape costs no more than its crop")
    func absurdShape() throws {
        let processor = try ImageProcessor(path: Fixtures.path("processors/clip336"))
        let result = try processor.process(noise(width: 1, height: 5000, seed: 1))
        #expect(result.size == PictureSize(width: 336, height: 336))
    }

    @Test(
        "a configuration that cannot work is refused by its key",
        arguments: [
            (#"{"image_processor_type":"Qwen2VLImageProcessor"}"#, "image_processor_type"),
            (#"{"size":{"longest_edge":3}}"#, "size"),
            (#"{"size":336}"#, "crop_size"),
            (#"{"size":336,"crop_size":336,"resample":9}"#, "resample"),
            (#"{"size":336,"crop_size":336,"image_mean":[0.5],"image_std":[1,1,1]}"#, "image_mean"),
            (
                #"{"size":336,"crop_size":336,"image_mean":[0,0,0],"image_std":[1,0,1]}"#,
                "image_std"
            ),
            (
                #"{"image_processor_type":"LlavaNextImageProcessor","size":28,"crop_size":28,"#
                    + #""do_normalize":false}"#, "image_grid_pinpoints"
            ),
        ])
    func refused(json: String, key: String) throws {
        let error = #expect(throws: PictureError.self) {
            try JSONDecoder().decode(ImageProcessorConfiguration.self, from: Data(json.utf8))
        }
        guard case .badConfiguration(key, _) = error else {
            Issue.record("\(String(describing: error)) does not name \(key)")
            return
        }
    }

    @Test("CLIP sizes of the specification")
    func clipSizes() {
        #expect(
            PictureSize(width: 640, height: 480).scaled(shortestEdge: 336)
                == PictureSize(width: 448, height: 336))
        #expect(
            PictureSize(width: 1000, height: 333).scaled(shortestEdge: 336)
                == PictureSize(width: 1009, height: 336))
    }
}
