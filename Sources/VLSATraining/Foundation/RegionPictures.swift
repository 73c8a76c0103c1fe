import AnyRes
import Codecs
import Corpus
import Foundation
import Synchronization

/// Something with a name at a place of a picture.
struct CaptionedRegion: Sendable {
    /// In pixels of the padded picture at tile scale.
    let box: PictureRect
    /// Words of its caption, as indices into ``RegionPictures/words``.
    let words: [Int]
    /// Whether the snapshot is too coarse to show it.
    let isFine: Bool
}

/// A picture at tile scale with what is where in it.
struct RegionPicture: Sendable {
    let id: String
    let tiled: TiledPicture
    /// The padded picture that the tiles are cut from.
    let whole: Pixels
    /// Largest first, so that what lies on top comes last.
    let regions: [CaptionedRegion]
    /// The caption of the whole, as word indices.
    let caption: [Int]
    /// Indices of ``SnapshotPlace/words``, by word.
    let placeWords: [String: Int]
}

/// What a patch of the snapshot is called by where it lies: nine places over the picture.
enum SnapshotPlace {
    static let words = ["top", "bottom", "left", "right", "center"]

    /// The words for patch `index` of `perSide` x `perSide`; a border takes three eighths.
    static func words(of index: Int, perSide: Int) -> [String] {
        func third(_ place: Int) -> Int {
            let eighth = place * 8 / perSide
            return eighth < 3 ? 0 : eighth > 4 ? 2 : 1
        }
        let (row, column) = (third(index / perSide), third(index % perSide))
        let words = [["top", nil, "bottom"][row], ["left", nil, "right"][column]].compactMap { $0 }
        return words.isEmpty ? ["center"] : words
    }
}

/// Pictures with region captions: what the foundation's tower and denoiser learn from.
///
/// Reads records with the fields `regions` (`[{"box": [x0, y0, x1, y1], "caption": "red circle", "fine": false}]`,
/// pixels of the picture) and `caption`, as `vlsa synth` writes them.
struct RegionPictures: Sendable {
    let pictures: [RegionPicture]
    /// All words of all captions, sorted. Word 0 is `background`: what no region covers.
    let words: [String]

    static let background = "background"

    init(pictures: [RegionPicture], words: [String]) {
        self.pictures = pictures
        self.words = words
    }

    private struct Source: Sendable {
        let id: String
        let path: String
        let caption: [String]
        let regions: [(box: [Double], words: [String], isFine: Bool)]
    }

    /// - Parameters:
    ///   - limit: most pictures.
    ///   - progress: called with pictures read, from any thread.
    init(
        records path: String, images: String, tiler: Tiler, limit: Int,
        progress: @Sendable (Int) -> Void
    ) throws {
        let file = try RecordFile(path: path)
        let root = try PictureFolder(images)
        let sources = try (0..<min(limit, file.count)).map {
            try RegionPictures.source(of: file.record(at: $0), root: root)
        }
        let words =
            [RegionPictures.background]
            + Set(sources.flatMap { $0.caption + $0.regions.flatMap(\.words) })
            .union(SnapshotPlace.words).subtracting([RegionPictures.background]).sorted()
        let index = Dictionary(uniqueKeysWithValues: words.enumerated().map { ($1, $0) })
        self.words = words

        let results = Mutex<[RegionPicture?]>(Array(repeating: nil, count: sources.count))
        let failure = Mutex<(any Error)?>(nil)
        let done = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: sources.count) { place in
            guard failure.withLock({ $0 == nil }) else { return }
            do {
                let picture = try RegionPictures.load(sources[place], tiler: tiler, index: index)
                results.withLock { $0[place] = picture }
                progress(
                    done.withLock {
                        $0 += 1
                        return $0
                    })
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        pictures = results.withLock { $0.compactMap { $0 } }
        guard !pictures.isEmpty else {
            throw FoundationError.data("\(path) holds no record to learn from")
        }
    }

    private static func source(of record: Record, root: PictureFolder) throws -> Source {
        guard record.images.count == 1 else {
            throw FoundationError.data(
                "\(record.id) has \(record.images.count) pictures instead of 1")
        }
        guard case .array(let items)? = record.extra["regions"] else {
            throw FoundationError.data("\(record.id) has no list \"regions\"")
        }
        let regions = try items.map { item -> (box: [Double], words: [String], isFine: Bool) in
            guard case .object(let region) = item, case .array(let numbers)? = region["box"],
                case .string(let caption)? = region["caption"], numbers.count == 4
            else {
                throw FoundationError.data(
                    "\(record.id): a region is no {\"box\": [x0, y0, x1, y1], \"caption\": text}")
            }
            let box = try numbers.map { number -> Double in
                guard let value = number.double else {
                    throw FoundationError.data("\(record.id): a region's box holds no number")
                }
                return value
            }
            return (box, words(of: caption), region["fine"] == .bool(true))
        }
        var caption: [String] = []
        if case .string(let text)? = record.extra["caption"] { caption = words(of: text) }
        return Source(
            id: record.id, path: try root.resolve(record.images[0]), caption: caption,
            regions: regions)
    }

    /// Lower-case words of a caption; digits one by one, punctuation left out.
    static func words(of caption: String) -> [String] {
        var words: [String] = []
        var word = ""
        func end() {
            if !word.isEmpty { words.append(word) }
            word = ""
        }
        for character in caption.lowercased() {
            if character.isNumber {
                end()
                words.append(String(character))
            } else if character.isLetter {
                word.append(character)
            } else {
                end()
            }
        }
        end()
        return words
    }

    private static func load(_ source: Source, tiler: Tiler, index: [String: Int]) throws
        -> RegionPicture
    {
        let tiled = try tiler.tile(try PictureReader().picture(path: source.path))
        let geometry = tiled.geometry
        let scaleX = Double(geometry.scaled.width) / Double(geometry.original.width)
        let scaleY = Double(geometry.scaled.height) / Double(geometry.original.height)
        let regions = source.regions.map { region in
            CaptionedRegion(
                box: PictureRect(
                    x: region.box[0] * scaleX + Double(geometry.offsetX),
                    y: region.box[1] * scaleY + Double(geometry.offsetY),
                    width: (region.box[2] - region.box[0]) * scaleX,
                    height: (region.box[3] - region.box[1]) * scaleY),
                words: region.words.compactMap { index[$0] }, isFine: region.isFine)
        }
        return RegionPicture(
            id: source.id, tiled: tiled, whole: tiled.paddedPicture(),
            regions: regions.sorted { $0.box.area > $1.box.area },
            caption: source.caption.compactMap { index[$0] },
            placeWords: index.filter { SnapshotPlace.words.contains($0.key) })
    }
}

/// One view as the tower takes it, with the words of what each patch shows.
struct PatchCaptions: TrainingExample {
    let recordID: String
    /// `[3, side, side]`
    let pixels: [UInt8]
    /// Words of what each patch shows, row by row; the background word where no region covers the patch.
    let names: [[Int]]
    /// Words of where each patch lies in the view. A tower cannot tell a window from a snapshot, so what it says of places
    /// must hold in both.
    let places: [[Int]]
    /// Things in view: sorts of names, the background among them.
    let thingCount: Int
    /// Weight of each patch: the thing it shows weighs the same however many patches show it, or headers would drown
    /// digits.
    let weights: [Float]

    init(recordID: String, pixels: [UInt8], names: [[Int]], places: [[Int]]) {
        self.recordID = recordID
        self.pixels = pixels
        self.names = names
        self.places = places
        let sizes = Dictionary(names.map { ($0, Float(1)) }, uniquingKeysWith: +)
        thingCount = sizes.count
        weights = names.map { 1 / (sizes[$0] ?? 1) }
    }

    var tokenCount: Int { names.count }

    /// Names and places of each patch.
    var words: [[Int]] { zip(names, places).map { $0 + $1 } }
}

extension RegionPicture {
    /// The square window of the padded picture with the upper left corner `(x, y)`, shown at `side` pixels, and the names
    /// of its patches, row by row.
    ///
    /// - Parameter reach: its side in the padded picture; fine regions are named where it is shown at most half again
    ///   as coarse as a tile.
    func window(x: Int, y: Int, reach: Int, side: Int, patch: Int) -> (
        pixels: Pixels, names: [[Int]]
    ) {
        let scale = Double(side) / Double(reach)
        let cropped = whole.cropped(x: x, y: y, width: reach, height: reach)
        let shown = reach == side ? cropped : resized(cropped, width: side, height: side)
        return (
            shown,
            names(
                x: Double(x), y: Double(y), scaleX: scale, scaleY: scale, perSide: side / patch,
                patch: Double(patch), showsFine: scale > 2.0 / 3)
        )
    }

    /// The snapshot, where fine regions are too small to be named.
    func snapshotCaptions(side: Int, patch: Int) -> PatchCaptions {
        let perSide = side / patch
        return PatchCaptions(
            recordID: id, pixels: tiled.snapshot,
            names: names(
                x: 0, y: 0, scaleX: Double(side) / Double(whole.width),
                scaleY: Double(side) / Double(whole.height), perSide: perSide,
                patch: Double(patch), showsFine: false), places: places(perSide))
    }

    /// What the snapshot's tokens should say when they hold the tiles' detail too: names and places as in
    /// ``snapshotCaptions(side:patch:)``, and each fine thing where its centre is. A fine thing made of finer ones is
    /// told by them.
    func detailCaptions(side: Int, patch: Int) -> [[Int]] {
        let perSide = side / patch
        var grid = snapshotCaptions(side: side, patch: patch).words
        let fine = regions.filter(\.isFine)
        for region in fine {
            let isWhole = fine.contains {
                $0.box.area < region.box.area && region.box.contains($0.box.centre)
            }
            guard !isWhole else { continue }
            let centre = region.box.centre
            let column = Int(centre.x * Double(perSide) / Double(whole.width))
            let row = Int(centre.y * Double(perSide) / Double(whole.height))
            guard (0..<perSide).contains(row), (0..<perSide).contains(column) else { continue }
            grid[row * perSide + column] += region.words
        }
        return grid
    }

    /// Words of where each patch of a view lies, row by row.
    func places(_ perSide: Int) -> [[Int]] {
        (0..<perSide * perSide).map { index in
            SnapshotPlace.words(of: index, perSide: perSide).compactMap { placeWords[$0] }
        }
    }

    /// A region names the patches whose centres it covers, or, when it is too small for any, the one it lies in.
    private func names(
        x: Double, y: Double, scaleX: Double, scaleY: Double, perSide: Int, patch: Double,
        showsFine: Bool
    ) -> [[Int]] {
        var grid = [[Int]](repeating: [0], count: perSide * perSide)
        for region in regions where showsFine || !region.isFine {
            let left = (region.box.x - x) * scaleX / patch
            let top = (region.box.y - y) * scaleY / patch
            let right = left + region.box.width * scaleX / patch
            let bottom = top + region.box.height * scaleY / patch
            func centres(_ low: Double, _ high: Double) -> Range<Int>? {
                let first = max(0, Int((low - 0.5).rounded(.up)))
                let end = min(perSide, Int((high - 0.5).rounded(.down)) + 1)
                return first < end ? first..<end : nil
            }
            if let columns = centres(left, right), let rows = centres(top, bottom) {
                for row in rows {
                    for column in columns { grid[row * perSide + column] = region.words }
                }
            } else {
                let (row, column) = (
                    Int(((top + bottom) / 2).rounded(.down)),
                    Int(((left + right) / 2).rounded(.down))
                )
                if (0..<perSide).contains(row), (0..<perSide).contains(column) {
                    grid[row * perSide + column] = region.words
                }
            }
        }
        return grid
    }
}
