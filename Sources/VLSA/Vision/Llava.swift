import Torch
import TorchNN

// Shapes: P pictures, g tiles of a picture, S tile side, n n tokens of a tile, B batch, T tokens, D
// language width.

/// A prompt whose places for picture tokens are not as many as its pictures' tokens.
public struct LlavaPromptError: Error, Equatable, CustomStringConvertible {
    /// Places for picture tokens in the prompt.
    public let places: Int
    /// Tokens that the pictures give.
    public let tokens: Int

    public var description: String {
        "the prompt holds \(places) places for picture tokens, but its pictures give \(tokens); "
            + "repeat the image token once for each token of each picture"
    }
}

/// LLaVA-1.5 and LLaVA-NeXT (arXiv:2310.03744 and the notes on 1.6), under the hub's names.
public struct Llava {
    /// The hyperparameters it was built from.
    public let configuration: LlavaConfiguration
    /// Under `vision_tower`.
    public let tower: any VisionTower
    /// Under `multi_modal_projector`.
    public let projector: Projector
    /// `[D]`, in LLaVA-NeXT.
    public let newline: Tensor?
    /// Under `language_model`.
    public let language: LanguageModel

    public init(_ configuration: LlavaConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let width = configuration.language.width
        tower = try makeVisionTower(configuration.vision, in: scope["vision_tower"])
        projector = try Projector(
            from: configuration.vision.width, to: width, in: scope["multi_modal_projector"])
        newline =
            configuration.packing == nil
            ? nil
            : try scope.parameter(
                "image_newline", shape: [width],
                initial: .normal(deviation: 1 / Double(width).squareRoot()))
        language = try LanguageModel(configuration.language, in: scope["language_model"])
    }

    /// A picture, cut and normalised, with its size before that.
    public struct Picture {
        /// `[g, 3, S, S]`, the whole picture first; tiles beyond the picture's own are passed over.
        public let tiles: Tensor
        public let height: Int
        public let width: Int

        public init(tiles: Tensor, height: Int, width: Int) {
            self.tiles = tiles
            self.height = height
            self.width = width
        }
    }

    /// Tokens of each picture for the decoder, `[tokens, D]`; one pass of the tower for all tiles.
    public func features(_ pictures: [Picture]) -> [Tensor] {
        guard !pictures.isEmpty else { return [] }
        let counts = pictures.map { picture in
            configuration.packing?.tileCount(height: picture.height, width: picture.width) ?? 1
        }
        let tiles = zip(pictures, counts).map { picture, count in
            picture.tiles.narrowed(axis: 0, start: 0, length: count)
        }
        let seen = projector(
            tower.features(Tensor.concatenated(tiles, axis: 0), configuration.features))
        return zip(seen.split(sizes: counts, axis: 0), pictures).map { tokens, picture in
            guard let packing = configuration.packing, let newline else {
                return tokens.reshaped([-1, tokens.shape[2]])
            }
            return packing.pack(
                tokens, height: picture.height, width: picture.width, newline: newline)
        }
    }

    /// The decoder's input, `[B, T, D]`: text where text is, pictures' tokens at the image token's
    /// places, in order.
    ///
    /// - Parameters:
    ///   - ids: rows of equal length.
    ///   - pictures: in order of appearance, row by row.
    public func embeddings(_ ids: [[Int]], pictures: [Picture]) throws -> Tensor {
        let length = ids.first?.count ?? 0
        let flat = ids.flatMap { $0 }
        let device = language.embedding.device
        let places = flat.indices.filter { flat[$0] == configuration.imageTokenID }
        let text = language.embed(
            Tensor(
                flat.map { $0 == configuration.imageTokenID ? 0 : $0 }, shape: [flat.count],
                device: device))
        let tokens = features(pictures)
        let count = tokens.reduce(0) { $0 + $1.shape[0] }
        guard count == places.count else {
            throw LlavaPromptError(places: places.count, tokens: count)
        }
        guard count > 0 else { return text.reshaped([ids.count, length, -1]) }
        return text.replacingRows(
            Tensor(places, shape: [places.count], device: device),
            with: Tensor.concatenated(tokens, axis: 0).to(text.dtype)
        ).reshaped([ids.count, length, -1])
    }
}
