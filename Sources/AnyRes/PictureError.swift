/// What can be wrong with a picture, or with what is asked of one.
public enum PictureError: Error, Equatable, CustomStringConvertible {
    /// No such file, a folder, or not readable.
    case unreadable(name: String, reason: String)
    /// No bytes at all.
    case empty(name: String)
    /// The first bytes are of no known picture format.
    case unknownFormat(name: String)
    /// A known format that this reader was not told to accept.
    case refusedFormat(name: String, format: PictureFormat, accepted: [PictureFormat])
    /// The installed libvips cannot read or write the format.
    case missingCodec(name: String, format: PictureFormat)
    /// The header or the pixels are broken or cut off.
    case broken(name: String, reason: String)
    /// More pixels than the limit.
    case tooLarge(name: String, size: PictureSize, limit: Int)
    /// More pixels than the limit for pictures that a decoder must hold whole.
    case tooLargeToHold(name: String, size: PictureSize, limit: Int)
    /// A drawing that cannot be rendered.
    case badDrawing(reason: String)
    /// The picture could not be encoded or the file not written.
    case unwritable(name: String, reason: String)
    /// No width or no height.
    case noPixels(size: PictureSize)
    /// The padded picture would need more pixels than the limit.
    case canvasTooLarge(size: PictureSize, canvas: PictureSize, limit: Int)
    /// A tiling or processor configuration that cannot work.
    case badConfiguration(key: String, reason: String)

    /// What is wrong, with which picture, and what to do.
    public var description: String {
        switch self {
        case .unreadable(let name, let reason):
            return "picture '\(name)' cannot be read: \(reason)"
        case .empty(let name):
            return "picture '\(name)' is empty: it has no bytes"
        case .unknownFormat(let name):
            return "'\(name)' is not a picture: its first bytes are those of no known format "
                + "(JPEG, PNG, WebP, GIF, TIFF, HEIF)"
        case .refusedFormat(let name, let format, let accepted):
            let list = accepted.map(\.name).joined(separator: ", ")
            return "picture '\(name)' is \(format.name), which is not among the accepted formats "
                + "(\(list)): convert it, or accept the format"
        case .missingCodec(let name, let format):
            return "picture '\(name)': the installed libvips was built without \(format.name)"
        case .broken(let name, let reason):
            return "picture '\(name)' is broken or cut off: \(reason)"
        case .tooLarge(let name, let size, let limit):
            return "picture '\(name)' has \(size) pixels, over the limit of \(limit): scale it down"
        case .tooLargeToHold(let name, let size, let limit):
            return "picture '\(name)' has \(size) pixels in a form that must be held whole "
                + "(interlaced, progressive, WebP, GIF, TIFF, HEIF), over the limit of \(limit): save it "
                + "without interlacing, or scale it down"
        case .badDrawing(let reason):
            return "drawing cannot be rendered: \(reason)"
        case .unwritable(let name, let reason):
            return "picture '\(name)' cannot be written: \(reason)"
        case .noPixels(let size):
            return "a picture of \(size) pixels cannot be cut into tiles"
        case .canvasTooLarge(let size, let canvas, let limit):
            return "padding a \(size) picture needs \(canvas) pixels, over the limit of \(limit): "
                + "lower maxTiles, or crop the picture"
        case .badConfiguration(let key, let reason):
            return "picture configuration '\(key)': \(reason)"
        }
    }
}
