import CVips

/// File formats, told apart by their first bytes and never by their names.
public enum PictureFormat: String, Codable, Sendable, CaseIterable {
    case jpeg, png, webp, gif, tiff, heif

    /// JPEG, PNG, WebP and GIF: what a reader accepts unless told otherwise.
    public static let standard: Set<PictureFormat> = [.jpeg, .png, .webp, .gif]

    /// As people write it, such as "WebP".
    public var name: String {
        switch self {
        case .jpeg: "JPEG"
        case .png: "PNG"
        case .webp: "WebP"
        case .gif: "GIF"
        case .tiff: "TIFF"
        case .heif: "HEIF"
        }
    }

    /// Whether the installed libvips has a loader for it.
    public var isInstalled: Bool { LibVips.isStarted && cvips_can_load(loader) != 0 }

    /// The format of a file that starts with these bytes (the first 32 suffice), nil where it is none of these.
    public init?(firstBytes bytes: some Sequence<UInt8>) {
        let head = Array(bytes.prefix(32))
        func has(_ pattern: [UInt8], at offset: Int = 0) -> Bool {
            head.count >= offset + pattern.count
                && head[offset..<offset + pattern.count].elementsEqual(pattern)
        }
        func says(_ text: String, at offset: Int = 0) -> Bool { has(Array(text.utf8), at: offset) }
        if has([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if says("RIFF"), says("WEBP", at: 8) {
            self = .webp
        } else if says("GIF87a") || says("GIF89a") {
            self = .gif
        } else if has([0x49, 0x49, 0x2A, 0]) || has([0x4D, 0x4D, 0, 0x2A])
            || has([0x49, 0x49, 0x2B, 0]) || has([0x4D, 0x4D, 0, 0x2B])
        {
            self = .tiff
        } else if says("ftyp", at: 4),
            ["heic", "heix", "hevc", "heim", "heis", "mif1", "msf1", "avif", "avis"].contains(
                where: { says($0, at: 8) })
        {
            self = .heif
        } else {
            return nil
        }
    }

    var loader: cvips_format {
        switch self {
        case .jpeg: CVIPS_JPEG
        case .png: CVIPS_PNG
        case .webp: CVIPS_WEBP
        case .gif: CVIPS_GIF
        case .tiff: CVIPS_TIFF
        case .heif: CVIPS_HEIF
        }
    }
}

/// The picture library of the system, started once per process.
public enum LibVips {
    /// Why libvips could not be started; nil where it runs.
    static let failure: String? = {
        var reason = ""
        let status = withErrorText(&reason) { cvips_start($0) }
        return status == 0 ? nil : reason
    }()

    /// Whether libvips runs. Starts it when asked first.
    public static var isStarted: Bool { failure == nil }

    /// libvips' version, such as "8.14.1".
    public static var version: String { String(cString: cvips_version()) }

    /// Calls libvips with a buffer for its error text, and puts that text into `reason`.
    static func withErrorText<R>(
        _ reason: inout String, _ body: (UnsafeMutablePointer<CChar>) -> R
    ) -> R {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CVIPS_ERROR_SIZE)) { buffer in
            buffer.initialize(repeating: 0)
            let result = body(buffer.baseAddress!)
            reason = String(cString: buffer.baseAddress!)
            return result
        }
    }
}
