/// A tower's hyperparameters: `config.json` of one of the families, alone or under `vision_config`.
public enum VisionConfiguration: Equatable, Sendable {
    case clip(CLIPVisionConfiguration)
    case siglip(SigLIPVisionConfiguration)
    case dinov2(DINOv2Configuration)

    /// The family's own.
    private var sizes: any TowerSizes {
        switch self {
        case .clip(let c): c
        case .siglip(let c): c
        case .dinov2(let c): c
        }
    }

    /// Token width.
    public var width: Int { sizes.width }
    /// Width inside a feed-forward layer.
    public var hiddenWidth: Int { sizes.hiddenWidth }
    /// Side of a patch in pixels.
    public var patchSize: Int { sizes.patchSize }
    /// Side of the picture in pixels.
    public var imageSize: Int { sizes.imageSize }
    /// Number of layers.
    public var layerCount: Int { sizes.layerCount }

    /// Patches along a side; a rest that fills no patch is ignored.
    public var patchesPerSide: Int { imageSize / patchSize }

    /// Patches of a picture.
    public var tokenCount: Int { patchesPerSide * patchesPerSide }

    /// Whether a class token stands in front of the patches.
    public var hasClassToken: Bool {
        if case .siglip = self { false } else { true }
    }

    /// The family's standard pixel normalisation; a folder's `preprocessor_config.json` may say
    /// otherwise.
    public var normalization: PixelNormalization {
        switch self {
        case .clip: .clip
        case .siglip: .siglip
        case .dinov2: .imageNet
        }
    }
}

extension VisionConfiguration: Codable {
    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case vision = "vision_config"
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let kind = try values.decodeIfPresent(String.self, forKey: .modelType)
        let nested = values.contains(.vision)
        switch kind {
        case "clip_vision_model", "clip", nil:
            // Without a model type this is the class that vision-language configurations take for
            // granted.
            self = .clip(
                nested
                    ? try values.decode(CLIPVisionConfiguration.self, forKey: .vision)
                    : try CLIPVisionConfiguration(from: decoder))
        case "siglip_vision_model", "siglip":
            self = .siglip(
                nested
                    ? try values.decode(SigLIPVisionConfiguration.self, forKey: .vision)
                    : try SigLIPVisionConfiguration(from: decoder))
        case "dinov2":
            self = .dinov2(try DINOv2Configuration(from: decoder))
        case let other?:
            guard nested else {
                throw DecodingError.dataCorruptedError(
                    forKey: .modelType, in: values,
                    debugDescription: "\"\(other)\" is no vision tower known here; "
                        + "known are clip, siglip, dinov2")
            }
            self = try values.decode(VisionConfiguration.self, forKey: .vision)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .clip(let c): try c.encode(to: encoder)
        case .siglip(let c): try c.encode(to: encoder)
        case .dinov2(let c): try c.encode(to: encoder)
        }
    }
}

/// What every family of towers has.
protocol TowerSizes {
    var width: Int { get }
    var hiddenWidth: Int { get }
    var layerCount: Int { get }
    var headCount: Int { get }
    var imageSize: Int { get }
    var patchSize: Int { get }
}

extension CLIPVisionConfiguration: TowerSizes {}
extension SigLIPVisionConfiguration: TowerSizes {}
extension DINOv2Configuration: TowerSizes {}

extension KeyedDecodingContainer {
    /// Throws where heads do not divide the width, or no patch fits the picture.
    func require(_ sizes: some TowerSizes, heads: Key, patch: Key) throws {
        try require(
            sizes.width % sizes.headCount == 0, heads,
            "\(sizes.headCount) heads do not divide width \(sizes.width)")
        try require(
            sizes.patchSize <= sizes.imageSize, patch,
            "larger than image_size \(sizes.imageSize)")
    }
}

/// The keys by which a reader of `config.json` knows the class.
enum FamilyKeys: String, CodingKey {
    case modelType = "model_type"
    case architectures
    case className = "_class_name"
}
