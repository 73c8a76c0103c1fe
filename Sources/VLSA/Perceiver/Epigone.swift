import Torch
import TorchNN

/// Epigone hyperparameters, read from `epigone` in `config.json` and in a stage file.
public struct EpigoneConfiguration: Codable, Equatable, Sendable {
    /// Width between the two linear layers of each head (256 in the paper).
    public var rank: Int

    public init(rank: Int = 256) { self.rank = rank }

    enum CodingKeys: String, CodingKey, CaseIterable { case rank }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        rank = try values.decodeIfPresent(Int.self, forKey: .rank) ?? 256
    }
}

/// Turns visual tokens into the denoiser's prompt: `c = Epigone(V, P)` (VLSA equation 4).
///
/// Two low-rank heads, Linear → SiLU → Linear: one gives the prompt embeddings from the visual tokens `V`, one
/// the pooled embedding from the pooled token `P`, each at the width that the denoiser was made for.
public struct Epigone {
    let contextIn: Linear
    let contextOut: Linear
    let pooledIn: Linear
    let pooledOut: Linear

    public init(
        _ configuration: EpigoneConfiguration, width: Int, contextWidth: Int, pooledWidth: Int,
        in scope: ParameterScope
    ) throws {
        guard configuration.rank > 0 else {
            throw VLSAError.configuration("epigone.rank is \(configuration.rank); it must be 1 or more")
        }
        contextIn = try Linear(width, configuration.rank, in: scope["context"]["linear_1"])
        contextOut = try Linear(configuration.rank, contextWidth, in: scope["context"]["linear_2"])
        pooledIn = try Linear(width, configuration.rank, in: scope["pooled"]["linear_1"])
        pooledOut = try Linear(configuration.rank, pooledWidth, in: scope["pooled"]["linear_2"])
    }

    /// - Parameters:
    ///   - tokens: projected visual tokens, `[B, l, d]`.
    ///   - pooled: the projected pooled token, `[B, d]`.
    /// - Returns: prompt embeddings `[B, l, context width]` and the pooled embedding `[B, pooled width]`.
    public func callAsFunction(_ tokens: Tensor, pooled: Tensor) -> (context: Tensor, pooled: Tensor) {
        (contextOut(contextIn(tokens).silu()), pooledOut(pooledIn(pooled).silu()))
    }
}
