import Torch
import TorchNN

/// Where the pooled embedding comes from.
public enum PooledHead: String, Codable, CaseIterable, Sendable {
    /// A low-rank head of its own.
    case head
    /// The first columns of what the prompt's head makes of the pooled token, as of one Epigone with one width.
    case slice
}

/// Epigone hyperparameters, read from `epigone` in `config.json` and in a stage file.
public struct EpigoneConfiguration: Codable, Equatable, Sendable {
    /// Width between the two linear layers of each head (256 in the paper).
    public var rank: Int
    /// How much of each token's place in the picture is added to its prompt vector, as sines and cosines in the
    /// denoiser's coordinates; 0, the paper's, adds none. A denoiser takes its prompt as a set: without this only what
    /// the tokens themselves tell of their places says where they belong.
    public var places: Double
    /// `head`, or `slice` as the paper's single width reads.
    public var pooled: PooledHead

    public init(rank: Int = 256, places: Double = 0, pooled: PooledHead = .head) {
        self.rank = rank
        self.places = places
        self.pooled = pooled
    }

    enum CodingKeys: String, CodingKey, CaseIterable { case rank, places, pooled }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        rank = try values.decodeIfPresent(Int.self, forKey: .rank) ?? 256
        places = try values.number(.places, standard: 0)
        pooled = try values.decodeIfPresent(PooledHead.self, forKey: .pooled) ?? .head
    }
}

/// Turns visual tokens into the denoiser's prompt: `c = Epigone(V, P)` (VLSA equation 4).
///
/// Two low-rank heads, Linear → SiLU → Linear: one gives the prompt embeddings from the visual tokens `V`, one
/// the pooled embedding from the pooled token `P`, each at the width that the denoiser was made for; or one for both
/// (``PooledHead/slice``).
public struct Epigone {
    let contextIn: Linear
    let contextOut: Linear
    let pooledHead: (entry: Linear, out: Linear)?  // nil: the prompt's own, cut to the width
    let pooledWidth: Int
    let places: Tensor?

    /// - Parameter places: codes of the tokens' places, `[1, l, contextWidth]`, as `configuration` wants them.
    public init(
        _ configuration: EpigoneConfiguration, width: Int, contextWidth: Int, pooledWidth: Int,
        places: @autoclosure () -> Tensor, in scope: ParameterScope
    ) throws {
        guard configuration.rank > 0 else {
            throw VLSAError.configuration(
                "epigone.rank is \(configuration.rank); it must be 1 or more")
        }
        contextIn = try Linear(width, configuration.rank, in: scope["context"]["linear_1"])
        contextOut = try Linear(configuration.rank, contextWidth, in: scope["context"]["linear_2"])
        self.pooledWidth = pooledWidth
        switch configuration.pooled {
        case .head:
            pooledHead = (
                try Linear(width, configuration.rank, in: scope["pooled"]["linear_1"]),
                try Linear(configuration.rank, pooledWidth, in: scope["pooled"]["linear_2"])
            )
        case .slice:
            guard pooledWidth <= contextWidth else {
                throw VLSAError.configuration(
                    "epigone.pooled is slice, but the denoiser's pooled width \(pooledWidth) is more than its "
                        + "context width \(contextWidth), of which it would be cut")
            }
            pooledHead = nil
        }
        self.places = configuration.places == 0 ? nil : places() * configuration.places
    }

    /// - Parameters:
    ///   - tokens: projected visual tokens, `[B, l, d]`.
    ///   - pooled: the projected pooled token, `[B, d]`.
    /// - Returns: prompt embeddings `[B, l, context width]` and the pooled embedding `[B, pooled width]`.
    public func callAsFunction(_ tokens: Tensor, pooled: Tensor) -> (
        context: Tensor, pooled: Tensor
    ) {
        func prompt(_ x: Tensor) -> Tensor { contextOut(contextIn.activated(.silu, x)) }
        let context = prompt(tokens)
        return (
            places.map { context + $0.to(context.device).to(context.dtype) } ?? context,
            pooledHead.map { $0.out($0.entry.activated(.silu, pooled)) }
                ?? prompt(pooled).narrowed(axis: -1, start: 0, length: pooledWidth)
        )
    }
}
