import CVips
import Foundation

/// Formats that pictures are written in.
public enum EncodedFormat: Equatable, Sendable {
    /// Lossless. Effort 0...9.
    case png(compression: Int = 6)
    /// Lossy. Quality 1...100; chroma is halved below 90.
    case jpeg(quality: Int = 90)
    /// Lossy. Quality 1...100.
    case webp(quality: Int = 80)
}

extension Pixels {
    /// The bytes of a picture file.
    public func encoded(as format: EncodedFormat) throws -> [UInt8] {
        try encoded(as: format, name: "picture in memory")
    }

    func encoded(as format: EncodedFormat, name: String) throws -> [UInt8] {
        if let failure = LibVips.failure {
            throw PictureError.unwritable(name: name, reason: "libvips does not start: \(failure)")
        }
        var result: UnsafeMutableRawPointer?
        var count = 0
        var reason = ""
        let (w, h) = (Int32(width), Int32(height))
        let status = LibVips.withErrorText(&reason) { error in
            switch format {
            case .png(let compression):
                cvips_encode_png(bytes, w, h, Int32(compression), &result, &count, error)
            case .jpeg(let quality):
                cvips_encode_jpeg(bytes, w, h, Int32(quality), &result, &count, error)
            case .webp(let quality):
                cvips_encode_webp(bytes, w, h, Int32(quality), &result, &count, error)
            }
        }
        guard status == 0, let result else {
            throw PictureError.unwritable(name: name, reason: reason)
        }
        defer { cvips_release(result) }
        return Array(UnsafeRawBufferPointer(start: result, count: count))
    }
}

/// Writes a PNG file, whole or not at all.
public func writePNG(_ pixels: Pixels, to path: String, compression: Int = 6) throws {
    try write(pixels, as: .png(compression: compression), to: path)
}

/// Writes a JPEG file, whole or not at all. Quality 1...100.
public func writeJPEG(_ pixels: Pixels, to path: String, quality: Int = 90) throws {
    try write(pixels, as: .jpeg(quality: quality), to: path)
}

/// Writes a WebP file, whole or not at all. Quality 1...100.
public func writeWebP(_ pixels: Pixels, to path: String, quality: Int = 80) throws {
    try write(pixels, as: .webp(quality: quality), to: path)
}

private func write(_ pixels: Pixels, as format: EncodedFormat, to path: String) throws {
    let bytes = try pixels.encoded(as: format, name: path)
    do {
        try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
        throw PictureError.unwritable(name: path, reason: reason(of: error))
    }
}

/// What the system says, which Foundation keeps beneath its own words.
private func reason(of error: any Error) -> String {
    let beneath = (error as NSError).userInfo[NSUnderlyingErrorKey] as? any Error
    guard let beneath = beneath as NSError?, beneath.domain == NSPOSIXErrorDomain else {
        return "\(error)"
    }
    return String(cString: strerror(Int32(beneath.code)))
}
