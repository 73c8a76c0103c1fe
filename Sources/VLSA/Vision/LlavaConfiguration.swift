/// A whole LLaVA: `config.json` of `llava` (1.5) or `llava_next`, or of an original LLaVA
/// checkpoint.
public struct LlavaConfiguration: Codable, Equatable, Sendable {
    /// The tower.
    public let vision: VisionConfiguration
    /// The decoder.
    public let language: LanguageConfiguration
    /// Which of the tower's tokens the decoder sees.
    public let features: FeatureSelection
    /// The id that stands for a picture's tokens in a prompt.
    public let imageTokenID: Int
    /// Canvases for tiling; empty for one square picture (LLaVA-1.5).
    public let pinpoints: [GridSize]
    /// Cuts padding off as the original code does.
    public let truncatesUnpadding: Bool

    enum CodingKeys: String, CodingKey {
        case modelType = "model_type"
        case architectures
        case vision = "vision_config"
        case language = "text_config"
        case imageTokenIndex = "image_token_index"
        case imageTokenID = "image_token_id"
        case pinpoints = "image_grid_pinpoints"
        case activation = "projector_hidden_act"
        case tiesEmbeddings = "tie_word_embeddings"
        case originalProjector = "mm_projector_type"
        case originalLayer = "mm_vision_select_layer"
        case originalSelection = "mm_vision_select_feature"
        case originalMerge = "mm_patch_merge_type"
        case originalShape = "image_aspect_ratio"
    }

    public init(
        vision: VisionConfiguration, language: LanguageConfiguration,
        features: FeatureSelection = .init(), imageTokenID: Int, pinpoints: [GridSize] = [],
        truncatesUnpadding: Bool = false
    ) {
        self.vision = vision
        self.language = language
        self.features = features
        self.imageTokenID = imageTokenID
        self.pinpoints = pinpoints
        self.truncatesUnpadding = truncatesUnpadding
    }

    /// CLIP-L/14 at 336 pixels, what a LLaVA without a word about its tower has.
    public static let standardTower = VisionConfiguration.clip(
        CLIPVisionConfiguration(
            width: 1024, hiddenWidth: 4096, layerCount: 24, headCount: 16, imageSize: 336,
            patchSize: 14, projectionWidth: 768))

    /// The tokens' layout; nil when a picture is one square.
    public var packing: AnyResPacking? {
        pinpoints.isEmpty
            ? nil
            : AnyResPacking(
                pinpoints: pinpoints, tileSize: vision.imageSize, side: vision.patchesPerSide,
                truncatesUnpadding: truncatesUnpadding)
    }
}

extension LlavaConfiguration {
    /// The id that original checkpoints leave in a prompt for a picture; no vocabulary has it.
    public static let originalImageTokenID = -200

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let kind = try values.decodeIfPresent(String.self, forKey: .modelType) ?? ""
        switch kind {
        case "llava_next", "llava":
            if try values.decodeIfPresent(String.self, forKey: .originalProjector) != nil {
                try self.init(original: values, decoder)
            } else {
                try self.init(hub: values, decoder, tiles: kind == "llava_next")
            }
        case "llava_llama", "llava_mistral", "llava_qwen":
            try self.init(original: values, decoder)
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .modelType, in: values,
                debugDescription:
                    "\"\(kind)\" is no LLaVA known here; known are llava_next, llava, "
                    + "llava_llama, llava_mistral, llava_qwen")
        }
    }

    private init(
        hub values: KeyedDecodingContainer<CodingKeys>, _ decoder: any Decoder, tiles: Bool
    ) throws {
        vision =
            try values.decodeIfPresent(VisionConfiguration.self, forKey: .vision)
            ?? Self.standardTower
        language = try values.decode(LanguageConfiguration.self, forKey: .language)
        features = try FeatureSelection(from: decoder)
        imageTokenID =
            try values.decodeIfPresent(Int.self, forKey: .imageTokenIndex)
            ?? values.decodeIfPresent(Int.self, forKey: .imageTokenID) ?? 32_000
        let activation =
            try values.decodeIfPresent(Activation.self, forKey: .activation) ?? .gelu
        try values.require(
            activation == .gelu, .activation, "only gelu is known here")
        pinpoints =
            tiles
            ? try values.decodeIfPresent([GridSize].self, forKey: .pinpoints)
                ?? Self.standardPinpoints : []
        try Self.check(pinpoints, tile: vision.imageSize, values)
        truncatesUnpadding = false
    }

    /// Keys of the original code: the decoder's at the top level, pinpoints as width and height,
    /// the tower elsewhere.
    private init(original values: KeyedDecodingContainer<CodingKeys>, _ decoder: any Decoder) throws
    {
        let projector = try values.decodeIfPresent(String.self, forKey: .originalProjector)
        try values.require(
            projector == "mlp2x_gelu", .originalProjector,
            "only mlp2x_gelu is known here, not \"\(projector ?? "linear")\"")
        vision =
            try values.decodeIfPresent(VisionConfiguration.self, forKey: .vision)
            ?? Self.standardTower
        language = try LanguageConfiguration(from: decoder)
        let chosen = try values.decodeIfPresent(String.self, forKey: .originalSelection) ?? "patch"
        try values.require(
            ["patch", "cls_patch"].contains(chosen), .originalSelection,
            "\"\(chosen)\" is not known; known are patch and cls_patch")
        features = FeatureSelection(
            layer: try values.decodeIfPresent(Int.self, forKey: .originalLayer) ?? -2,
            keepsClassToken: chosen == "cls_patch")
        imageTokenID = Self.originalImageTokenID
        let shape = try values.decodeIfPresent(String.self, forKey: .originalShape) ?? "pad"
        if shape == "anyres" {
            let merge = try values.decodeIfPresent(String.self, forKey: .originalMerge) ?? "flat"
            try values.require(
                merge == "spatial_unpad", .originalMerge,
                "only spatial_unpad is known with anyres, not \"\(merge)\"")
            pinpoints = try values.decode([GridSize].self, forKey: .pinpoints)
                .map { GridSize(height: $0.width, width: $0.height) }
        } else {
            pinpoints = []
        }
        try Self.check(pinpoints, tile: vision.imageSize, values)
        truncatesUnpadding = true
    }

    private static let standardPinpoints = [
        GridSize(height: 336, width: 672), GridSize(height: 672, width: 336),
        GridSize(height: 672, width: 672), GridSize(height: 1008, width: 336),
        GridSize(height: 336, width: 1008),
    ]

    private static func check(
        _ pinpoints: [GridSize], tile: Int, _ values: KeyedDecodingContainer<CodingKeys>
    ) throws {
        try values.require(
            pinpoints.allSatisfy { $0.height % tile == 0 && $0.width % tile == 0 }, .pinpoints,
            "every canvas must be whole tiles of \(tile) pixels")
    }

    /// Written as the hub's `llava` or `llava_next`.
    public func encode(to encoder: any Encoder) throws {
        let tiles = !pinpoints.isEmpty
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(tiles ? "llava_next" : "llava", forKey: .modelType)
        try values.encode(
            [tiles ? "LlavaNextForConditionalGeneration" : "LlavaForConditionalGeneration"],
            forKey: .architectures)
        try values.encode(vision, forKey: .vision)
        try values.encode(language, forKey: .language)
        try features.encode(to: encoder)
        try values.encode(imageTokenID, forKey: .imageTokenIndex)
        try values.encode(Activation.gelu, forKey: .activation)
        try values.encode(language.tiesEmbeddings, forKey: .tiesEmbeddings)
        if tiles { try values.encode(pinpoints, forKey: .pinpoints) }
    }
}
