import AnyRes
import Foundation
import Prompting
import Torch
import TorchNN

extension VLSAModel {
    /// A model put together from the folders of its parts; Epigone starts new, and so do projector and perceiver
    /// unless their folders are named.
    ///
    /// - Parameters:
    ///   - addingTokens: the language model's vocabulary gets those of them that it lacks.
    ///   - seed: of the new parts' initial values.
    ///   - lora: new adapters.
    ///   - startingAnew: takes the parts' configurations alone and gives everything initial values.
    /// - Throws: when a part is missing, does not load, or does not fit the others.
    public convenience init(
        assembling folders: PartFolders, configuration: VLSAConfiguration,
        addingTokens tokens: [String] = [], dtype: DType = .float32, device: Device = .cpu,
        seed: UInt64 = 0,
        lora: LoRAConfiguration? = nil, startingAnew: Bool = false
    ) throws {
        let store = ParameterStore(
            dtype: dtype, device: device, seed: seed, startsAnew: startingAnew)
        if let lora { store.adapt(lora) }
        if let projector = folders.projector {
            let file = try SafetensorsFile(path: projector + "/model.safetensors")
            try store.load([file], prefix: "projector")
        }
        if let perceiver = folders.perceiver, configuration.perceiver.isEnabled {
            try SAPerceiver.load(perceiver, expecting: configuration.perceiver, into: store)
        }
        try self.init(configuration, parts: folders, addingTokens: tokens, store: store)
        try store.checkComplete()
    }

    /// A model saved by ``save(to:merging:)``, with its adapters.
    ///
    /// - Parameters:
    ///   - sections: what a later stage changes in the saved configuration.
    ///   - denoiser: folder of a denoiser in place of the saved one, or where there is none; `latents` and `codebook`
    ///     likewise.
    ///   - addingTokens: the language model's vocabulary gets those of them that it lacks.
    ///   - lora: adapters that a stage asks for: new ones, or the folder's own to be trained on.
    ///   - forInference: leaves the visual objective's parts out: answering does not need them.
    public convenience init(
        folder: String, replacing sections: StageSections = StageSections(),
        denoiser: String? = nil, latents: String? = nil, codebook: String? = nil,
        addingTokens tokens: [String] = [], dtype: DType = .float32, device: Device = .cpu,
        seed: UInt64 = 0,
        lora: LoRAConfiguration? = nil, forInference: Bool = false
    ) throws {
        try self.init(
            folder: folder, replacing: sections, denoiser: denoiser, latents: latents,
            codebook: codebook, addingTokens: tokens, lora: lora, forInference: forInference,
            store: ParameterStore(dtype: dtype, device: device, seed: seed))
    }

    /// As above, its parameters in a `store` that is empty.
    convenience init(
        folder: String, replacing sections: StageSections = StageSections(),
        denoiser: String? = nil, latents: String? = nil, codebook: String? = nil,
        addingTokens tokens: [String] = [], lora: LoRAConfiguration? = nil,
        forInference: Bool = false, store: ParameterStore
    ) throws {
        let checkpoint = try CheckpointFolder(folder)
        guard checkpoint.kind == "vlsa" else {
            throw VLSAError.folder(
                path: folder, problem: "its config.json says \(checkpoint.kind), not vlsa")
        }
        let saved = try checkpoint.configuration(VLSAConfiguration.self)
        var configuration = try saved.replacing(sections)
        if forInference { configuration.objective.kind = .none }
        func part(_ name: String) -> String? {
            let path = folder + "/" + name
            return FileManager.default.fileExists(atPath: path) ? path : nil
        }
        let folders = PartFolders(
            vision: folder + "/vision", language: folder + "/language",
            denoiser: denoiser ?? part("denoiser"), latents: latents ?? part("latents"),
            codebook: codebook ?? part("codebook"))
        for part in configuration.alignerParts(from: saved) {
            try checkpoint.offerWeights(to: store, at: part) { _ in
                { name in
                    name.hasPrefix(part + ".")
                        ? .named(String(name.dropFirst(part.count + 1))) : .passedOver
                }
            }
        }
        try VLSAModel.prepareAdapters(
            of: folder, parts: configuration.parts, lora: lora, in: store)
        try self.init(configuration, parts: folders, addingTokens: tokens, store: store)
        try store.checkComplete()
    }

    /// What a stage would make of a model that exists as shapes alone (``store`` on ``Torch/Device/meta``)
    /// once that was trained and saved: what ``init(folder:replacing:addingTokens:dtype:device:seed:lora:forInference:)``
    /// makes of the folder, before there is one.
    ///
    /// - Parameters:
    ///   - addingTokens: the language model's vocabulary gets those of them that it lacks.
    ///   - lora: adapters that the stage asks for.
    public convenience init(
        following previous: VLSAModel, replacing sections: StageSections,
        denoiser: String? = nil, latents: String? = nil, codebook: String? = nil,
        addingTokens tokens: [String] = [], dtype: DType, lora: LoRAConfiguration? = nil
    ) throws {
        let configuration = try previous.configuration.replacing(sections)
        let store = ParameterStore(dtype: dtype, device: .meta, seed: 0)
        for part in configuration.alignerParts(from: previous.configuration) {
            for (name, tensor) in previous.store.saved(under: part) {
                try store.offer(name, tensor, source: "the stage before")
            }
            store.cover(part, source: "the stage before")
        }
        try VLSAModel.prepareAdapters(
            following: previous, parts: configuration.parts, lora: lora, in: store)
        var folders = previous.folders
        (folders.projector, folders.perceiver) = (nil, nil)
        if previous.reconstruction == nil { folders.denoiser = nil }
        if previous.latents == nil { folders.latents = nil }
        if previous.asvr == nil { folders.codebook = nil }
        if let denoiser { folders.denoiser = denoiser }
        if let latents { folders.latents = latents }
        if let codebook { folders.codebook = codebook }
        // The previous stage's folder would have its added tokens; the language folder it came from has not.
        let grown = previous.addedTokens.compactMap(previous.tokenizer.token)
        try self.init(
            configuration, parts: folders, addingTokens: grown + tokens, store: store)
        try store.checkComplete()
    }

    /// Writes the model as a folder: `config.json` and the aligner's weights, and beneath it every other part
    /// as the Hugging Face or diffusers folder of its family. Adapters go to `adapters/PART`, as PEFT keeps them.
    /// ``init(folder:replacing:dtype:device:seed:lora:forInference:)`` loads it back.
    ///
    /// - Parameter merging: adds the adapters to the weights instead, so that the folder does without them.
    public func save(to folder: String, merging: Bool) throws {
        try save(store, to: folder, merging: merging)
    }

    /// As ``save(to:merging:)``, with adapters in files of their own.
    public func save(to folder: String) throws { try save(store, to: folder) }

    /// As ``save(to:merging:)``, with weights of ``store`` as they were held. Besides them it reads only what never
    /// changes, so it may run on another thread while the model learns.
    public func save(_ weights: ParameterStore, to folder: String) throws {
        try save(weights, to: folder, merging: false)
    }

    private func save(_ weights: ParameterStore, to folder: String, merging: Bool) throws {
        let files = FileManager.default
        try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(configuration).write(to: URL(fileURLWithPath: folder + "/config.json"))
        let aligner = ["asvr", "balance", "epigone", "newline", "perceiver", "projector", "ross"]
            .flatMap {
                weights.saved(under: $0, merging: merging)
            }
        try SafetensorsFile.write(
            aligner, metadata: ["format": "pt"], to: folder + "/model.safetensors")

        try saveFolder(
            vision.configuration, part: "vision", of: weights, to: folder + "/vision",
            merging: merging)
        try saveFolder(
            language.configuration, part: "language", of: weights, to: folder + "/language",
            merging: merging)
        for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            try copy(folders.language + "/" + name, to: folder + "/language/" + name)
        }
        if let grownTokenizer {
            try grownTokenizer.write(
                to: URL(fileURLWithPath: folder + "/language/tokenizer.json"))
        }
        if let reconstruction {
            try saveFolder(
                reconstruction.denoiser.configuration, part: "denoiser", of: weights,
                to: folder + "/denoiser", merging: merging)
        }
        if latents != nil { try copyFolder(folders.latents, to: folder + "/latents") }
        if asvr != nil { try copyFolder(folders.codebook, to: folder + "/codebook") }
        if !merging { try saveAdapters(of: weights, to: folder) }
    }

    private func copy(_ source: String, to destination: String) throws {
        let files = FileManager.default
        guard files.fileExists(atPath: source), source != destination else { return }
        try? files.removeItem(atPath: destination)
        try files.copyItem(atPath: source, toPath: destination)
    }

    private func copyFolder(_ source: String?, to destination: String) throws {
        guard let source else { return }
        try FileManager.default.createDirectory(
            atPath: destination, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: source).sorted() {
            try copy(source + "/" + name, to: destination + "/" + name)
        }
    }
}

extension VLSAConfiguration {
    /// Parts beside the tower, the decoder and the denoiser that a model so configured takes over from a
    /// `saved` one: they must all be there; what a stage adds starts new.
    fileprivate func alignerParts(from saved: VLSAConfiguration) -> [String] {
        var parts = ["projector"]
        if saved.perceiver.isEnabled && perceiver.isEnabled { parts.append("perceiver") }
        if saved.objective.kind == objective.kind {
            switch objective.kind {
            case .none: break
            case .reconstruction: parts.append("epigone")
            case .ross: parts.append("ross")
            case .asvr: parts.append("asvr")
            }
        }
        if saved.objective.kind != .none && objective.kind != .none {
            let learns = [saved, self].allSatisfy { $0.objective.balance == .uncertainty }
            if learns { parts.append("balance") }
        }
        if [saved, self].allSatisfy({ $0.unpadding?.isEnabled == true }) {
            parts.append("newline")
        }
        return parts
    }
}
