import AnyRes
import Foundation

/// The pictures a codec is fitted on, read one at a time.
public struct FitPictures: Sendable {
    /// How many there are.
    public let count: Int
    /// Decodes one of them; called from several threads.
    public let picture: @Sendable (_ index: Int) throws -> Pixels

    /// Any `count` pictures.
    public init(count: Int, picture: @escaping @Sendable (_ index: Int) throws -> Pixels) {
        (self.count, self.picture) = (count, picture)
    }

    /// Pictures in memory.
    public init(_ pictures: [Pixels]) {
        self.init(count: pictures.count) { pictures[$0] }
    }

    /// The picture files (JPEG, PNG, WebP) in `folder` and its subfolders, in the order of their paths.
    public init(folder: String, reader: PictureReader = PictureReader()) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder),
            isFolder.boolValue
        else { throw CodecError.file(path: folder, problem: "is not a folder of pictures") }
        let kinds: Set = ["jpg", "jpeg", "png", "webp"]
        let names =
            FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        let paths =
            names
            .filter { kinds.contains(($0 as NSString).pathExtension.lowercased()) }
            .sorted()
            .map { "\(folder)/\($0)" }
        guard !paths.isEmpty else {
            throw CodecError.file(path: folder, problem: "holds no .jpg, .jpeg, .png or .webp file")
        }
        self.init(count: paths.count) { try reader.read(path: paths[$0]) }
    }
}

/// What a fit looked at, for `config.json` and for the log.
public struct FitReport: Codable, Equatable, Sendable {
    /// Pictures that could be read.
    public var pictures: Int
    /// Pictures that could not, which were left out.
    public var unreadable: Int
    /// Patches in the sample.
    public var patches: Int
    /// Peak signal-to-noise ratio of the sample rebuilt from its codes or latents, in decibels.
    public var decibels: Double
    /// How the codes are used on the sample; nil for latents.
    public var use: CodebookUse?

    enum CodingKeys: String, CodingKey {
        case pictures, unreadable, patches
        case decibels = "psnr_db"
        case use = "codebook_use"
    }
}

/// A bounded, seeded sample of patches from many pictures at several scales.
struct PatchSample {
    /// `[N, F]`.
    private(set) var values: [Float] = []
    private(set) var pictures = 0
    private(set) var unreadable = 0
    var count: Int { values.count / size }
    let size: Int

    /// Draws about `limit` patches of `side x side` pixels, evenly over the pictures (at most
    /// `limit / 4` of them) and over grids of `longestSides` cells.
    ///
    /// Deterministic in `seed`. Holds at most the sample and a few decoded pictures in memory.
    init(
        _ source: FitPictures, side: Int, longestSides: [Int], limit: Int, seed: UInt64,
        progress: ((_ done: Int, _ of: Int) -> Void)?
    ) throws {
        size = 3 * side * side
        guard source.count > 0 else { throw CodecError.fit("there are no pictures") }
        var generator = SeededGenerator(seed: seed, "pictures")
        let chosen = generator.sample(max(1, limit / 4), below: source.count)
        let share = max(1, limit / chosen.count / longestSides.count)
        var firstProblem: (any Error)?
        let batch = 32
        for start in stride(from: 0, to: chosen.count, by: batch) {
            let part = Array(chosen[start..<min(chosen.count, start + batch)])
            let results = Results(count: part.count)
            LinearAlgebra.inBlocks(of: 1, count: part.count) { index, _ in
                results.set(
                    index,
                    Result {
                        try Self.draw(
                            source.picture(part[index]), side: side, longestSides: longestSides,
                            share: share, seed: seed, index: part[index])
                    })
            }
            for result in results.values {
                switch result {
                case .success(let drawn)?:
                    values.append(contentsOf: drawn)
                    pictures += 1
                case .failure(let problem)?:
                    firstProblem = firstProblem ?? problem
                    unreadable += 1
                case nil: break
                }
            }
            progress?(start + part.count, chosen.count)
        }
        guard pictures > 0 else {
            throw CodecError.fit(
                "none of \(unreadable) pictures can be used"
                    + (firstProblem.map { "; the first: \($0)" } ?? ""))
        }
    }

    private static func draw(
        _ pixels: Pixels, side: Int, longestSides: [Int], share: Int, seed: UInt64, index: Int
    ) throws -> [Float] {
        var generator = SeededGenerator(seed: seed, "patches", String(index))
        var drawn: [Float] = []
        let size = 3 * side * side
        for longest in longestSides {
            let shape = GridShape(width: pixels.width, height: pixels.height, longestSide: longest)
            let patches = try Patches(of: shape.fitted(pixels, stride: side), side: side)
            for row in generator.sample(share, below: shape.count) {
                drawn.append(contentsOf: patches.values[row * size..<(row + 1) * size])
            }
        }
        return drawn
    }

    /// Slots that several threads fill, each its own.
    private final class Results: @unchecked Sendable {  // every access holds the lock
        private let lock = NSLock()
        private(set) var values: [Result<[Float], any Error>?]

        init(count: Int) { values = Array(repeating: nil, count: count) }

        func set(_ index: Int, _ value: Result<[Float], any Error>) {
            lock.withLock { values[index] = value }
        }
    }
}
