import CPixels
import Testing

@testable import AnyRes

@Suite("Resizing")
struct ResizeTests {
    static let instructionSets = [CPIXELS_PORTABLE, CPIXELS_AVX2, CPIXELS_AVX512_VNNI].filter {
        $0.rawValue <= bestInstructions.rawValue
    }

    @Test(
        "a row of grey",
        arguments: [
            ([0, 32, 64, 96, 128, 160, 192, 255], [17, 79, 144, 221]),
            ([0, 32, 64, 96, 128, 160, 192, 255], [29, 111, 205]),
            (
                [0, 32, 64, 96, 128, 160, 192, 255],
                [0, 13, 37, 59, 80, 101, 123, 144, 165, 185, 227, 255]
            ),
            ([0, 0, 255, 255, 0, 0], [21, 216, 21]),
            ([0, 0, 255, 255, 0, 0], [0, 180, 180, 0]),
            ([0, 0, 255, 255, 0, 0], [0, 0, 31, 224, 255, 224, 31, 0, 0]),
        ] as [([UInt8], [UInt8])])
    func row(values: [UInt8], expected: [UInt8]) {
        let triple = { (row: [UInt8]) in row.flatMap { [$0, $0, $0] } }
        let across = Pixels(width: values.count, height: 1, bytes: triple(values))
        #expect(resized(across, width: expected.count, height: 1).bytes == triple(expected))
        let down = Pixels(width: 1, height: values.count, bytes: triple(values))
        #expect(resized(down, width: 1, height: expected.count).bytes == triple(expected))
    }

    @Test("every instruction set gives the portable bytes", arguments: 0..<60)
    func instructionSetsAgree(seed: Int) {
        var numbers = SeededNumbers(UInt64(seed))
        let side = { (numbers: inout SeededNumbers) in
            Int.random(in: 1...(Bool.random(using: &numbers) ? 20 : 300), using: &numbers)
        }
        let source = noise(
            width: side(&numbers), height: side(&numbers), seed: UInt64(seed + 1000))
        let (width, height) = (side(&numbers), side(&numbers))
        let filter: ResizeFilter = [.bicubic, .lanczos, .bilinear][seed % 3]
        let whole = ResizeWindow(x: 0, y: 0, width: width, height: height)
        let portable = resized(
            source, width: width, height: height, filter: filter, window: whole,
            instructions: CPIXELS_PORTABLE)
        for instructions in Self.instructionSets {
            let result = resized(
                source, width: width, height: height, filter: filter, window: whole,
                instructions: instructions)
            #expect(
                result == portable,
                "\(source.size) to \(width) x \(height), instructions \(instructions.rawValue)")
        }
    }

    @Test("a window is that part of the whole", arguments: 0..<40)
    func window(seed: Int) {
        var numbers = SeededNumbers(UInt64(seed))
        let source = noise(
            width: .random(in: 1...90, using: &numbers),
            height: .random(in: 1...90, using: &numbers), seed: UInt64(seed + 99))
        let width = Int.random(in: 1...120, using: &numbers)
        let height = Int.random(in: 1...120, using: &numbers)
        let x = Int.random(in: 0..<width, using: &numbers)
        let y = Int.random(in: 0..<height, using: &numbers)
        let window = ResizeWindow(
            x: x, y: y, width: .random(in: 1...(width - x), using: &numbers),
            height: .random(in: 1...(height - y), using: &numbers))
        let filter: ResizeFilter = [.bicubic, .nearest, .lanczos][seed % 3]
        let whole = resized(source, width: width, height: height, filter: filter)
        let part = resized(source, width: width, height: height, filter: filter, window: window)
        #expect(
            part == whole.cropped(x: x, y: y, width: window.width, height: window.height),
            "\(source.size) to \(width) x \(height), \(window)")
    }

    @Test("planes there and back", arguments: [(1, 1), (1, 5), (17, 3), (64, 2), (100, 37)])
    func planes(width: Int, height: Int) {
        let source = noise(width: width, height: height, seed: 3)
        let planar = source.planar()
        #expect(planar[0] == source.bytes[0])
        #expect(planar[2 * width * height] == source.bytes[2])
        #expect(Pixels(width: width, height: height, planar: planar) == source)
        for y in 0..<height {
            for x in 0..<width {
                let pixel = (0..<3).map { planar[($0 * height + y) * width + x] }
                #expect(pixel == source[x, y])
            }
        }
    }
}
