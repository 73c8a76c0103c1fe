import CPixels

/// Resampling filters, numbered as `resample` in `preprocessor_config.json`.
public enum ResizeFilter: Int, Codable, Sendable, CaseIterable {
    case nearest = 0
    case lanczos = 1
    case bilinear = 2
    case bicubic = 3
    case box = 4
    case hamming = 5
}

/// `pixels` at another size, at least 1 x 1: the bytes that Pillow gives.
///
/// Two passes over bytes with 22-bit weights, antialiased when shrinking; bicubic has a = -0.5. The columns go
/// first where Pillow 13 takes them first.
public func resized(
    _ pixels: Pixels, width: Int, height: Int, filter: ResizeFilter = .bicubic
) -> Pixels {
    resized(
        pixels, width: width, height: height, filter: filter,
        window: ResizeWindow(x: 0, y: 0, width: width, height: height))
}

/// The part of a resized picture that is wanted, in its pixels.
struct ResizeWindow {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
}

let bestInstructions = cpixels_best_instructions()

/// Only the `window` of the resized picture, so that its size does not matter.
func resized(
    _ pixels: Pixels, width: Int, height: Int, filter: ResizeFilter, window: ResizeWindow,
    instructions: cpixels_instructions = bestInstructions
) -> Pixels {
    guard width >= 1, height >= 1 else {
        fatalError("resized: \(width) x \(height) is not a size")
    }
    guard window.x >= 0, window.y >= 0, window.width >= 1, window.height >= 1,
        window.x + window.width <= width, window.y + window.height <= height
    else { fatalError("resized: the window lies outside \(width) x \(height)") }
    if width == pixels.width, height == pixels.height, window.width == width,
        window.height == height
    {
        return pixels
    }
    let total = window.width * window.height * 3
    let bytes = [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
        let status = cpixels_resize(
            pixels.bytes, pixels.width, pixels.height, width, height,
            cpixels_window(
                left: window.x, top: window.y, width: window.width, height: window.height),
            cpixels_filter(UInt32(filter.rawValue)), instructions, buffer.baseAddress)
        guard status == 0 else {
            fatalError("resized: no memory to go from \(pixels.size) to \(width) x \(height)")
        }
        count = total
    }
    return Pixels(width: window.width, height: window.height, bytes: bytes)
}
