import AnyRes
import Foundation

// Shapes: C channels, p patch side, F = 3 p², h = H / p, w = W / p.

/// How ``KLTLatents`` are fitted.
public struct KLTSettings: Codable, Equatable, Sendable {
    /// Latent channels, C; at most `3 p²`.
    public var channels: Int
    /// Side of a patch in pixels, p: the factor between picture and latent.
    public var patchSide: Int
    /// Longer sides, in patches, of the grids on which pictures are sampled.
    public var longestSides: [Int]
    /// Patches sampled at most.
    public var patchLimit: Int
    /// Decides the sample.
    public var seed: UInt64

    enum CodingKeys: String, CodingKey {
        case channels = "latent_channels"
        case patchSide = "patch_size"
        case longestSides = "grid_sides"
        case patchLimit = "max_patches"
        case seed
    }

    /// SD3's latent shape: 16 channels, an eighth of the picture's side.
    public init(
        channels: Int = 16, patchSide: Int = 8, longestSides: [Int] = [16, 32, 64],
        patchLimit: Int = 100_000, seed: UInt64 = 0
    ) {
        self.channels = channels
        self.patchSide = patchSide
        self.longestSides = longestSides
        self.patchLimit = patchLimit
        self.seed = seed
    }

    func check() throws {
        func require(_ condition: Bool, _ key: CodingKeys, _ problem: String) throws {
            guard condition else { throw CodecError.setting(name: key.rawValue, problem: problem) }
        }
        try require((1...64).contains(patchSide), .patchSide, "\(patchSide) is not in 1...64")
        try require(
            (1...3 * patchSide * patchSide).contains(channels), .channels,
            "\(channels) is not in 1...\(3 * patchSide * patchSide)")
        try require(
            !longestSides.isEmpty && longestSides.allSatisfy { (1...512).contains($0) },
            .longestSides,
            "\(longestSides) must list sides in 1...512")
        try require(
            (16...4_000_000).contains(patchLimit), .patchLimit,
            "\(patchLimit) is not in 16...4000000")
    }
}

/// A latent grid, `[C, h, w]`, row-major.
public struct LatentGrid: Equatable, Sendable {
    /// C.
    public let channels: Int
    /// h.
    public let rows: Int
    /// w.
    public let columns: Int
    /// `[C, h, w]`.
    public var values: [Float]

    /// A grid of `channels x rows x columns` values.
    public init(channels: Int, rows: Int, columns: Int, values: [Float]) {
        guard values.count == channels * rows * columns else {
            fatalError("LatentGrid: \(values.count) values for [\(channels), \(rows), \(columns)]")
        }
        (self.channels, self.rows, self.columns, self.values) = (channels, rows, columns, values)
    }
}

/// Closed-form picture latents: the Karhunen-Loève transform (principal components) of patches.
///
/// A frozen target for the denoiser that any folder of pictures yields in seconds. With x a patch in
/// -1...1, its C latents are `z = scale * (basis (x - mean))`, zero mean and unit variance in every channel
/// over the fit's sample; `x ≈ mean + basisᵀ (z / scale)` is the best linear reconstruction from C numbers.
///
/// Saved as a folder of `config.json` (`model_type` `klt_latents`, the keys of ``KLTSettings`` and the
/// ``FitReport`` under `fit`) and `model.safetensors` with `basis` `[C, F]` (orthonormal rows), `mean` `[F]`
/// and `scale` `[C]`. F runs over channel, row, column as in a convolution's weight, so on tensors
/// `basis.reshaped([C, 3, p, p])` with stride p encodes, and its transpose decodes.
public struct KLTLatents: Sendable {
    /// How they were fitted.
    public let settings: KLTSettings
    /// What the fit saw.
    public let report: FitReport
    /// A hexadecimal hash of everything that decides the latents.
    public let fingerprint: String
    /// Orthonormal rows, largest variance first, `[C, F]`.
    public let basis: [Float]
    /// The mean patch, `[F]`.
    public let mean: [Float]
    /// One over each channel's deviation, `[C]`.
    public let scale: [Float]

    /// C.
    public var channels: Int { settings.channels }
    /// p.
    public var patchSide: Int { settings.patchSide }

    /// Fits latents to pictures; unreadable ones are left out and counted in the report.
    public static func fit(
        pictures: FitPictures, settings: KLTSettings = KLTSettings(),
        progress: ((_ phase: String, _ done: Int, _ of: Int) -> Void)? = nil
    ) throws -> KLTLatents {
        try settings.check()
        let sample = try PatchSample(
            pictures, side: settings.patchSide, longestSides: settings.longestSides,
            limit: settings.patchLimit, seed: settings.seed
        ) { progress?("pictures", $0, $1) }
        let spectrum = try PatchSpectrum(sample.values, size: sample.size)
        let total = spectrum.variances.reduce(0, +)
        let (c, f) = (settings.channels, sample.size)
        guard spectrum.variances[c - 1] > 1e-9 * max(total, 1e-9) else {
            let rank = spectrum.variances.count { $0 > 1e-9 * max(total, 1e-9) }
            throw CodecError.fit(
                "the patches vary along \(rank) axes only, fewer than \(c) channels: give more varied "
                    + "pictures or fewer channels")
        }
        let kept = spectrum.variances[..<c].reduce(0, +)
        let report = FitReport(
            pictures: sample.pictures, unreadable: sample.unreadable, patches: sample.count,
            decibels: peakSignalToNoise(meanSquaredError: max(0, total - kept) / Double(f)),
            use: nil)
        return KLTLatents(
            settings: settings, report: report, basis: spectrum.axes[..<(c * f)].map { Float($0) },
            mean: spectrum.mean, scale: spectrum.variances[..<c].map { Float(1 / $0.squareRoot()) })
    }

    private init(
        settings: KLTSettings, report: FitReport, basis: [Float], mean: [Float], scale: [Float]
    ) {
        self.settings = settings
        self.report = report
        self.basis = basis
        self.mean = mean
        self.scale = scale
        fingerprint = fingerprinted("klt_latents/\(settings.patchSide)", [basis, mean, scale])
    }

    /// The latents of a picture whose sides are multiples of p.
    public func encode(_ pixels: Pixels) throws -> LatentGrid {
        let patches = try Patches(of: pixels, side: patchSide)
        let (c, f, n) = (channels, mean.count, patches.rows * patches.columns)
        let offset = (0..<c).map { row in
            (0..<f).reduce(Float(0)) { $0 + basis[row * f + $1] * mean[$1] }
        }
        var values = [Float](repeating: 0, count: c * n)
        LinearAlgebra.product(basis, transposed: patches.values, m: c, n: n, k: f, into: &values)
        values.withUnsafeMutableBufferPointer { values in
            for channel in 0..<c {
                for i in channel * n..<(channel + 1) * n {
                    values[i] = (values[i] - offset[channel]) * scale[channel]
                }
            }
        }
        return LatentGrid(channels: c, rows: patches.rows, columns: patches.columns, values: values)
    }

    /// The picture of latents, values beyond -1...1 clamped.
    public func decode(_ latents: LatentGrid) throws -> Pixels {
        guard latents.channels == channels else {
            throw CodecError.size("latents of \(latents.channels) channels, not \(channels)")
        }
        let (c, f, n) = (channels, mean.count, latents.rows * latents.columns)
        var coefficients = [Float](repeating: 0, count: n * c)
        for channel in 0..<c {
            for i in 0..<n {
                coefficients[i * c + channel] = latents.values[channel * n + i] / scale[channel]
            }
        }
        var patches = [Float](repeating: 0, count: n * f)
        LinearAlgebra.product(coefficients, basis, m: n, n: f, k: c, into: &patches)
        patches.withUnsafeMutableBufferPointer { patches in
            for i in 0..<n {
                for j in 0..<f { patches[i * f + j] += mean[j] }
            }
        }
        return Patches.pixels(
            from: patches, side: patchSide, rows: latents.rows, columns: latents.columns)
    }
}

extension KLTLatents {
    private static let kind = "klt_latents"

    /// Writes the latents' folder, making it when it is not there.
    public func save(to folder: String) throws {
        let (c, f) = (channels, mean.count)
        try CodecFolder(folder).write(
            kind: Self.kind, settings: settings, report: report,
            tensors: [
                ("basis", .init(shape: [c, f], values: basis)),
                ("mean", .init(shape: [f], values: mean)),
                ("scale", .init(shape: [c], values: scale)),
            ])
    }

    /// Reads latents that ``save(to:)`` wrote.
    public init(folder: String) throws {
        try LinearAlgebra.open()
        let file = CodecFolder(folder)
        let (settings, report): (KLTSettings, FitReport) = try file.config(kind: Self.kind)
        try settings.check()
        let tensors = try file.tensors()
        let (c, f) = (settings.channels, 3 * settings.patchSide * settings.patchSide)
        let scale = try tensors.values("scale", shape: [c])
        guard scale.allSatisfy({ $0 > 0 }) else {
            throw CodecError.file(
                path: "\(folder)/model.safetensors", problem: "scale must be positive")
        }
        self.init(
            settings: settings, report: report, basis: try tensors.values("basis", shape: [c, f]),
            mean: try tensors.values("mean", shape: [f]), scale: scale)
    }
}

/// Peak signal-to-noise ratio of two pictures of one size, in decibels; 100 when they are equal.
public func decibels(_ picture: Pixels, against reference: Pixels) throws -> Double {
    guard picture.width == reference.width, picture.height == reference.height else {
        throw CodecError.size(
            "pictures of \(picture.width) x \(picture.height) and \(reference.width) x \(reference.height)"
        )
    }
    var sum = 0.0
    for (a, b) in zip(picture.bytes, reference.bytes) {
        let difference = (Double(a) - Double(b)) / 127.5
        sum += difference * difference
    }
    return peakSignalToNoise(meanSquaredError: sum / Double(max(1, picture.bytes.count)))
}
