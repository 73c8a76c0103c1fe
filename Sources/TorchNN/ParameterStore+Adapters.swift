import Torch

/// Adapters that layers built from now on are to have.
struct Adaptation {
    let configuration: LoRAConfiguration
    /// The file their values come from; nil for new adapters.
    let source: String?
    let patterns: [(text: String, whole: NamePattern, end: NamePattern)]

    /// Targets that match a layer.
    func targets(of layer: String) -> [String] {
        patterns.filter { $0.whole.matches(layer) || $0.end.matches(layer) }.map(\.text)
    }
}

extension ParameterStore {
    /// Gives every linear layer that is built from now on and matches the configuration's targets an adapter: its
    /// parameters are `lora_A.weight` and `lora_B.weight` beside the layer's own.
    ///
    /// ``checkComplete()`` makes sure that every target matched a layer.
    ///
    /// - Parameter source: the file that offered the adapters' values, all of which must be there; nil for new
    ///   adapters.
    public func adapt(_ configuration: LoRAConfiguration, source: String? = nil) {
        adaptations.append(
            Adaptation(
                configuration: configuration, source: source,
                patterns: configuration.targets.map {
                    ($0, NamePattern($0), NamePattern("*." + $0))
                }))
    }

    /// Names of the layers that have an adapter, sorted.
    public var adaptedLayers: [String] { adapters.keys.sorted() }

    /// The adapters of a layer; nil where it has none.
    public func adaptation(of layer: String) -> LoRAConfiguration? {
        adapters[layer]?.configuration
    }

    /// Whether a parameter is an adapter's.
    public func isAdapter(_ name: String) -> Bool { adapterParameters.contains(name) }

    /// Whether some adapter zeroes inputs in training.
    public var hasDropout: Bool { adapters.values.contains { $0.configuration.dropout > 0 } }

    /// The adapter of the linear layer `layer`, if it is to have one.
    func adapter(for layer: String, from inWidth: Int, to outWidth: Int) throws -> LowRankAdapter? {
        linearLayers.insert(layer)
        for adaptation in adaptations {
            let targets = adaptation.targets(of: layer)
            guard !targets.isEmpty else { continue }
            matchedTargets.formUnion(targets)
            let rank = adaptation.configuration.rank
            let adapter = LowRankAdapter(
                a: try adapterParameter(
                    layer + ".lora_A.weight", [rank, inWidth], .fanIn, adaptation),
                b: try adapterParameter(
                    layer + ".lora_B.weight", [outWidth, rank], .zeros, adaptation),
                configuration: adaptation.configuration, name: layer, noise: dropout)
            adapters[layer] = adapter
            return adapter
        }
        return nil
    }

    private func adapterParameter(
        _ name: String, _ shape: [Int], _ initial: Initial, _ adaptation: Adaptation
    ) throws -> Tensor {
        if let source = adaptation.source, !isOffered(name) {
            throw ParameterError.missing(
                name: name, source: source, nearest: nearestName(to: name, among: unclaimedNames))
        }
        adapterParameters.insert(name)
        return try parameter(name, shape: shape, initial: initial, dtype: nil)
    }

    /// A target that matched no layer, with the nearest layer's name.
    func checkTargets() throws {
        for target in adaptations.flatMap(\.configuration.targets)
        where !matchedTargets.contains(target) {
            let depth = target.split(separator: ".").count
            let ends = Set(
                linearLayers.map {
                    $0.split(separator: ".").suffix(depth).joined(separator: ".")
                })
            throw ParameterError.unmatchedTarget(
                target, nearest: nearestName(to: target, among: ends))
        }
    }

    /// Names and tensors in order under `prefix` as they are written: without the adapters' own parameters, which
    /// have files of their own.
    ///
    /// - Parameter merging: adds the adapters to the weights of their layers, so that the written model does
    ///   without them.
    public func saved(under prefix: String = "", merging: Bool = false) -> [(
        name: String, tensor: Tensor
    )] {
        tensors(under: prefix).filter { !isAdapter($0.name) }.map { name, tensor in
            guard merging, name.hasSuffix(".weight"),
                let adapter = adapters[String(name.dropLast(7))]
            else { return (name, tensor) }
            let merged = withoutGradients { tensor.detached().to(.float32) + adapter.delta }
            return (name, merged.to(tensor.dtype))
        }
    }
}
