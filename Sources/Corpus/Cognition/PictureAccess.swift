import AnyRes
import Codecs

/// A record's picture, opened only as far as it is needed.
public protocol PictureAccess: AnyObject {
    /// Upright size of the picture in its file.
    func size() throws -> PictureSize
    /// The decoded picture.
    func picture() throws -> Picture
    /// Names the file's bytes and how they are decoded; nil for a picture that is in no file.
    func contentKey() throws -> String?
}

/// A picture in a file: the header is read for its size, the bytes for its key, the pixels at most once.
public final class FilePicture: PictureAccess {
    /// The file.
    public let path: String
    private let reader: PictureReader
    private var decoded: Picture?
    private var knownSize: PictureSize?
    private var knownContent: String?

    /// Nothing is opened yet.
    public init(path: String, reader: PictureReader) { (self.path, self.reader) = (path, reader) }

    public func size() throws -> PictureSize {
        if let size = decoded?.original ?? knownSize { return size }
        let size = try reading { try reader.size(of: path) }
        knownSize = size
        return size
    }

    public func picture() throws -> Picture {
        if let decoded { return decoded }
        let picture = try reading { try reader.picture(path: path) }
        decoded = picture
        return picture
    }

    public func contentKey() throws -> String? { "\(try content())-\(Self.key(of: reader))" }

    /// A key of the file's bytes alone.
    func content() throws -> String {
        if let knownContent { return knownContent }
        let key: String
        do {
            key = try MappedFile(path: path).withBytes { Codecs.contentKey($0) }
        } catch {
            throw RecordProblem(kind: .unreadablePicture, reason: "\(error)")
        }
        knownContent = key
        return key
    }

    /// Lets go of the pixels.
    func forget() { decoded = nil }

    /// What of a reader decides the pixels.
    static func key(of reader: PictureReader) -> String {
        "\(reader.alpha) \(reader.appliesOrientation) \(reader.convertsProfiles) \(reader.limits.maxKeptPixels)"
    }

    private func reading<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as PictureError {
            throw RecordProblem(kind: .unreadablePicture, reason: "\(error)")
        }
    }
}

/// Code grids kept on disk, by the picture's bytes, the codebook and the grid.
public struct CodeCache: Sendable {
    /// Where they are kept.
    public let store: ContentStore

    /// Grids in `store`.
    public init(_ store: ContentStore) { self.store = store }

    /// The codes of a picture on a grid, computed by `make` where they are not there.
    func grid(
        picture key: String, codebook: any Codebook, shape: GridShape, make: () throws -> CodeGrid
    ) rethrows -> CodeGrid {
        try grid(
            picture: key, fingerprint: codebook.fingerprint, codeCount: codebook.codeCount,
            shape: shape, make: make)
    }

    /// The same of whatever makes codes below `codeCount` and is told apart by its `fingerprint`.
    public func grid(
        picture key: String, fingerprint: String, codeCount: Int, shape: GridShape,
        make: () throws -> CodeGrid
    ) rethrows -> CodeGrid {
        let name = "codes/\(key)/\(fingerprint)/\(shape.rows)x\(shape.columns)"
        if let bytes = store.value(of: name), bytes.count == 4 * shape.count {
            let values = bytes.withUnsafeBytes { bytes in
                (0..<shape.count).map {
                    Int(
                        UInt32(
                            littleEndian: bytes.loadUnaligned(
                                fromByteOffset: 4 * $0, as: UInt32.self)))
                }
            }
            if values.allSatisfy({ $0 < codeCount }) {
                return CodeGrid(shape: shape, values: values)
            }
        }
        let grid = try make()
        store.insert(
            grid.values.flatMap { value in
                withUnsafeBytes(of: UInt32(value).littleEndian) { Array($0) }
            }, for: name)
        return grid
    }
}
