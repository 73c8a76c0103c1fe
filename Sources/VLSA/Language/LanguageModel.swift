import Torch
import TorchNN

// Shapes: B batch, T tokens, D width, V vocabulary.

/// A Llama, Qwen2 or Mistral decoder, under the hub's names: `model.layers.0…`, `lm_head`.
public struct LanguageModel {
    /// The hyperparameters it was built from.
    public let configuration: LanguageConfiguration
    let embedding: Tensor  // [V, D]
    let layers: [DecoderLayer]
    let norm: RMSNorm
    let head: Tensor  // [V, D]; the embedding itself when tied
    let rotary: RotaryTable

    public init(_ configuration: LanguageConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let (count, width) = (configuration.vocabularySize, configuration.width)
        let model = scope["model"]
        embedding = try model["embed_tokens"].parameter(
            "weight", shape: [count, width], initial: .normal(deviation: 0.02))
        layers = try (0..<configuration.layerCount).map { index in
            try DecoderLayer(configuration, layer: index, in: model["layers"][index])
        }
        norm = try RMSNorm(width, epsilon: configuration.epsilon, in: model["norm"])
        head =
            configuration.tiesEmbeddings
            ? try scope["lm_head"].tied("weight", to: model["embed_tokens"].name("weight"))
            : try scope["lm_head"].parameter(
                "weight", shape: [count, width], initial: .normal(deviation: 0.02))
        rotary = RotaryTable(
            headWidth: configuration.headWidth, theta: configuration.theta,
            scaling: configuration.scaling, device: scope.store.device)
    }

    /// Token width.
    public var width: Int { configuration.width }

    /// Vectors of token ids: int64 `[...]` to `[..., D]`.
    public func embed(_ ids: Tensor) -> Tensor { embedding.rows(at: ids) }

    /// The last hidden state, normed: `[B, T, D]` of `[B, T, D]`.
    ///
    /// With a `cache` the tokens follow those already in it, whose keys and values are not computed
    /// again. `isCheckpointed` keeps only what passes from layer to layer for the derivative.
    public func callAsFunction(
        _ embeddings: Tensor, layout: SequenceLayout = .dense, cache: KeyValueCache? = nil,
        isCheckpointed: Bool = false
    ) -> Tensor {
        let pass = pass(embeddings, layout: layout, cache: cache)
        var hidden = embeddings
        for layer in layers {
            hidden = checkpointed(hidden, when: isCheckpointed) { layer($0, pass) }
        }
        cache?.advance(by: embeddings.shape[1])
        return norm(hidden)
    }

    /// The embeddings, then every layer's output, the last one normed, as the reference counts
    /// them.
    public func hiddenStates(_ embeddings: Tensor, layout: SequenceLayout = .dense) -> [Tensor] {
        let pass = pass(embeddings, layout: layout, cache: nil)
        var states = [embeddings]
        for layer in layers { states.append(layer(states[states.count - 1], pass)) }
        states[states.count - 1] = norm(states[states.count - 1])
        return states
    }

    /// Scores of the next token, fp32: `[..., V]` of normed hidden rows `[..., D]`.
    ///
    /// A vocabulary is wide: choose the rows first.
    public func logits(_ hidden: Tensor) -> Tensor { hidden.linear(head).to(.float32) }

    func pass(
        _ embeddings: Tensor, layout: SequenceLayout, cache: KeyValueCache?
    ) -> DecoderPass {
        guard embeddings.rank == 3, embeddings.shape[2] == width else {
            fatalError("decoder of width \(width): embeddings \(embeddings.shape), not [B, T, D]")
        }
        let (count, past) = (embeddings.shape[1], cache?.length ?? 0)
        let device = embeddings.device
        let (cosines, sines) = rotary(
            positions: layout.positions(count: count, past: past, device: device),
            dtype: embeddings.dtype)
        var plans: [Int?: AttentionPlan] = [:]
        for index in layers.indices {
            let window = configuration.window(ofLayer: index)
            if plans[window] == nil {
                plans[window] = AttentionPlan(
                    layout: layout, count: count, past: past, window: window, device: device)
            }
        }
        return DecoderPass(cosines: cosines, sines: sines, plans: plans, cache: cache)
    }
}
