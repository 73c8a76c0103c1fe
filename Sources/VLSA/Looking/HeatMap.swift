import AnyRes
import Foundation

/// A tiled picture without its padding, and where the token grids lie on it, all in its own pixels.
struct ShownPicture {
    let pixels: Pixels
    /// What the tiles cover together.
    let canvas: PictureRect
    /// What the snapshot covers.
    let snapshot: PictureRect

    init(_ picture: TiledPicture) {
        let (geometry, whole) = (picture.geometry, picture.paddedPicture())
        guard geometry.tileCount > 0 else {
            pixels = whole
            canvas = PictureRect(
                x: 0, y: 0, width: Double(whole.width), height: Double(whole.height))
            snapshot = canvas
            return
        }
        pixels = whole.cropped(
            x: geometry.offsetX, y: geometry.offsetY, width: geometry.scaled.width,
            height: geometry.scaled.height)
        canvas = PictureRect(
            x: -Double(geometry.offsetX), y: -Double(geometry.offsetY),
            width: Double(whole.width), height: Double(whole.height))
        snapshot =
            geometry.snapshotSource == .padded
            ? canvas
            : PictureRect(
                x: 0, y: 0, width: Double(pixels.width), height: Double(pixels.height))
    }

    private init(pixels: Pixels, canvas: PictureRect, snapshot: PictureRect) {
        (self.pixels, self.canvas, self.snapshot) = (pixels, canvas, snapshot)
    }

    /// The largest copy that fits into a square of `side` pixels.
    func fitted(into side: Int) -> ShownPicture {
        let small = pixels.fitted(into: side)
        let (x, y) = (
            Double(small.width) / Double(pixels.width),
            Double(small.height) / Double(pixels.height)
        )
        func scaled(_ rect: PictureRect) -> PictureRect {
            PictureRect(
                x: rect.x * x, y: rect.y * y, width: rect.width * x, height: rect.height * y)
        }
        return ShownPicture(pixels: small, canvas: scaled(canvas), snapshot: scaled(snapshot))
    }
}

extension PictureRect {
    /// Cell `index`, row by row, of a grid laid over it.
    func cell(_ index: Int, columns: Int, rows: Int) -> PictureRect {
        let (w, h) = (width / Double(columns), height / Double(rows))
        return PictureRect(
            x: x + Double(index % columns) * w, y: y + Double(index / columns) * h, width: w,
            height: h)
    }
}

/// Values of a grid of cells, to be laid over a picture as colour.
struct HeatMap {
    let values: [Float]  // row by row
    let columns: Int
    let rows: Int

    /// The picture, dimmed and grey, with the grid's values as colour from dark (0) to bright (the largest),
    /// smooth between the middles of cells.
    func over(_ picture: Pixels, covering rect: PictureRect) -> Pixels {
        let top = max(values.max() ?? 0, .leastNormalMagnitude)
        var result = picture
        for y in 0..<picture.height {
            let v = (Double(y) + 0.5 - rect.y) / rect.height * Double(rows) - 0.5
            for x in 0..<picture.width {
                let u = (Double(x) + 0.5 - rect.x) / rect.width * Double(columns) - 0.5
                // A root lifts the small values, which most are.
                let heat = (max(0, value(u, v)) / Double(top)).squareRoot()
                let colour = heatColour(heat)
                let place = (y * picture.width + x) * 3
                let grey =
                    0.299 * Double(picture.bytes[place]) + 0.587 * Double(picture.bytes[place + 1])
                    + 0.114 * Double(picture.bytes[place + 2])
                let share = 0.35 + 0.5 * heat
                for channel in 0..<3 {
                    let mixed = (1 - share) * grey + share * colour[channel]
                    result.bytes[place + channel] = UInt8(min(255, max(0, mixed.rounded())))
                }
            }
        }
        return result
    }

    /// Linear between cells, constant beyond the outermost middles.
    private func value(_ u: Double, _ v: Double) -> Double {
        let x = min(max(u, 0), Double(columns - 1))
        let y = min(max(v, 0), Double(rows - 1))
        let (left, top) = (Int(x), Int(y))
        let (right, bottom) = (min(left + 1, columns - 1), min(top + 1, rows - 1))
        let (a, b) = (x - Double(left), y - Double(top))
        func at(_ column: Int, _ row: Int) -> Double { Double(values[row * columns + column]) }
        return (1 - b) * ((1 - a) * at(left, top) + a * at(right, top))
            + b * ((1 - a) * at(left, bottom) + a * at(right, bottom))
    }
}

/// From near black over violet and orange to pale yellow, for 0...1; lightness rises evenly.
private func heatColour(_ value: Double) -> [Double] {
    let stops: [[Double]] = [
        [8, 5, 29], [66, 15, 117], [137, 40, 129], [205, 64, 113], [248, 117, 92], [254, 188, 130],
        [252, 253, 191],
    ]
    let place = min(max(value, 0), 1) * Double(stops.count - 1)
    let low = min(Int(place), stops.count - 2)
    return zip(stops[low], stops[low + 1]).map { $0 + ($1 - $0) * (place - Double(low)) }
}
