import Torch

/// Linear layers of the same input, in training computed as one product.
///
/// Each stays a layer under its own name, to be loaded, frozen, adapted and saved by itself. Only their memory is
/// laid together once the store is told what to train; a model that only answers leaves weights where they are,
/// which may be in a mapped file.
public struct JoinedLinear {
    /// The layers in the order of their outputs.
    public let layers: [Linear]
    private let widths: [Int]

    /// Joins layers of one input width, which all have a bias or all have none.
    public init(_ layers: [Linear], in scope: ParameterScope) {
        self.layers = layers
        widths = layers.map { $0.weight.shape[0] }
        let biases = layers.compactMap(\.bias)
        guard biases.isEmpty || biases.count == layers.count else {
            fatalError("joined layers: \(biases.count) of \(layers.count) have a bias")
        }
        scope.store.join(layers.map(\.weight))
        scope.store.join(biases)
    }

    /// - Parameter input: `[…, in]`.
    /// - Returns: every layer's `[…, out]`.
    public func callAsFunction(_ input: Tensor) -> [Tensor] {
        guard let all = product(input) else { return layers.map { $0(input) } }
        return zip(layers, all.split(sizes: widths, axis: -1)).map { $0.adapted($1, of: input) }
    }

    /// `function(first(x)) * second(x)` of two layers of one width: the gated linear unit.
    public func gated(_ function: Tensor.Nonlinearity, _ input: Tensor) -> Tensor {
        if layers.allSatisfy({ $0.adapter == nil }), let all = product(input) {
            return all.gatedHalves(function)
        }
        let outputs = self(input)
        return .gated(function, gate: outputs[0], up: outputs[1])
    }

    /// All layers' own outputs side by side, where their weights lie together.
    private func product(_ input: Tensor) -> Tensor? {
        let (weights, biases) = (layers.map(\.weight), layers.compactMap(\.bias))
        guard Tensor.lieTogether(weights) else { return nil }
        return input.linear(.joined(weights), bias: biases.isEmpty ? nil : .joined(biases))
    }
}
