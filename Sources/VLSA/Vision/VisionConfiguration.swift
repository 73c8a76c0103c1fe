/// A tower's hyperparameters: `config.json` of one of the families, alone or under `vision_config`.
public enum VisionConfiguration: Equatable, Sendable {
    case clip(CLIPVisionConfiguration)
    case siglip(SigLIPVisionConfiguration)
    case dinov2(DINOv2Configuration)

    /// Token width.
    public var width: Int {
        switch self {
        case .clip(let c): c.width
        case .siglip(let c): c.width
        case .dinov2(let c): c.width
        }
    }

    /// Width inside a feed-forward layer.
    public var hiddenWidth: Int {
        switch self {
        case .clip(let c): c.hiddenWidth
        case .siglip(let c): c.hiddenWidth
        case .dinov2(let c): c.hiddenWidth
        }
    }

    /// Side of a patch in pixels.
    public var patchSize: Int {
        switch self {
        case .clip(let c): c.patchSize
        case .siglip(let c): c.patchSize
        case .dinov2(let c): c.patchSize
        }
    }

    /// Side of the picture in pixels.
    public var imageSize: Int {
        switch self {
        case .clip(let c): c.imageSize
        case .siglip(let c): c.imageSize
        case .dinov2(let c): c.imageSize
        }
    }

    /// Number of layers.
    public var layerCount: Int {
        switch self {
        case .clip(let c): c.layerCount
        case .siglip(let c): c.layerCount
        case .dinov2(let c): c.layerCount
        }
    }

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

/// The keys by which a reader of `config.json` knows the class.
enum FamilyKeys: String, CodingKey {
    case modelType = "model_type"
    case architectures
    case className = "_class_name"
}
