import Foundation
import Torch
import TorchNN

// A model's adapters lie in `adapters/PART` of its folder, each a PEFT folder for the part's base model.

extension VLSAModel {
    /// Whether some layers have LoRA adapters.
    public var isAdapted: Bool { !store.adaptedLayers.isEmpty }

    /// Prepares `store` for the adapters of a model folder and for those a stage asks for.
    ///
    /// - Parameters:
    ///   - parts: those that will be built; the others' adapters are passed over with them.
    ///   - lora: what a stage asks for; where the folder has adapters already it must be what they are, and they are
    ///     trained on.
    static func prepareAdapters(
        of folder: String, parts: [String], lora: LoRAConfiguration?, in store: ParameterStore
    ) throws {
        var sources: [String] = []
        for part in parts {
            let path = folder + "/adapters/" + part
            guard FileManager.default.fileExists(atPath: path) else { continue }
            let adapters = try AdapterFolder(path)
            let layers = try adapters.offer(into: store, part: part) { name in
                // CLIP's and SigLIP's published names have one segment more than ours.
                let front = "vision_model."
                return part == "vision" && name.hasPrefix(front)
                    ? String(name.dropFirst(front.count)) : name
            }
            sources.append(adapters.file.path)
            guard let lora else {
                store.adapt(
                    LoRAConfiguration(
                        rank: adapters.rank, alpha: adapters.alpha, dropout: adapters.dropout,
                        targets: layers), source: adapters.file.path)
                continue
            }
            guard (lora.rank, lora.alpha) == (adapters.rank, adapters.alpha) else {
                throw VLSAError.configuration(
                    "lora: rank \(lora.rank) and alpha \(lora.alpha) are asked for, but \(path) has rank "
                        + "\(adapters.rank) and alpha \(adapters.alpha); merge it first (vlsa merge) "
                        + "or train it on as it is")
            }
        }
        if let lora { store.adapt(lora, source: sources.first) }
    }

    /// As above for a model whose folder is not there yet, with the shapes of `previous`.
    static func prepareAdapters(
        following previous: VLSAModel, parts: [String], lora: LoRAConfiguration?,
        in store: ParameterStore
    ) throws {
        let layers = previous.store.adaptedLayers.filter { layer in
            parts.contains(String(layer.prefix { $0 != "." }))
        }
        let source = "the stage before"
        for layer in layers {
            for name in [layer + ".lora_A.weight", layer + ".lora_B.weight"] {
                if let tensor = previous.store[name] {
                    try store.offer(name, tensor, source: source)
                }
            }
            guard lora == nil, var own = previous.store.adaptation(of: layer) else { continue }
            own.targets = [layer]
            store.adapt(own, source: source)
        }
        if let lora { store.adapt(lora, source: layers.isEmpty ? nil : source) }
    }

    /// Writes each adapted part's adapters as a PEFT folder beneath `folder`, with the values in `weights`.
    func saveAdapters(of weights: ParameterStore, to folder: String) throws {
        let byPart = Dictionary(grouping: weights.adaptedLayers) { String($0.prefix { $0 != "." }) }
        for (part, layers) in byPart.sorted(by: { $0.key < $1.key }) {
            try AdapterFolder.write(
                weights, part: part, layers: layers, task: part == "language" ? "CAUSAL_LM" : nil,
                to: folder + "/adapters/" + part
            ) { part == "vision" ? vision.configuration.publishedName($0) : $0 }
        }
    }

    /// Sets what the adapters' dropout masks follow from: the samples' generators, or nothing outside training.
    func prepareDropout(_ generators: [Generator]) {
        guard store.hasDropout, gradientsEnabled else {
            store.dropout.seed = nil
            return
        }
        store.dropout.seed = generators.reduce(0) { seed, generator in
            Tensor.uniform([3], generator: generator).floats().reduce(seed) {
                $0 &* 0x9E37_79B9_7F4A_7C15 ^ UInt64($1 * 16_777_216)
            }
        }
    }
}

extension VLSAConfiguration {
    /// The parts that a model of this configuration has.
    var parts: [String] {
        VLSAModel.parts.filter { part in
            switch part {
            case "perceiver": perceiver.isEnabled
            case "epigone", "denoiser": objective.kind == .reconstruction
            case "ross": objective.kind == .ross
            case "asvr": objective.kind == .asvr
            default: true
            }
        }
    }
}
