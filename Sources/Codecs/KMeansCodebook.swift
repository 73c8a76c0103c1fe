import AnyRes
import Foundation

// Shapes: N patches, F = 3 p² values of a patch, D whitened dimensions, K codes.

/// How a ``KMeansCodebook`` is fitted.
public struct KMeansSettings: Codable, Equatable, Sendable {
    /// Codes to find, K.
    public var codeCount: Int
    /// Side of a patch in pixels, p.
    public var patchSide: Int
    /// Principal axes kept before the distance is taken, D; at most `3 p²`.
    public var dimensions: Int
    /// Share of the total variance added to every axis' variance before whitening, so that axes of mere
    /// noise do not count as much as those of structure.
    public var regularisation: Double
    /// Longer sides, in cells, of the grids on which pictures are sampled.
    public var longestSides: [Int]
    /// Patches sampled at most; memory is about `4 N (F + 2 D)` bytes.
    public var patchLimit: Int
    /// Lloyd steps at most.
    public var steps: Int
    /// Decides the sample and the start.
    public var seed: UInt64

    enum CodingKeys: String, CodingKey {
        case codeCount = "num_codes"
        case patchSide = "patch_size"
        case dimensions
        case regularisation
        case longestSides = "grid_sides"
        case patchLimit = "max_patches"
        case steps = "max_steps"
        case seed
    }

    /// Settings that fit a thousand pictures in seconds.
    public init(
        codeCount: Int = 1024, patchSide: Int = 8, dimensions: Int = 32,
        regularisation: Double = 1e-3,
        longestSides: [Int] = [8, 16, 32], patchLimit: Int = 100_000, steps: Int = 30,
        seed: UInt64 = 0
    ) {
        self.codeCount = codeCount
        self.patchSide = patchSide
        self.dimensions = dimensions
        self.regularisation = regularisation
        self.longestSides = longestSides
        self.patchLimit = patchLimit
        self.steps = steps
        self.seed = seed
    }

    func check() throws {
        func require(_ condition: Bool, _ key: CodingKeys, _ problem: String) throws {
            guard condition else { throw CodecError.setting(name: key.rawValue, problem: problem) }
        }
        try require((2...65536).contains(codeCount), .codeCount, "\(codeCount) is not in 2...65536")
        try require((1...64).contains(patchSide), .patchSide, "\(patchSide) is not in 1...64")
        try require(
            (1...3 * patchSide * patchSide).contains(dimensions), .dimensions,
            "\(dimensions) is not in 1...\(3 * patchSide * patchSide)")
        try require(
            regularisation.isFinite && regularisation > 0, .regularisation,
            "\(regularisation) is not a positive number")
        try require(
            !longestSides.isEmpty && longestSides.allSatisfy { (1...512).contains($0) },
            .longestSides,
            "\(longestSides) must list sides in 1...512")
        try require(
            (codeCount...4_000_000).contains(patchLimit), .patchLimit,
            "\(patchLimit) is not in \(codeCount)...4000000")
        try require((1...1000).contains(steps), .steps, "\(steps) is not in 1...1000")
    }
}

/// A codebook of picture patches: k-means over their whitened principal components.
///
/// A stand-in for a VQ network's codebook that any folder of pictures yields in seconds: deterministic, in
/// closed form but for Lloyd's steps. Whitening keeps brightness, which holds most of the variance, from
/// deciding every code.
///
/// Saved as a folder of `config.json` (`model_type` `kmeans_codebook`, the keys of ``KMeansSettings`` and
/// the ``FitReport`` under `fit`) and `model.safetensors` with `mean` `[F]`, `projection` `[D, F]`
/// (whitening; a patch becomes `projection (patch - mean)`), `codes` `[K, D]` (whitened centres) and
/// `patches` `[K, F]` (the mean patch of each code, in pixels of -1...1).
public struct KMeansCodebook: Codebook {
    /// How it was fitted.
    public let settings: KMeansSettings
    /// What the fit saw.
    public let report: FitReport
    public let fingerprint: String

    private let mean: [Float]  // [F]
    private let projection: [Float]  // [D, F]
    private let kmeans: KMeans  // centres [K, D]
    private let patches: [Float]  // [K, F]

    public var name: String { "kmeans-\(codeCount)" }
    public var codeCount: Int { settings.codeCount }
    public var stride: Int { settings.patchSide }
    private var size: Int { mean.count }

    /// Fits a codebook to pictures; unreadable ones are left out and counted in the report.
    public static func fit(
        pictures: FitPictures, settings: KMeansSettings = KMeansSettings(),
        progress: ((_ phase: String, _ done: Int, _ of: Int) -> Void)? = nil
    ) throws -> KMeansCodebook {
        try settings.check()
        let sample = try PatchSample(
            pictures, side: settings.patchSide, longestSides: settings.longestSides,
            limit: settings.patchLimit, seed: settings.seed
        ) { progress?("pictures", $0, $1) }
        guard sample.count >= settings.codeCount else {
            throw CodecError.fit(
                "\(sample.count) patches for \(settings.codeCount) codes: give more pictures or fewer codes"
            )
        }
        let spectrum = try PatchSpectrum(sample.values, size: sample.size)
        let total = spectrum.variances.reduce(0, +)
        guard total > 0 else { throw CodecError.fit("all patches are alike") }
        let size = sample.size
        var projection = [Float](repeating: 0, count: settings.dimensions * size)
        for axis in 0..<settings.dimensions {
            let scale =
                1 / (spectrum.variances[axis] + settings.regularisation * total).squareRoot()
            for i in 0..<size {
                projection[axis * size + i] = Float(scale * spectrum.axes[axis * size + i])
            }
        }
        let points = projected(
            sample.values, mean: spectrum.mean, projection: projection,
            dimensions: settings.dimensions)
        let kmeans = try KMeans(
            points, dimensions: settings.dimensions, count: settings.codeCount,
            steps: settings.steps,
            seed: settings.seed
        ) { progress?("k-means", $0, $1) }
        let (patches, error) = meanPatches(sample, labels: kmeans.labels, count: settings.codeCount)
        let report = FitReport(
            pictures: sample.pictures, unreadable: sample.unreadable, patches: sample.count,
            decibels: peakSignalToNoise(meanSquaredError: error),
            use: CodebookUse(codes: kmeans.labels, codeCount: settings.codeCount))
        return KMeansCodebook(
            settings: settings, report: report, mean: spectrum.mean, projection: projection,
            kmeans: kmeans, patches: patches)
    }

    private init(
        settings: KMeansSettings, report: FitReport, mean: [Float], projection: [Float],
        kmeans: KMeans,
        patches: [Float]
    ) {
        self.settings = settings
        self.report = report
        self.mean = mean
        self.projection = projection
        self.kmeans = kmeans
        self.patches = patches
        fingerprint = fingerprinted(
            "kmeans_codebook/\(settings.patchSide)", [mean, projection, kmeans.centres])
    }

    public func indices(of pixels: Pixels) throws -> CodeGrid {
        let cells = try Patches(of: pixels, side: stride)
        let points = Self.projected(
            cells.values, mean: mean, projection: projection, dimensions: settings.dimensions)
        return CodeGrid(
            shape: GridShape(rows: cells.rows, columns: cells.columns),
            values: kmeans.assign(points).labels)
    }

    /// The picture of a grid: every cell as the mean patch of its code.
    public func picture(of grid: CodeGrid) throws -> Pixels {
        guard grid.values.allSatisfy({ (0..<codeCount).contains($0) }) else {
            throw CodecError.size("a grid holds codes beyond 0..<\(codeCount)")
        }
        let values = grid.values.flatMap { patches[$0 * size..<($0 + 1) * size] }
        return Patches.pixels(from: values, side: stride, rows: grid.rows, columns: grid.columns)
    }

    /// `projection (patch - mean)` for every row: `[N, F]` to `[N, D]`.
    private static func projected(
        _ values: [Float], mean: [Float], projection: [Float], dimensions: Int
    ) -> [Float] {
        let (size, count) = (mean.count, values.count / mean.count)
        let offset = (0..<dimensions).map { axis in
            (0..<size).reduce(Float(0)) { $0 + projection[axis * size + $1] * mean[$1] }
        }
        var points = [Float](repeating: 0, count: count * dimensions)
        LinearAlgebra.product(
            values, transposed: projection, m: count, n: dimensions, k: size, into: &points)
        points.withUnsafeMutableBufferPointer { points in
            for row in 0..<count {
                for axis in 0..<dimensions { points[row * dimensions + axis] -= offset[axis] }
            }
        }
        return points
    }

    /// The mean patch of every code `[K, F]` (zeros for one without patches), and the mean squared distance
    /// of a patch's values from its code's.
    private static func meanPatches(
        _ sample: PatchSample, labels: [Int], count: Int
    ) -> (patches: [Float], error: Double) {
        let size = sample.size
        var sums = [Double](repeating: 0, count: count * size)
        var counts = [Double](repeating: 0, count: count)
        var squares = 0.0
        sample.values.withUnsafeBufferPointer { values in
            sums.withUnsafeMutableBufferPointer { sums in
                for (row, label) in labels.enumerated() {
                    counts[label] += 1
                    for i in 0..<size {
                        let value = Double(values[row * size + i])
                        sums[label * size + i] += value
                        squares += value * value
                    }
                }
            }
        }
        var patches = [Float](repeating: 0, count: count * size)
        for code in 0..<count where counts[code] > 0 {
            for i in code * size..<(code + 1) * size {
                let mean = sums[i] / counts[code]
                patches[i] = Float(mean)
                squares -= counts[code] * mean * mean
            }
        }
        return (patches, max(0, squares) / Double(max(1, labels.count * size)))
    }
}

extension KMeansCodebook {
    /// The `model_type` of its folder.
    public static let kind = "kmeans_codebook"

    /// Writes the codebook's folder, making it when it is not there.
    public func save(to folder: String) throws {
        let (f, d, k) = (size, settings.dimensions, codeCount)
        try CodecFolder(folder).write(
            kind: Self.kind, settings: settings, report: report,
            tensors: [
                ("mean", .init(shape: [f], values: mean)),
                ("projection", .init(shape: [d, f], values: projection)),
                ("codes", .init(shape: [k, d], values: kmeans.centres)),
                ("patches", .init(shape: [k, f], values: patches)),
            ])
    }

    /// Reads a codebook that ``save(to:)`` wrote.
    public init(folder: String) throws {
        try LinearAlgebra.open()
        let file = CodecFolder(folder)
        let (settings, report): (KMeansSettings, FitReport) = try file.config(kind: Self.kind)
        try settings.check()
        let tensors = try file.tensors()
        let (d, k) = (settings.dimensions, settings.codeCount)
        let f = 3 * settings.patchSide * settings.patchSide
        self.init(
            settings: settings, report: report, mean: try tensors.values("mean", shape: [f]),
            projection: try tensors.values("projection", shape: [d, f]),
            kmeans: KMeans(centres: try tensors.values("codes", shape: [k, d]), dimensions: d),
            patches: try tensors.values("patches", shape: [k, f]))
    }
}
