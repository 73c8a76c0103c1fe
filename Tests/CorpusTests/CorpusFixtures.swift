import Codecs
import Foundation
import Prompting

@testable import AnyRes
@testable import Corpus

/// The folder of a checkout, from this file.
let checkout = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

/// The package's own cognition templates.
let ownTemplates = "\(checkout)/Templates/cognition"

/// A new empty folder, removed after `body`.
func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
    let path = NSTemporaryDirectory() + "corpus-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
}

func contents(_ path: String) throws -> String {
    try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
}

/// A picture of seeded blocks of colour.
func blockPicture(_ seed: Int, width: Int = 120, height: Int = 90, block: Int = 15) -> Pixels {
    let columns = (width + block - 1) / block
    let colours = (0..<columns * ((height + block - 1) / block)).map { index in
        stableHash("\(seed)/\(index % columns)/\(index / columns)")
    }
    let bytes = (0..<width * height * 3).map { index in
        let (x, y) = (index / 3 % width, index / 3 / width)
        return UInt8(
            truncatingIfNeeded: colours[y / block * columns + x / block] >> UInt64(8 * (index % 3)))
    }
    return Pixels(width: width, height: height, bytes: bytes)
}

func decoded(_ pixels: Pixels) -> Picture {
    Picture(pixels: pixels, original: pixels.size, shrink: 1)
}

/// A picture in memory, as the tasks open it.
final class MemoryPicture: PictureAccess {
    private let decoded: Picture
    init(_ pixels: Pixels) { decoded = CorpusTests.decoded(pixels) }
    func size() throws -> PictureSize { decoded.original }
    func picture() throws -> Picture { decoded }
    func contentKey() throws -> String? { nil }
}

/// A codebook whose code is the mean brightness of a cell in 16 levels: easy to know, quick to make.
struct BrightnessCodebook: Codebook {
    let name = "brightness-16"
    let fingerprint = "b16"
    let codeCount = 16
    let stride = 4

    func indices(of pixels: Pixels) throws -> CodeGrid {
        let shape = GridShape(rows: pixels.height / stride, columns: pixels.width / stride)
        let values = (0..<shape.count).map { cell in
            var sum = 0
            for y in 0..<stride {
                for x in 0..<stride {
                    let (row, column) = (
                        cell / shape.columns * stride + y, cell % shape.columns * stride + x
                    )
                    sum += pixels[column, row].reduce(0) { $0 + Int($1) }
                }
            }
            return sum / (3 * stride * stride) / 16
        }
        return CodeGrid(shape: shape, values: values)
    }
}

/// A record about one picture with two rounds.
func pictureRecord(_ id: String, image: String = "0.png") -> Record {
    Record(
        id: id, images: [image],
        turns: [
            RecordTurn(from: .human, value: "<image>\nWhat is this?"),
            RecordTurn(from: .gpt, value: "Blocks."),
            RecordTurn(from: .human, value: "How many colours?"),
            RecordTurn(from: .gpt, value: "Many."),
        ])
}
