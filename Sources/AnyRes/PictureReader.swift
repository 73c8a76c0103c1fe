import CVips
import Foundation

/// How much a picture may cost, checked after its header and before its pixels.
public struct PictureLimits: Codable, Equatable, Sendable {
    /// Most stored pixels, width times height.
    public var maxPixels: Int
    /// Most stored pixels of a picture that its decoder must hold whole: interlaced PNG, progressive JPEG, WebP,
    /// GIF, TIFF and HEIF. The others are streamed.
    public var maxHeldPixels: Int
    /// Most pixels that a read gives. A larger picture is shrunk by a whole factor while it streams, by the mean
    /// of square blocks (a JPEG first by its decoder, by 2, 4 or 8), so that its full size is never in memory.
    /// Smaller pictures keep every pixel.
    public var maxKeptPixels: Int

    /// Limits in pixels.
    public init(
        maxPixels: Int = 600_000_000, maxHeldPixels: Int = 64_000_000,
        maxKeptPixels: Int = 48_000_000
    ) {
        self.maxPixels = maxPixels
        self.maxHeldPixels = maxHeldPixels
        self.maxKeptPixels = maxKeptPixels
    }

    /// 600 million pixels, 64 million held whole, 48 million kept: below 500 MB for any picture.
    public static let `default` = PictureLimits()
}

/// What becomes of transparent pixels.
public enum AlphaTreatment: Equatable, Sendable {
    /// Composited over a colour, `[red, green, blue]`.
    case over([UInt8])
    /// Alpha ignored: the stored colour shows, as Pillow's `convert("RGB")` gives.
    case dropped
}

/// A decoded picture with what its file said.
public struct Picture: Sendable {
    /// The upright pixels.
    public let pixels: Pixels
    /// Upright size of the picture in the file.
    public let original: PictureSize
    /// How many original pixels, along each axis, became one. 1 but for pictures over `maxKeptPixels`.
    public let shrink: Int
}

/// Decodes pictures to 8-bit sRGB: the first frame, upright, colour managed, within limits.
///
/// The format is found from the first bytes, and only the loader of that format runs. A broken, cut-off, refused
/// or oversized picture throws a ``PictureError`` that names it. May be shared by any number of threads.
public struct PictureReader: Sendable {
    /// What a picture may cost.
    public var limits: PictureLimits
    /// Formats that are read; others are refused.
    public var formats: Set<PictureFormat>
    /// What becomes of transparent pixels.
    public var alpha: AlphaTreatment
    /// Whether EXIF orientation is applied.
    public var appliesOrientation: Bool
    /// Whether embedded ICC profiles are converted to sRGB. Unusable ones, and sRGB itself, are ignored.
    public var convertsProfiles: Bool

    /// A reader; nothing is opened yet.
    public init(
        limits: PictureLimits = .default, formats: Set<PictureFormat> = PictureFormat.standard,
        alpha: AlphaTreatment = .over(PadColour.clipMean), appliesOrientation: Bool = true,
        convertsProfiles: Bool = true
    ) {
        self.limits = limits
        self.formats = formats
        self.alpha = alpha
        self.appliesOrientation = appliesOrientation
        self.convertsProfiles = convertsProfiles
    }

    /// Upright size of a picture, from its header alone.
    public func size(of path: String) throws -> PictureSize {
        try opened(.file(path), name: path) { uprightSize(of: $0) }
    }

    /// Upright size of a picture in memory, from its header alone.
    public func size(of bytes: [UInt8], name: String = "picture in memory") throws -> PictureSize {
        try bytes.withUnsafeBytes { buffer in
            try opened(.memory(buffer), name: name) { uprightSize(of: $0) }
        }
    }

    /// The pixels of a file. `padColour`, where given, takes the place of ``alpha`` for this picture.
    public func read(path: String, padColour: [UInt8]? = nil) throws -> Pixels {
        try picture(path: path, padColour: padColour).pixels
    }

    /// The pixels of a picture in memory. `name` is what errors call it.
    public func read(
        bytes: [UInt8], name: String = "picture in memory", padColour: [UInt8]? = nil
    ) throws -> Pixels {
        try picture(bytes: bytes, name: name, padColour: padColour).pixels
    }

    /// The pixels of a picture in memory. `name` is what errors call it.
    public func read(
        data: Data, name: String = "picture in memory", padColour: [UInt8]? = nil
    ) throws -> Pixels {
        try data.withUnsafeBytes { buffer in
            try decoded(.memory(buffer), name: name, padColour: padColour).pixels
        }
    }

    /// The pixels of a file, and its own size.
    public func picture(path: String, padColour: [UInt8]? = nil) throws -> Picture {
        try decoded(.file(path), name: path, padColour: padColour)
    }

    /// The pixels of a picture in memory, and its own size.
    public func picture(
        bytes: [UInt8], name: String = "picture in memory", padColour: [UInt8]? = nil
    ) throws -> Picture {
        try bytes.withUnsafeBytes { buffer in
            try decoded(.memory(buffer), name: name, padColour: padColour)
        }
    }
}

// MARK: - Opening

extension PictureReader {
    enum Source {
        case file(String)
        case memory(UnsafeRawBufferPointer)
    }

    /// An open picture whose header has been checked against the limits.
    struct Opened {
        let handle: OpaquePointer
        let header: cvips_header
        let format: PictureFormat
        let name: String

        var stored: PictureSize {
            PictureSize(width: Int(header.width), height: Int(header.height))
        }
    }

    private func uprightSize(of opened: Opened) -> PictureSize {
        let stored = opened.stored
        guard appliesOrientation, opened.header.orientation >= 5 else { return stored }
        return PictureSize(width: stored.height, height: stored.width)
    }

    private func opened<R>(
        _ source: Source, name: String, shrink: Int = 1, _ body: (Opened) throws -> R
    ) throws -> R {
        if let failure = LibVips.failure {
            throw PictureError.unreadable(name: name, reason: "libvips does not start: \(failure)")
        }
        let format = try format(of: source, name: name)
        var reason = ""
        let handle = LibVips.withErrorText(&reason) { error in
            switch source {
            case .file(let path): cvips_open_file(path, format.loader, Int32(shrink), error)
            case .memory(let bytes):
                cvips_open_memory(
                    bytes.baseAddress, bytes.count, format.loader, Int32(shrink), error)
            }
        }
        guard let handle else { throw PictureError.broken(name: name, reason: reason) }
        defer { cvips_close(handle) }
        let result = Opened(
            handle: handle, header: cvips_read_header(handle), format: format, name: name)
        guard result.header.width >= 1, result.header.height >= 1 else {
            throw PictureError.broken(name: name, reason: "its size is \(result.stored)")
        }
        return try body(result)
    }

    private func format(of source: Source, name: String) throws -> PictureFormat {
        let head = try firstBytes(of: source, count: 32)
        guard !head.isEmpty else { throw PictureError.empty(name: name) }
        guard let format = PictureFormat(firstBytes: head) else {
            throw PictureError.unknownFormat(name: name)
        }
        guard formats.contains(format) else {
            let accepted = PictureFormat.allCases.filter(formats.contains)
            throw PictureError.refusedFormat(name: name, format: format, accepted: accepted)
        }
        guard cvips_allow(format.loader) == 0 else {
            throw PictureError.missingCodec(name: name, format: format)
        }
        return format
    }

    /// The first bytes, of a regular file: a pipe or a device would block or never end.
    private func firstBytes(of source: Source, count wanted: Int) throws -> [UInt8] {
        let path: String
        switch source {
        case .memory(let bytes): return Array(bytes.prefix(wanted))
        case .file(let name): path = name
        }
        func reason() -> String { String(cString: strerror(errno)) }
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw PictureError.unreadable(name: path, reason: reason())
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw PictureError.unreadable(name: path, reason: reason())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PictureError.unreadable(name: path, reason: "it is not a regular file")
        }
        var failed = false
        let head = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
            let got = Foundation.read(descriptor, buffer.baseAddress, wanted)
            failed = got < 0
            count = max(got, 0)
        }
        guard !failed else { throw PictureError.unreadable(name: path, reason: reason()) }
        return head
    }
}

// MARK: - Decoding

extension PictureReader {
    /// What the first look at a picture leads to.
    private enum FirstLook {
        case decoded(Picture)
        case needsSmaller(original: PictureSize, byDecoder: Int)
    }

    private func decoded(_ source: Source, name: String, padColour: [UInt8]?) throws -> Picture {
        var treatment = padColour.map(AlphaTreatment.over) ?? alpha
        let look = try opened(source, name: name) { opened -> FirstLook in
            try check(opened)
            if opened.format == .gif, treatment == .dropped,
                let colour = GIFPalette.transparentColour(
                    in: try firstBytes(of: source, count: GIFPalette.searchedBytes))
            {
                treatment = .over(colour)  // alpha is all or nothing
            }
            let original = uprightSize(of: opened)
            let shrink = shrinkFactor(for: opened.stored)
            let byDecoder = decoderShrink(of: opened.format, atMost: shrink)
            guard byDecoder == 1 else {
                return .needsSmaller(original: original, byDecoder: byDecoder)
            }
            let pixels = try pixels(of: opened, shrink: shrink, alpha: treatment)
            return .decoded(Picture(pixels: pixels, original: original, shrink: shrink))
        }
        switch look {
        case .decoded(let picture): return picture
        case .needsSmaller(let original, let byDecoder):
            return try opened(source, name: name, shrink: byDecoder) { opened in
                let rest = shrinkFactor(for: opened.stored)
                let pixels = try pixels(of: opened, shrink: rest, alpha: treatment)
                return Picture(pixels: pixels, original: original, shrink: byDecoder * rest)
            }
        }
    }

    private func check(_ opened: Opened) throws {
        let size = opened.stored
        guard size.area <= limits.maxPixels else {
            throw PictureError.tooLarge(name: opened.name, size: size, limit: limits.maxPixels)
        }
        let isStreamed =
            switch opened.format {
            case .jpeg, .png: opened.header.is_interlaced == 0
            case .webp, .gif, .tiff, .heif: false
            }
        guard isStreamed || size.area <= limits.maxHeldPixels else {
            throw PictureError.tooLargeToHold(
                name: opened.name, size: size, limit: limits.maxHeldPixels)
        }
    }

    /// The smallest whole factor that brings a picture under `maxKeptPixels`.
    private func shrinkFactor(for size: PictureSize) -> Int {
        func kept(_ factor: Int) -> Int {
            ((size.width + factor - 1) / factor) * ((size.height + factor - 1) / factor)
        }
        let limit = max(limits.maxKeptPixels, 1)
        var factor = max(1, Int((Double(size.area) / Double(limit)).squareRoot()))
        while kept(factor) > limit, factor < max(size.width, size.height) { factor += 1 }
        return factor
    }

    /// How much of a shrink the format's own decoder can do, which is much faster.
    private func decoderShrink(of format: PictureFormat, atMost shrink: Int) -> Int {
        guard format == .jpeg else { return 1 }
        return [8, 4, 2].first { $0 <= shrink } ?? 1
    }

    private func pixels(
        of opened: Opened, shrink: Int, alpha: AlphaTreatment
    ) throws -> Pixels {
        let stored = opened.stored
        let (width, height) = (
            (stored.width + shrink - 1) / shrink, (stored.height + shrink - 1) / shrink
        )
        var options = cvips_options()
        options.shrink = Int32(shrink)
        options.uses_profile = convertsProfiles ? 1 : 0
        if case .over(let colour) = alpha {
            options.composites_alpha = 1
            options.over = (colour[0], colour[1], colour[2])
        }
        let pixels = try LibVips.pixels(width: width, height: height) { bytes, error in
            cvips_read_rgb(opened.handle, &options, bytes, error)
        } failure: {
            PictureError.broken(name: opened.name, reason: $0)
        }
        guard appliesOrientation else { return pixels }
        return pixels.upright(orientation: Int(opened.header.orientation))
    }
}

extension LibVips {
    /// A picture whose bytes `fill` writes; where it returns another status than 0, `failure` of its error text is
    /// thrown.
    static func pixels(
        width: Int, height: Int,
        _ fill: (UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<CChar>) -> Int32,
        failure: (String) -> PictureError
    ) throws -> Pixels {
        var reason = ""
        let bytes = try [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            let status = withErrorText(&reason) { fill(buffer.baseAddress!, $0) }
            guard status == 0 else { throw failure(reason) }
            count = width * height * 3
        }
        return Pixels(width: width, height: height, bytes: bytes)
    }
}
