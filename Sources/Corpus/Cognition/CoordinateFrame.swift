import AnyRes

/// How a question counts coordinates in a picture.
public enum CoordinateKind: String, Codable, CaseIterable, Sendable {
    /// 0...1000 across and down the picture, whatever its size.
    case thousandths
    /// Pixels of the picture in its file.
    case pixels
    /// Pixels of the padded picture that the tiles are cut from.
    case padded

    var phrase: CognitionPhrase {
        switch self {
        case .thousandths: .thousandths
        case .pixels: .pixels
        case .padded: .padded
        }
    }
}

/// Coordinates of one kind along one axis of a picture, and the stored pixels they mean.
struct CoordinateAxis: Equatable {
    /// The picture's own range of coordinates.
    let range: Range<Int>
    /// Stored pixels along the axis.
    let pixelCount: Int

    /// The stored pixel at which `coordinate` lies, clamped to the picture: exact in whole numbers.
    func pixel(at coordinate: Int) -> Int {
        let inside = max(0, min(range.count, coordinate - range.lowerBound))
        return inside * pixelCount / range.count
    }

    /// The stored pixels from one coordinate up to another.
    func pixels(_ part: Range<Int>) -> Range<Int> {
        let start = pixel(at: part.lowerBound)
        return start..<max(start, pixel(at: part.upperBound))
    }
}

/// Coordinates of one kind in one picture.
struct CoordinateFrame: Equatable {
    let kind: CoordinateKind
    let x: CoordinateAxis
    let y: CoordinateAxis
    /// The size that the frame's phrase names: the picture's or the padded picture's.
    let size: PictureSize

    /// The frame of a decoded picture. `geometry` is its cut into tiles, which `padded` counts in.
    init(_ kind: CoordinateKind, of picture: Picture, geometry: TileGeometry?) {
        self.kind = kind
        let stored = picture.pixels.size
        func axes(_ x: Range<Int>, _ y: Range<Int>) -> (CoordinateAxis, CoordinateAxis) {
            (
                CoordinateAxis(range: x, pixelCount: stored.width),
                CoordinateAxis(range: y, pixelCount: stored.height)
            )
        }
        switch (kind, geometry) {
        case (.padded, let geometry?):
            let (left, top) = (geometry.offsetX, geometry.offsetY)
            size = geometry.padded
            (x, y) = axes(
                left..<left + geometry.scaled.width, top..<top + geometry.scaled.height)
        case (.pixels, _):
            size = picture.original
            (x, y) = axes(0..<picture.original.width, 0..<picture.original.height)
        case (.thousandths, _), (.padded, nil):
            size = picture.original
            (x, y) = axes(0..<1000, 0..<1000)
        }
    }
}
