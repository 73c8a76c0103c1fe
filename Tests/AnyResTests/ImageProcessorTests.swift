import Foundation
import Testing

@testable import AnyRes

@Suite("Image processors and their configuration")
struct ImageProcessorTests {
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
