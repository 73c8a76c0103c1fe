import AnyRes
import Corpus
import Torch
import TorchNN

// Shapes: P pictures, l visual tokens of a picture, d language width, B x T positions of a batch.

extension VLSAModel {
    /// The visual objective of some samples, summed over their pictures; nil where none is trained.
    ///
    /// - Parameters:
    ///   - seen: of the samples' pictures.
    ///   - hidden: the decoder's last states, `[B, T, d]`.
    ///   - places: flat positions `b * T + t` of each picture's tokens.
    ///   - generators: one for each sample.
    func visualLoss(
        of samples: [Sample], seen: VisualTokens, hidden: Tensor, places: [[Int]],
        generators: [Generator]
    ) throws -> Tensor? {
        let (pictures, keys) = (samples.flatMap(\.pictures), samples.flatMap(\.pictureKeys))
        let own = zip(samples, generators).flatMap { sample, generator in
            sample.pictures.map { _ in generator }
        }
        if let reconstruction, let pooled = seen.pooled {
            let z = reconstruction.targets(
                of: pictures, keys: keys, cache: latentCache, generators: own, device: store.device)
            return reconstruction.loss(
                of: z, tokens: watched(seen.tokens, for: "visual"), pooled: pooled,
                generators: own, isCheckpointed: checkpointedParts.contains(.denoiser))
        }
        if let ross {
            let z = ross.targets(
                of: pictures, keys: keys, cache: latentCache, generators: own, device: store.device)
            return ross.loss(of: z, states: states(hidden, at: places), generators: own)
        }
        if let asvr {
            let codes = try asvr.targets(
                of: pictures, keys: keys, cache: codeCache, device: store.device)
            return asvr.loss(of: codes, states: states(hidden, at: places))
        }
        return nil
    }

    /// The decoder's states at the pictures' snapshot tokens, `[P, l, d]`; unpadded tiles' tokens, which follow them, are
    /// left out.
    private func states(_ hidden: Tensor, at places: [[Int]]) -> Tensor {
        let rows = places.flatMap { $0.prefix(visualTokenCount) }
        return hidden.reshaped([-1, language.width])
            .selecting(Tensor(rows, shape: [rows.count], device: hidden.device), axis: 0)
            .reshaped([places.count, visualTokenCount, language.width])
    }

    /// The codec of the frozen latents that the model learns from; nil where it learns from none.
    public var latents: (any LatentCodec)? { reconstruction?.latents ?? ross?.latents }
}

extension Reconstruction {
    /// The objective of a model whose configuration asks for it; nil for another.
    ///
    /// - Parameters:
    ///   - width: d.
    ///   - tokensPerSide: visual tokens along a picture's side.
    init?(
        _ configuration: VLSAConfiguration, folders: PartFolders, width: Int, tokensPerSide: Int,
        store: ParameterStore
    ) throws {
        guard configuration.objective.kind == .reconstruction else { return nil }
        guard configuration.perceiver.isEnabled else {
            throw VLSAError.configuration(
                "objective.kind is reconstruction, which needs the perceiver's pooled token; "
                    + "set perceiver.enabled: true or objective.kind: none")
        }
        guard let denoiserFolder = folders.denoiser, let latentsFolder = folders.latents else {
            throw VLSAError.configuration(
                "objective.kind is reconstruction, which needs the folders model.denoiser and "
                    + "model.latents (beside model.folder where a model without them goes on)")
        }
        let denoiser = try CheckpointFolder(denoiserFolder).denoiser(into: store, at: "denoiser")
        let (context, pooled) = (
            denoiser.configuration.contextWidth, denoiser.configuration.pooledWidth
        )
        let latents = try CheckpointFolder(latentsFolder).latentCodec(into: store, at: "latents")
        let epigone: Epigone
        do {
            epigone = try Epigone(
                configuration.epigone, width: width, contextWidth: context, pooledWidth: pooled,
                places: denoiser.configuration.promptPlaces(
                    tokensPerSide: tokensPerSide,
                    latentSide: configuration.objective.pictureSize / latents.downscale),
                in: store.scope["epigone"])
        } catch ParameterError.misshapen(let name, let source, let found, let expected) {
            throw VLSAError.configuration(
                "\(source): \(name) is \(found), not \(expected): Epigone leads from the language width "
                    + "\(width) over epigone.rank \(configuration.epigone.rank) to the denoiser's context "
                    + "width \(context) and pooled width \(pooled)")
        }
        try self.init(
            configuration.objective, epigone: epigone, denoiser: denoiser, latents: latents)
    }
}

extension ROSS {
    /// The objective of a model whose configuration asks for it; nil for another.
    ///
    /// - Parameters:
    ///   - width: d.
    ///   - tokensPerSide: visual tokens along a picture's side.
    init?(
        _ configuration: VLSAConfiguration, folders: PartFolders, width: Int, tokensPerSide: Int,
        store: ParameterStore
    ) throws {
        guard configuration.objective.kind == .ross else { return nil }
        guard let folder = folders.latents else {
            throw VLSAError.configuration(
                "objective.kind is ross, which needs the folder model.latents (beside model.folder where "
                    + "a model without it goes on)")
        }
        try self.init(
            configuration.objective, side: tokensPerSide, stateWidth: width,
            latents: CheckpointFolder(folder).latentCodec(into: store, at: "latents"),
            frame: TargetFrame(configuration.picture), in: store.scope["ross"])
    }
}

extension ASVR {
    /// The objective of a model whose configuration asks for it; nil for another.
    ///
    /// - Parameters:
    ///   - width: d.
    ///   - tokensPerSide: visual tokens along a picture's side.
    init?(
        _ configuration: VLSAConfiguration, folders: PartFolders, width: Int, tokensPerSide: Int,
        store: ParameterStore
    ) throws {
        guard configuration.objective.kind == .asvr else { return nil }
        guard let folder = folders.codebook else {
            throw VLSAError.configuration(
                "objective.kind is asvr, which needs the folder model.codebook (beside model.folder where "
                    + "a model without it goes on)")
        }
        try self.init(
            configuration.objective.asvr ?? ASVRConfiguration(),
            codes: CheckpointFolder(folder).pictureCodes(device: store.device),
            side: tokensPerSide, stateWidth: width, frame: TargetFrame(configuration.picture),
            in: store.scope["asvr"])
    }
}
