/// How a picture becomes one low-resolution snapshot and full-resolution tiles.
public enum Tiling: String, Codable, Sendable, CaseIterable {
    /// Padded to the smallest multiples of the tile, never enlarged (VLSA, arXiv paper section 3.1).
    case vlsa
    /// Fitted into the best of a list of resolutions (LLaVA-NeXT's any-resolution path).
    case anyres
    /// One square picture, no tiles.
    case square
}

/// Where a picture sits in its padding.
public enum Padding: String, Codable, CaseIterable, Sendable {
    /// At the top left, padding right and below.
    case corner
    /// In the middle; an odd pixel of padding goes right or below.
    case centre
}

/// What the snapshot is a small copy of.
public enum SnapshotSource: String, Codable, CaseIterable, Sendable {
    /// The padded picture, so that snapshot and tiles share one frame.
    case padded
    /// The picture without padding, its aspect ignored.
    case original
}

/// How a literal resolution list is read, which decides between candidates of equal fit.
public enum TieOrder: String, Codable, CaseIterable, Sendable {
    /// Pairs are (width, height), as in the official code.
    case llava
    /// Pairs are (height, width), as in Hugging Face's processor.
    case huggingface
}

/// How the `square` tiling makes a square.
public enum SquareFit: String, Codable, CaseIterable, Sendable {
    /// Padded to a square, then resized.
    case pad
    /// Resized by its shortest edge, then its centre cut out.
    case crop
    /// Resized, its aspect ignored.
    case squash
}

/// Everything that decides which pixels a model sees of a picture. Saved with the model.
public struct TilingConfiguration: Codable, Equatable, Sendable {
    /// Which of the three ways.
    public var tiling: Tiling
    /// Pixels across a tile and the snapshot: the vision tower's input width.
    public var tileWidth: Int
    /// Pixels down a tile and the snapshot.
    public var tileHeight: Int
    /// Most tiles of a picture in the `vlsa` tiling; a picture that needs more is first scaled down, aspect kept.
    public var maxTiles: Int
    /// Candidate resolutions of the `anyres` tiling.
    public var pinpoints: Pinpoints
    /// How `anyres` reads its resolution list.
    public var tieOrder: TieOrder
    /// Where the picture sits in its padding.
    public var padding: Padding
    /// What the padding shows, `[red, green, blue]`.
    public var padColour: [UInt8]
    /// What the snapshot is a small copy of.
    public var snapshotSource: SnapshotSource
    /// How the `square` tiling makes a square.
    public var squareFit: SquareFit

    /// Values left out follow the tiling: `vlsa` pads with CLIP's mean colour at the right and below and takes its
    /// snapshot from the padded picture; `anyres` centres on black and takes the original; `square` centres on the
    /// mean colour.
    public init(
        tiling: Tiling = .vlsa, tileWidth: Int = 336, tileHeight: Int = 336, maxTiles: Int = 36,
        pinpoints: Pinpoints = .standard, tieOrder: TieOrder = .llava, padding: Padding? = nil,
        padColour: [UInt8]? = nil, snapshotSource: SnapshotSource? = nil,
        squareFit: SquareFit = .pad
    ) {
        self.tiling = tiling
        self.tileWidth = tileWidth
        self.tileHeight = tileHeight
        self.maxTiles = maxTiles
        self.pinpoints = pinpoints
        self.tieOrder = tieOrder
        self.padding = padding ?? (tiling == .vlsa ? .corner : .centre)
        self.padColour = padColour ?? (tiling == .anyres ? PadColour.black : PadColour.clipMean)
        self.snapshotSource = snapshotSource ?? (tiling == .anyres ? .original : .padded)
        self.squareFit = squareFit
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case tiling, tileWidth, tileHeight, maxTiles, pinpoints, tieOrder, padding, padColour
        case snapshotSource, squareFit
    }
}

extension TilingConfiguration {
    /// The keys of its encoded form, for readers that refuse unknown keys.
    public static var keys: [String] { CodingKeys.allCases.map(\.rawValue) }

    /// Left-out keys follow the tiling; throws ``PictureError`` where a value cannot work.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ type: T.Type = T.self) throws -> T? {
            try values.decodeIfPresent(type, forKey: key)
        }
        let side = try value(.tileWidth) ?? value(.tileHeight) ?? 336
        self.init(
            tiling: try value(.tiling) ?? .vlsa, tileWidth: side,
            tileHeight: try value(.tileHeight) ?? side, maxTiles: try value(.maxTiles) ?? 36,
            pinpoints: try value(.pinpoints) ?? .standard,
            tieOrder: try value(.tieOrder) ?? .llava, padding: try value(.padding),
            padColour: try value(.padColour), snapshotSource: try value(.snapshotSource),
            squareFit: try value(.squareFit) ?? .pad)
        try check()
    }

    /// Throws ``PictureError/badConfiguration(key:reason:)`` where a value cannot work.
    public func check() throws {
        func demand(_ holds: Bool, _ key: CodingKeys, _ reason: String) throws {
            if !holds { throw PictureError.badConfiguration(key: key.rawValue, reason: reason) }
        }
        let sides = 1...8192
        try demand(sides.contains(tileWidth), .tileWidth, "\(tileWidth) is not in 1...8192")
        try demand(sides.contains(tileHeight), .tileHeight, "\(tileHeight) is not in 1...8192")
        try demand(maxTiles >= 1, .maxTiles, "\(maxTiles) is less than 1")
        try demand(padColour.count == 3, .padColour, "needs red, green and blue, 0...255 each")
        if tiling == .anyres {
            _ = try pinpoints.candidates(
                tileWidth: tileWidth, tileHeight: tileHeight, order: tieOrder)
        }
        if tiling == .square, squareFit != .squash {
            try demand(
                tileWidth == tileHeight, .squareFit,
                "'\(squareFit.rawValue)' needs a square tile, not \(tileWidth) x \(tileHeight)")
        }
    }
}
