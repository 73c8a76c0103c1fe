import AnyRes
import Codecs
import Corpus
import Torch
import TorchNN

// Shapes: P pictures, N visual tokens, s shift, M = P (N - s) places, D depths, H language width, E head width.

/// ASVR hyperparameters, read from `objective.asvr` in `config.json` and in a stage file.
public struct ASVRConfiguration: Codable, Equatable, Sendable {
    /// Width of the visual head, a multiple of ``headCount``.
    public var width: Int
    /// Layers of the head's depth transformer.
    public var layerCount: Int
    /// Attention heads of a layer.
    public var headCount: Int
    /// How many tokens ahead a place's state predicts: 0, the released code's, the codes of the place's own token, 1, the
    /// paper's figure, those of the next one.
    public var visualShift: Int

    /// Settings; the defaults are those of the released code.
    public init(width: Int = 2048, layerCount: Int = 3, headCount: Int = 16, visualShift: Int = 0) {
        self.width = width
        self.layerCount = layerCount
        self.headCount = headCount
        self.visualShift = visualShift
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case width
        case layerCount = "layers"
        case headCount = "heads"
        case visualShift
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let defaults = ASVRConfiguration()
        width = try values.size(.width, standard: defaults.width, limit: 1 << 16)
        layerCount = try values.size(.layerCount, standard: defaults.layerCount, limit: 1 << 10)
        headCount = try values.size(.headCount, standard: defaults.headCount, limit: 1 << 16)
        visualShift =
            try values.decodeIfPresent(Int.self, forKey: .visualShift) ?? defaults.visualShift
        try values.require(
            (0...1).contains(visualShift), .visualShift, "must be 0 or 1, not \(visualShift)")
        try values.require(
            width % headCount == 0, .headCount,
            "\(headCount) heads do not divide the width \(width)")
    }
}

/// Autoregressive semantic visual reconstruction (ASVR, arXiv:2506.09040): the decoder's last hidden states at a picture's
/// places predict the frozen codes of its visual tokens.
///
/// `L = 1/D Σ_d mean CE(head_d, code_d)`, over the places. With a shift of 1 the first token has nothing that predicts it.
public struct ASVR {
    /// What the head is built by.
    public let configuration: ASVRConfiguration
    /// The frozen codebook.
    public let codes: any PictureCodes
    let entry: FeedForward
    let head: DepthTransformer
    let side: Int
    let frame: TargetFrame

    /// - Parameters:
    ///   - side: visual tokens along a picture's side.
    ///   - stateWidth: H.
    init(
        _ configuration: ASVRConfiguration, codes: any PictureCodes, side: Int, stateWidth: Int,
        frame: TargetFrame, in scope: ParameterScope
    ) throws {
        try codes.check(side: side)
        guard configuration.visualShift < side * side else {
            throw VLSAError.configuration(
                "objective.asvr.visualShift is \(configuration.visualShift), but a picture has one visual token"
            )
        }
        (self.configuration, self.codes) = (configuration, codes)
        (self.side, self.frame) = (side, frame)
        let (width, spread) = (configuration.width, Initial.normal(deviation: 0.02))
        let projector = scope["projector"]
        entry = FeedForward(
            first: try Linear(stateWidth, width, initial: spread, in: projector[0]),
            second: try Linear(width, width, initial: spread, in: projector[2]), activation: .gelu)
        head = try DepthTransformer(
            width: width, layerCount: configuration.layerCount, headCount: configuration.headCount,
            depth: codes.depth, codeCount: codes.codeCount, codeWidth: codes.width,
            in: scope["rqtransformer_semantic"])
    }

    /// The frozen codes of some pictures, int64 `[P, N, D]`.
    ///
    /// - Parameters:
    ///   - keys: of the pictures' content and cut, for the cache; as many as pictures.
    ///   - cache: where codes are kept; nil computes them every time.
    public func targets(
        of pictures: [TiledPicture], keys: [String] = [], cache: CodeCache? = nil, device: Device
    ) throws -> Tensor {
        let shape = GridShape(rows: side, columns: side * codes.depth)
        let grids = try pictures.enumerated().map { index, picture in
            func make() throws -> CodeGrid {
                try codes.codes(of: frame.pixels(of: picture), side: side)
            }
            guard let cache, index < keys.count else { return try make() }
            return try cache.grid(
                picture: frame.key(keys[index]), fingerprint: codes.fingerprint,
                codeCount: codes.codeCount, shape: shape, make: make)
        }
        return Tensor(
            grids.flatMap(\.values), shape: [pictures.count, side * side, codes.depth],
            device: device)
    }

    /// Sum over the pictures of each one's mean cross-entropy over places and depths, a float32 scalar.
    ///
    /// - Parameters:
    ///   - targets: codes, int64 `[P, N, D]`.
    ///   - states: the decoder's last hidden states at the pictures' places, `[P, N, H]`.
    public func loss(of targets: Tensor, states: Tensor) -> Tensor {
        let (shift, depth) = (configuration.visualShift, codes.depth)
        let count = states.shape[1] - shift
        let told = states.narrowed(axis: 1, start: 0, length: count).reshaped([-1, states.shape[2]])
        let wanted = targets.narrowed(axis: 1, start: shift, length: count).reshaped([-1, depth])
        let read = head(entry(told), vectors: depth > 1 ? codes.vectors(of: wanted) : nil)
        return head.loss(read, codes: wanted) / Double(count * depth)
    }
}
