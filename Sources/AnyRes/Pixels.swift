import CPixels

/// An 8-bit sRGB picture in memory.
public struct Pixels: Sendable, Equatable {
    /// Pixels in a row, at least 1.
    public let width: Int
    /// Rows, at least 1.
    public let height: Int
    /// Red, green, blue of each pixel, row by row from the top left: `[height, width, 3]`.
    public var bytes: [UInt8]

    /// A picture from its bytes, `[height, width, 3]`. Traps where their number does not fit.
    public init(width: Int, height: Int, bytes: [UInt8]) {
        guard width >= 1, height >= 1, bytes.count == width * height * 3 else {
            fatalError("Pixels: \(bytes.count) bytes are not a \(width) x \(height) RGB picture")
        }
        self.width = width
        self.height = height
        self.bytes = bytes
    }

    /// A picture of one colour, `[red, green, blue]`.
    public init(width: Int, height: Int, colour: [UInt8]) {
        let row = (0..<width).flatMap { _ in colour[0..<3] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(width * height * 3)
        for _ in 0..<height { bytes += row }
        self.init(width: width, height: height, bytes: bytes)
    }

    /// A picture from its three colour planes, `[3, height, width]`.
    public init(width: Int, height: Int, planar: [UInt8]) {
        guard width >= 1, height >= 1, planar.count == width * height * 3 else {
            fatalError("Pixels: \(planar.count) bytes are not three \(width) x \(height) planes")
        }
        let bytes = [UInt8](unsafeUninitializedCapacity: planar.count) { buffer, count in
            cpixels_from_planes(planar, width, height, buffer.baseAddress, width * 3)
            count = planar.count
        }
        self.init(width: width, height: height, bytes: bytes)
    }

    /// Width and height in one value.
    public var size: PictureSize { PictureSize(width: width, height: height) }

    /// Red, green and blue at a position, which must lie inside.
    public subscript(x: Int, y: Int) -> [UInt8] {
        let offset = (y * width + x) * 3
        return Array(bytes[offset..<offset + 3])
    }

    /// The three colour planes, `[3, height, width]`.
    public func planar() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
            cpixels_to_planes(
                bytes, width * 3, width, height, buffer.baseAddress, width * height, width)
            count = bytes.count
        }
    }

    /// The part at (`x`, `y`), which must lie inside.
    public func cropped(x: Int, y: Int, width: Int, height: Int) -> Pixels {
        guard x >= 0, y >= 0, width >= 1, height >= 1, x + width <= self.width,
            y + height <= self.height
        else {
            fatalError(
                "Pixels: \(width) x \(height) at (\(x), \(y)) is not inside \(self.width) x "
                    + "\(self.height)")
        }
        var part: [UInt8] = []
        part.reserveCapacity(width * height * 3)
        for row in y..<y + height {
            let start = (row * self.width + x) * 3
            part += bytes[start..<start + width * 3]
        }
        return Pixels(width: width, height: height, bytes: part)
    }

    /// This picture with another one copied over it, the other's top left at (`x`, `y`); it must fit inside.
    public func pasting(_ other: Pixels, x: Int, y: Int) -> Pixels {
        guard x >= 0, y >= 0, x + other.width <= width, y + other.height <= height else {
            fatalError(
                "Pixels: \(other.width) x \(other.height) at (\(x), \(y)) does not fit into "
                    + "\(width) x \(height)")
        }
        var result = bytes
        result.withUnsafeMutableBytes { to in
            other.bytes.withUnsafeBytes { from in
                for row in 0..<other.height {
                    let source = from.baseAddress! + row * other.width * 3
                    let target = to.baseAddress! + ((y + row) * width + x) * 3
                    target.copyMemory(from: source, byteCount: other.width * 3)
                }
            }
        }
        return Pixels(width: width, height: height, bytes: result)
    }

    /// The upright picture that a stored one with this EXIF orientation (1...8) shows.
    public func upright(orientation: Int) -> Pixels {
        guard (2...8).contains(orientation) else { return self }
        let swaps = orientation >= 5
        let turned = [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
            cpixels_orient(bytes, width, height, Int32(orientation), buffer.baseAddress)
            count = bytes.count
        }
        return Pixels(
            width: swaps ? height : width, height: swaps ? width : height, bytes: turned)
    }
}

/// A width and a height in pixels.
public struct PictureSize: Codable, Hashable, Sendable, CustomStringConvertible {
    /// Pixels from left to right.
    public var width: Int
    /// Pixels from top to bottom.
    public var height: Int

    /// A size of so many pixels.
    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// Width times height.
    public var area: Int { width * height }

    /// Such as "640 x 480".
    public var description: String { "\(width) x \(height)" }
}
