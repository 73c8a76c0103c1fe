import Torch
import TorchNN

// Shapes: B batch, T new tokens, S all tokens, D width, H query heads, K key-value heads, d head
// width.

/// Rotary positions and visibility that all layers of one forward pass share.
struct DecoderPass {
    let cosines: Tensor
    let sines: Tensor
    /// By window; layers without one use the key nil.
    let plans: [Int?: AttentionPlan]
    let cache: KeyValueCache?
}

/// Causal attention with rotary positions and grouped key-value heads.
struct DecoderAttention {
    let entry: JoinedLinear  // query, key, value
    let out: Linear
    let headWidth: Int
    let window: Int?
    let index: Int

    init(_ configuration: LanguageConfiguration, layer index: Int, in scope: ParameterScope) throws
    {
        let (width, d) = (configuration.width, configuration.headWidth)
        let (wide, narrow) = (configuration.headCount * d, configuration.keyValueHeadCount * d)
        let spread = Initial.normal(deviation: 0.02)
        let bias = configuration.hasQueryKeyValueBias
        entry = JoinedLinear(
            [
                try Linear(width, wide, bias: bias, initial: spread, in: scope["q_proj"]),
                try Linear(width, narrow, bias: bias, initial: spread, in: scope["k_proj"]),
                try Linear(width, narrow, bias: bias, initial: spread, in: scope["v_proj"]),
            ], in: scope)
        out = try Linear(
            wide, width, bias: configuration.hasOutputBias, initial: spread, in: scope["o_proj"])
        headWidth = d
        window = configuration.window(ofLayer: index)
        self.index = index
    }

    /// - Parameter x: `[B, T, D]`; so is the result.
    func callAsFunction(_ x: Tensor, _ pass: DecoderPass) -> Tensor {
        guard let plan = pass.plans[window] else {
            fatalError(
                "decoder layer \(index): no attention plan for window \(String(describing: window))"
            )
        }
        let entered = entry(x).map(heads)
        let q = applyRotary(entered[0], pass.cosines, pass.sines)  // [B, H, T, d]
        var k = applyRotary(entered[1], pass.cosines, pass.sines)  // [B, K, T, d]
        var v = entered[2]
        if let cache = pass.cache { (k, v) = cache.append(layer: index, key: k, value: v) }
        return out(plan.attend(query: q, key: k, value: v).joinedHeads())
    }

    func heads(_ x: Tensor) -> Tensor { x.splitHeads(x.shape[2] / headWidth) }
}

/// `down(act(gate x) * up x)`.
struct GatedFeedForward {
    let entry: JoinedLinear  // gate, up
    let down: Linear
    let activation: Activation

    init(_ configuration: LanguageConfiguration, in scope: ParameterScope) throws {
        let (width, hidden) = (configuration.width, configuration.hiddenWidth)
        let (bias, spread) = (configuration.hasFeedForwardBias, Initial.normal(deviation: 0.02))
        entry = JoinedLinear(
            [
                try Linear(width, hidden, bias: bias, initial: spread, in: scope["gate_proj"]),
                try Linear(width, hidden, bias: bias, initial: spread, in: scope["up_proj"]),
            ], in: scope)
        down = try Linear(hidden, width, bias: bias, initial: spread, in: scope["down_proj"])
        activation = configuration.activation
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        down(entry.gated(activation.function, x))
    }
}

/// One pre-norm decoder layer.
struct DecoderLayer {
    let norm1: RMSNorm
    let attention: DecoderAttention
    let norm2: RMSNorm
    let feedForward: GatedFeedForward

    init(_ configuration: LanguageConfiguration, layer index: Int, in scope: ParameterScope) throws
    {
        let (width, epsilon) = (configuration.width, configuration.epsilon)
        norm1 = try RMSNorm(width, epsilon: epsilon, in: scope["input_layernorm"])
        attention = try DecoderAttention(configuration, layer: index, in: scope["self_attn"])
        norm2 = try RMSNorm(width, epsilon: epsilon, in: scope["post_attention_layernorm"])
        feedForward = try GatedFeedForward(configuration, in: scope["mlp"])
    }

    /// - Parameter x: `[B, T, D]`; so is the result.
    func callAsFunction(_ x: Tensor, _ pass: DecoderPass) -> Tensor {
        let attended = x + attention(norm1(x), pass)
        return attended + feedForward(norm2(attended))
    }
}
