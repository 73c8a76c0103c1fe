import Codecs
import Corpus
import Foundation
import Testing
import Torch
import TorchNN

@testable import AnyRes
@testable import VLSA

@Suite struct VQCodebookTests {
    private let fixture = GoldenFixture("vqmodel")

    /// The grid is the network's own, row by row, for a picture wider than it is high.
    @Test func codesAreTheNetworksRowByRow() throws {
        let folder = fixture.path
        let codebook = try #require(try codebook(folder: folder) as? VQCodebook)
        let store = ParameterStore(seed: 1)
        let network = try fixture.folder().imageTokenizer(into: store)
        #expect(codebook.codeCount == network.codeCount && codebook.stride == network.downscale)
        let (rows, columns) = (3, 5)
        let (height, width) = (rows * codebook.stride, columns * codebook.stride)
        var random = SeededGenerator(seed: 4)
        let bytes = (0..<3 * height * width).map { _ in UInt8(random.below(256)) }
        let pixels = Pixels(width: width, height: height, bytes: bytes)
        let grid = try codebook.indices(of: pixels)
        #expect(grid.shape == GridShape(rows: rows, columns: columns))
        let values = (0..<3).flatMap { channel in
            (0..<height * width).map { Float(bytes[3 * $0 + channel]) / 127.5 - 1 }
        }
        let expected = network.indices(Tensor(values, shape: [1, 3, height, width]))
        #expect(expected.shape == [1, rows, columns])
        for row in 0..<rows {
            for column in 0..<columns {
                #expect(grid[row, column] == expected[0, row, column].ints()[0])
            }
        }
        #expect(Set(grid.values).count > 1)
        #expect(try codebook.indices(of: pixels, longestSide: 4).shape.columns == 4)
        #expect(throws: CodecError.self) {
            try codebook.indices(of: Pixels(width: width + 1, height: height, colour: [1, 2, 3]))
        }
    }

    /// The fingerprint follows the weights, so that kept codes of another network are not used.
    @Test func theFingerprintFollowsTheWeights() throws {
        let folder = try TemporaryFolder.make()
        for name in ["config.json", "diffusion_pytorch_model.safetensors"] {
            try FileManager.default.copyItem(
                atPath: fixture.path + "/" + name, toPath: folder + "/" + name)
        }
        let own = try VQCodebook(folder: fixture.path).fingerprint
        #expect(try VQCodebook(folder: folder).fingerprint == own)
        let path = folder + "/diffusion_pytorch_model.safetensors"
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        data[data.count - 1] ^= 1
        try data.write(to: URL(fileURLWithPath: path))
        #expect(try VQCodebook(folder: folder).fingerprint != own)
        #expect(throws: CheckpointError.self) {
            try codebook(folder: GoldenFixture("llama").path)
        }
    }

    /// A whole augmentation with a VQ network, on threads: the answers are its codes.
    @Test func augmentationAsksForTheNetworksCodes() throws {
        let codebook = try codebook(folder: fixture.path)
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let templates = tests.appendingPathComponent("../../Templates/cognition").path
        let augmenter = try Augmenter(
            CognitionConfiguration(tasks: [.vqGrid: 1], coarseGrid: 3),
            templates: .cognition(templates), codebook: codebook)
        let pixels = Pixels(width: 60, height: 40, colour: [10, 200, 90])
        let grid = try codebook.indices(of: pixels, longestSide: 3)
        let record = Record(
            id: "a", images: ["a.png"],
            turns: [
                RecordTurn(from: .human, value: "<image>\nWhat?"),
                RecordTurn(from: .gpt, value: "Green."),
            ])
        let folder = try TemporaryFolder.make()
        try writePNG(pixels, to: folder + "/a.png")
        let result = try augmenter.augmented(record) { _ in
            FilePicture(path: folder + "/a.png", reader: PictureReader())
        }
        let answer = result.turns[1].value.matches(of: /\d+/).map { Int($0.output) }
        #expect(answer == grid.values)
    }
}
