import Foundation

/// A `preprocessor_config.json`: how a checkpoint's vision tower wants its pictures.
public struct ImageProcessorConfiguration: Equatable, Sendable {
    /// Families of processors.
    public enum Kind: String, Sendable {
        /// Resize, centre crop, normalise: CLIP, SigLIP, DINOv2, ViT.
        case plain
        /// Padded to a square with the mean colour first (LLaVA-1.5).
        case padded
        /// A base view and tiles of the best resolution (LLaVA-NeXT).
        case anyres
    }

    /// What a picture is resized to.
    public enum Target: Equatable, Sendable {
        /// Shorter side to this length, aspect kept.
        case shortestEdge(Int)
        /// This size, aspect ignored.
        case exactly(PictureSize)
    }

    /// Which family it is of.
    public let kind: Kind
    /// Nil where the picture is not resized.
    public let size: Target?
    /// How it is resized.
    public let filter: ResizeFilter
    /// Nil where no centre is cut out.
    public let crop: PictureSize?
    /// What a byte is multiplied with; nil where bytes stay 0...255.
    public let rescaleFactor: Double?
    /// Mean of each channel, nil where values are not normalised.
    public let mean: [Float]?
    /// Standard deviation of each channel, nil where values are not normalised.
    public let deviation: [Float]?
    /// Candidate resolutions as (height, width) pairs, of the `anyres` kind.
    public let pinpoints: [[Int]]

    /// A configuration without a file.
    public init(
        kind: Kind, size: Target?, filter: ResizeFilter = .bicubic, crop: PictureSize? = nil,
        rescaleFactor: Double? = 1.0 / 255, mean: [Float]?, deviation: [Float]?,
        pinpoints: [[Int]] = []
    ) {
        self.kind = kind
        self.size = size
        self.filter = filter
        self.crop = crop
        self.rescaleFactor = rescaleFactor
        self.mean = mean
        self.deviation = deviation
        self.pinpoints = pinpoints
    }

    /// The file's, or that of a folder which holds a `preprocessor_config.json`.
    public init(path: String) throws {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let file = exists && isFolder.boolValue ? path + "/preprocessor_config.json" : path
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: file))
        } catch {
            throw PictureError.unreadable(name: file, reason: error.localizedDescription)
        }
        do {
            self = try JSONDecoder().decode(Self.self, from: data)
        } catch PictureError.badConfiguration(let key, let reason) {
            throw PictureError.badConfiguration(key: "\(file), \(key)", reason: reason)
        } catch let error as DecodingError {
            throw PictureError.badConfiguration(key: file, reason: error.placed)
        }
    }
}

extension DecodingError {
    /// Where in the file, and what is wrong there.
    fileprivate var placed: String {
        func text(_ context: Context, key: (any CodingKey)? = nil, _ problem: String) -> String {
            let path = (context.codingPath + (key.map { [$0] } ?? [])).map(\.stringValue)
            return (path.isEmpty ? "" : path.joined(separator: ".") + ": ") + problem
        }
        switch self {
        case .keyNotFound(let key, let context): return text(context, key: key, "missing")
        case .typeMismatch(let type, let context):
            return text(context, "expected a value of type \(type)")
        case .valueNotFound(let type, let context):
            return text(context, "null where a \(type) is needed")
        case .dataCorrupted(let context): return text(context, context.debugDescription)
        @unknown default: return "\(self)"
        }
    }
}

// MARK: - Reading the file

extension ImageProcessorConfiguration: Decodable {
    enum CodingKeys: String, CodingKey {
        case type = "image_processor_type"
        case oldType = "feature_extractor_type"
        case resizes = "do_resize"
        case size
        case filter = "resample"
        case crops = "do_center_crop"
        case crop = "crop_size"
        case rescales = "do_rescale"
        case rescaleFactor = "rescale_factor"
        case normalises = "do_normalize"
        case mean = "image_mean"
        case deviation = "image_std"
        case pads = "do_pad"
        case pinpoints = "image_grid_pinpoints"
    }

    /// A size in the file: a number, or an object with some of these keys.
    private struct Extent: Decodable {
        let number: Int?
        let shortestEdge: Int?
        let height: Int?
        let width: Int?

        enum CodingKeys: String, CodingKey {
            case shortestEdge = "shortest_edge"
            case height, width
        }

        init(from decoder: any Decoder) throws {
            if let number = try? decoder.singleValueContainer().decode(Int.self) {
                (self.number, shortestEdge, height, width) = (number, nil, nil, nil)
                return
            }
            let values = try decoder.container(keyedBy: CodingKeys.self)
            number = nil
            shortestEdge = try values.decodeIfPresent(Int.self, forKey: .shortestEdge)
            height = try values.decodeIfPresent(Int.self, forKey: .height)
            width = try values.decodeIfPresent(Int.self, forKey: .width)
        }

        var sides: PictureSize? {
            if let number { return PictureSize(width: number, height: number) }
            guard let height, let width else { return nil }
            return PictureSize(width: width, height: height)
        }
    }

    private static func kind(ofType type: String, pads: Bool) throws -> (kind: Kind, crops: Bool) {
        var name = type
        for suffix in ["Fast", "Pil"] where name.hasSuffix(suffix) {
            name.removeLast(suffix.count)
        }
        for suffix in ["ImageProcessor", "FeatureExtractor"] where name.hasSuffix(suffix) {
            name.removeLast(suffix.count)
        }
        switch name {
        case "CLIP", "Bit", "ChineseCLIP": return (.plain, true)
        case "Siglip", "ViT", "DeiT": return (.plain, false)
        case "Llava": return (pads ? .padded : .plain, true)
        case "LlavaNext": return (.anyres, true)
        default:
            throw PictureError.badConfiguration(
                key: "image_processor_type",
                reason:
                    "'\(type)' is not supported: CLIP, Bit (DINOv2), Siglip, ViT, DeiT, Llava and "
                    + "LlavaNext image processors are")
        }
    }

    /// Fills in what the file leaves out as its processor would; throws ``PictureError`` where a value cannot work.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func refused(_ key: CodingKeys, _ reason: String) -> PictureError {
            .badConfiguration(key: key.rawValue, reason: reason)
        }
        func flag(_ key: CodingKeys, _ missing: Bool) throws -> Bool {
            try values.decodeIfPresent(Bool.self, forKey: key) ?? missing
        }
        let type =
            try values.decodeIfPresent(String.self, forKey: .type)
            ?? values.decodeIfPresent(String.self, forKey: .oldType) ?? "CLIPImageProcessor"
        let (kind, cropsByDefault) = try Self.kind(ofType: type, pads: flag(.pads, false))

        let extent = try values.decodeIfPresent(Extent.self, forKey: .size)
        var size: Target?
        if try flag(.resizes, true) {
            if let edge = extent?.shortestEdge ?? (cropsByDefault ? extent?.number : nil) {
                size = .shortestEdge(edge)
            } else if let sides = extent?.sides {
                size = .exactly(sides)
            } else {
                throw refused(.size, "needs a number, shortest_edge, or height and width")
            }
        }
        var crop: PictureSize?
        if try flag(.crops, cropsByDefault) {
            guard let sides = try values.decodeIfPresent(Extent.self, forKey: .crop)?.sides else {
                throw refused(.crop, "needs a number, or height and width")
            }
            crop = sides
        }
        let sides = [crop?.width, crop?.height].compactMap { $0 }
        let targets: [Int] =
            switch size {
            case .shortestEdge(let edge): [edge]
            case .exactly(let sides): [sides.width, sides.height]
            case nil: []
            }
        guard (sides + targets).allSatisfy({ (1...8192).contains($0) }) else {
            throw refused(.size, "sizes must be in 1...8192")
        }
        let number = try values.decodeIfPresent(Int.self, forKey: .filter) ?? 3
        guard let filter = ResizeFilter(rawValue: number) else {
            throw refused(.filter, "\(number) is not one of the filters 0...5")
        }
        let scale = try values.decodeIfPresent(Double.self, forKey: .rescaleFactor) ?? 1.0 / 255
        var (mean, deviation): ([Float]?, [Float]?)
        if try flag(.normalises, true) {
            func three(_ key: CodingKeys) throws -> [Float] {
                let numbers = try values.decodeIfPresent([Float].self, forKey: key) ?? []
                guard numbers.count == 3 else { throw refused(key, "needs three numbers") }
                return numbers
            }
            mean = try three(.mean)
            deviation = try three(.deviation)
            guard deviation?.contains(0) == false else { throw refused(.deviation, "has a zero") }
        }
        let pinpoints = try values.decodeIfPresent([[Int]].self, forKey: .pinpoints) ?? []
        guard kind != .anyres || !pinpoints.isEmpty else {
            throw refused(.pinpoints, "needs a list of resolutions")
        }
        self.init(
            kind: kind, size: size, filter: filter, crop: crop,
            rescaleFactor: try flag(.rescales, true) ? scale : nil, mean: mean,
            deviation: deviation, pinpoints: pinpoints)
    }
}
