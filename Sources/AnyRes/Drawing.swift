import CVips

/// Renders an SVG drawing that this program made itself. At one SVG unit a pixel; what the drawing leaves
/// transparent shows `background`, `[red, green, blue]`.
///
/// Not for drawings from elsewhere: a reader of user files refuses SVG. At most 100 million pixels.
public func renderSVG(_ svg: String, background: [UInt8] = [255, 255, 255]) throws -> Pixels {
    if let failure = LibVips.failure {
        throw PictureError.badDrawing(reason: "libvips does not start: \(failure)")
    }
    guard cvips_can_load(CVIPS_SVG) != 0 else {
        throw PictureError.badDrawing(reason: "the installed libvips was built without SVG")
    }
    let limit = 100_000_000
    let text = Array(svg.utf8)
    return try text.withUnsafeBytes { buffer in
        var reason = ""
        let handle = LibVips.withErrorText(&reason) {
            cvips_open_memory(buffer.baseAddress, buffer.count, CVIPS_SVG, 1, $0)
        }
        guard let handle else { throw PictureError.badDrawing(reason: reason) }
        defer { cvips_close(handle) }
        let header = cvips_read_header(handle)
        let size = PictureSize(width: Int(header.width), height: Int(header.height))
        guard size.area <= limit else {
            throw PictureError.badDrawing(reason: "\(size) pixels are over the limit of \(limit)")
        }
        var options = cvips_options()
        options.shrink = 1
        options.composites_alpha = 1
        options.over = (background[0], background[1], background[2])
        return try LibVips.pixels(width: size.width, height: size.height) { bytes, error in
            cvips_read_rgb(handle, &options, bytes, error)
        } failure: {
            PictureError.badDrawing(reason: $0)
        }
    }
}
