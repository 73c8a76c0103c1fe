import AnyRes
import Corpus
import Foundation
import Prompting
import Synchronization
import Torch
import TorchNN
import VLSA

/// The parts of a foundation in the order in which they are made: the first two stand on their own, the others need those
/// before them (the denoiser only the decoder).
public enum FoundationPart: String, CaseIterable, Sendable {
    case language, vision, projector, perceiver, denoiser
}

/// Trains small stand-ins for the public checkpoints that the three stages assume, and saves each as the folder that
/// its family has: `vision` (CLIP), `language` (Llama, with tokenizer), `projector` (LLaVA's), `denoiser` (SD3), and a
/// `perceiver` that has begun to learn.
///
/// A part whose folder is complete is left alone, so a run that was stopped goes on with the part it was at.
public struct FoundationRun {
    let plan: FoundationPlan
    let out: String
    let style: ProgressStyle

    public init(_ plan: FoundationPlan, out: String, progress: ProgressStyle = .automatic) {
        self.plan = plan
        self.out = out
        style = progress
    }

    /// - Parameters:
    ///   - parts: which to make; what they need of the others must be there.
    ///   - report: a line about each part when it is done.
    public func run(
        parts: Set<FoundationPart> = Set(FoundationPart.allCases), report: (String) -> Void
    ) throws {
        try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        let missing = parts.filter { !isDone($0.rawValue) }
        if missing.contains(.language) {
            try makeTokenizer(report)
            try makeLanguage(report)
        }
        let ofPictures = missing.subtracting([.language])
        guard !ofPictures.isEmpty else { return }
        let pictures = try readPictures()
        if missing.contains(.vision) { try makeVision(pictures, report) }
        guard ofPictures != [.vision] else { return }
        let embeddings = try wordEmbeddings(pictures.words)
        // Without what all words share, or every patch would have to say it of every word.
        let centred = embeddings - embeddings.mean(axis: 0, keepingAxis: true)
        let vectors = centred / centred.square().sum(axis: -1, keepingAxis: true).sqrt()
        if missing.contains(.projector) { try makeProjector(pictures, embeddings, report) }
        if missing.contains(.perceiver) { try makePerceiver(pictures, embeddings, report) }
        if missing.contains(.denoiser) { try makeDenoiser(pictures, vectors, report) }
    }

    private func isDone(_ part: String) -> Bool {
        FileManager.default.fileExists(atPath: out + "/" + part + "/config.json")
    }

    // MARK: Tokenizer and decoder

    private func makeTokenizer(_ report: (String) -> Void) throws {
        let folder = out + "/tokenizer"
        guard !FileManager.default.fileExists(atPath: folder + "/tokenizer.json") else { return }
        var texts: [String] = []
        for name in ["texts.json", "train.json"] {
            let file = try RecordFile(path: plan.data.path + "/" + name)
            for index in 0..<min(file.count, 4000) {
                let turns = try file.record(at: index).turns
                texts += turns.map { " " + Turn.pieces(of: $0.value).joined() }
            }
        }
        let trained = try BPETrainer(vocabularySize: plan.vocabulary).train(texts)
        try trained.write(to: folder)
        report("tokenizer: \(try trained.tokenizer().vocabularySize) tokens")
    }

    private func makeLanguage(_ report: (String) -> Void) throws {
        let folder = out + "/tokenizer"
        let tokenizer = try Tokenizer(folder: folder)
        let cells =
            (plan.picture.tileWidth / plan.vision.patch)
            * (plan.picture.tileHeight / plan.vision.patch)
        let file = try RecordFile(path: plan.data.path + "/texts.json")
        let examples = try (0..<file.count).map { index in
            try ToldPicture(
                file.record(at: index), cellCount: cells, chat: plan.chat, tokenizer: tokenizer)
        }
        let configuration = LanguageConfiguration(
            vocabularySize: tokenizer.idLimit, width: plan.language.width,
            hiddenWidth: plan.language.hiddenWidth, layerCount: plan.language.layers,
            headCount: plan.language.heads, keyValueHeadCount: plan.language.keyValueHeads,
            contextLength: 4096, startID: tokenizer.beginningID,
            stopIDs: try plan.chat.format.stopIDs(for: tokenizer), padID: tokenizer.paddingID)
        let heldOut = min(examples.count / 20, 400)
        let model = try train(
            "language", plan.language.training, parts: ["language"],
            source: { _ in ArraySource(Array(examples.dropLast(heldOut)), seed: plan.seed) }
        ) {
            try DecoderText(
                configuration, noise: plan.language.noise, tokenizerFolder: folder, seed: plan.seed)
        }
        try publish(model, "language")
        let accuracy = try model.accuracy(Array(examples.suffix(heldOut)))
        report(
            "language: \(count(model.store, "language")) parameters, answers "
                + String(format: "%.0f%%", accuracy * 100)
                + " of the questions about pictures told in words")
    }

    // MARK: Tower

    private func readPictures() throws -> RegionPictures {
        let limit = plan.pictures
        let display = ProgressDisplay(
            title: "pictures", total: limit, unit: "pictures", style: style)
        defer { display.finish() }
        return try RegionPictures(
            records: plan.data.path + "/train.json", images: plan.data.path,
            tiler: Tiler(plan.picture), limit: limit
        ) { display.update($0) }
    }

    /// The decoder's embeddings of some words, `[W, d]`; a word of several tokens is their sum.
    private func wordEmbeddings(_ words: [String]) throws -> Tensor {
        let store = ParameterStore(seed: plan.seed)
        let language = try CheckpointFolder(out + "/language").languageModel(into: store)
        let tokenizer = try Tokenizer(folder: out + "/language")
        return withoutGradients {
            Tensor.stacked(
                words.map { word in
                    let ids = tokenizer.encode(" " + word, addingSpecial: false).filter { id in
                        tokenizer.decode([id]).contains { !$0.isWhitespace }
                    }
                    return language.embed(Tensor(ids, shape: [ids.count])).sum(axis: 0)
                }, axis: 0)
        }
    }

    /// A projector that says in the decoder's embeddings what the tower sees.
    private func makeProjector(
        _ pictures: RegionPictures, _ embeddings: Tensor, _ report: (String) -> Void
    ) throws {
        let model = try train(
            "projector", plan.projector, parts: ["projector"],
            source: { _ in
                ViewSource(
                    pictures, seed: plan.seed &+ 2, side: plan.picture.tileWidth,
                    patch: plan.vision.patch, snapshotShare: 0.5)
            }
        ) {
            try ProjectorNaming(
                visionFolder: out + "/vision", embeddings: embeddings, normalization: .clip,
                seed: plan.seed)
        }
        try publish(model, "projector")
        report("projector: \(count(model.store, "projector")) parameters")
    }

    /// A perceiver that brings the tiles' detail to where the projector can say it.
    private func makePerceiver(
        _ pictures: RegionPictures, _ embeddings: Tensor, _ report: (String) -> Void
    ) throws {
        let model = try train(
            "perceiver", plan.perceiver.training, parts: ["perceiver"],
            source: { ArraySource($0.examples, seed: plan.seed) }
        ) {
            try PerceiverNaming(
                plan.perceiver.design, pictures: pictures, visionFolder: out + "/vision",
                projectorFolder: out + "/projector", embeddings: embeddings, normalization: .clip,
                seed: plan.seed)
        }
        try publish(model, "perceiver")
        report("perceiver: \(count(model.store, "perceiver")) parameters")
    }

    private func makeVision(
        _ pictures: RegionPictures, _ report: (String) -> Void
    ) throws {
        let side = plan.picture.tileWidth
        guard side % plan.vision.patch == 0, plan.picture.tileHeight == side else {
            throw FoundationError.plan(
                "picture's tiles must be square and a multiple of vision.patch, \(plan.vision.patch)"
            )
        }
        let configuration = CLIPVisionConfiguration(
            width: plan.vision.width, hiddenWidth: plan.vision.hiddenWidth,
            layerCount: plan.vision.layers, headCount: plan.vision.heads, imageSize: side,
            patchSize: plan.vision.patch)
        func views(_ seed: UInt64) -> ViewSource {
            ViewSource(
                pictures, seed: seed, side: side, patch: plan.vision.patch,
                snapshotShare: plan.vision.snapshots)
        }
        let model = try train(
            "vision", plan.vision.training, parts: ["vision", "naming"],
            source: { _ in views(plan.seed) }
        ) {
            try TowerNaming(
                configuration, features: FeatureSelection(layer: -1), normalization: .clip,
                wordCount: pictures.words.count, seed: plan.seed)
        }
        let accuracy = model.accuracy(
            views(plan.seed &+ 1).next(128), placeWords: Set(pictures.pictures[0].placeWords.values)
        )
        try publish(model, "vision")
        report(
            "vision: \(count(model.store, "vision")) parameters, names "
                + String(format: "%.0f%%", accuracy * 100)
                + " of the things in view on pictures it learned from")
    }

    // MARK: Denoiser

    private func makeDenoiser(
        _ pictures: RegionPictures, _ vectors: Tensor, _ report: (String) -> Void
    ) throws {
        let store = ParameterStore(seed: plan.seed)
        let codec = try CheckpointFolder(plan.latents.path).latentCodec(into: store, at: "latents")
        let size = plan.denoiser.pictureSize
        guard size % (codec.downscale * 2) == 0 else {
            throw FoundationError.plan(
                "denoiser.pictureSize \(size) must be a multiple of \(codec.downscale * 2)")
        }
        let configuration = MMDiTConfiguration(
            sampleSize: size / codec.downscale, patchSize: 2, channels: codec.channels,
            layerCount: plan.denoiser.layers, headWidth: plan.denoiser.headWidth,
            headCount: plan.denoiser.heads, contextWidth: vectors.shape[1],
            pooledWidth: vectors.shape[1], positionGrid: size / codec.downscale / 2)
        let model = try train(
            "denoiser", plan.denoiser.training, parts: ["denoiser"],
            source: { ArraySource($0.examples, seed: plan.seed) }
        ) {
            try CaptionedLatents(
                configuration, flow: RectifiedFlow(time: plan.denoiser.time, target: .velocity),
                pictures: pictures, vectors: vectors, latents: codec, pictureSize: size,
                patch: plan.vision.patch, places: plan.denoiser.places, seed: plan.seed)
        }
        try publish(model, "denoiser")
        let errors = model.errors(seed: plan.seed &+ 1)
        report(
            "denoiser: \(count(model.store, "denoiser")) parameters, error "
                + String(
                    format: "%.2f with a picture's caption, %.2f with another's", errors.own,
                    errors.others))
    }

    // MARK: Common

    private func train<Model: Trainable>(
        _ name: String, _ training: FoundationPlan.TrainingPlan, parts: [String],
        source: (Model) throws -> any ExampleSource<Model.Example>, model: () throws -> Model
    ) throws -> Model {
        let loop = training.loop(
            name: "\(plan.name)-\(name)", part: parts, seed: plan.seed, threads: plan.threads ?? 0)
        // What an interrupted part left is a fraction of minutes: the part starts over.
        let folder = out + "/runs/" + name
        if FileManager.default.fileExists(atPath: folder) {
            try FileManager.default.removeItem(atPath: folder)
        }
        let run = try TrainingRun<Model>(
            plan: loop, planText: "\(training)", folder: folder,
            options: RunOptions(progress: style), model: { _ in try model() }, training: source)
        let outcome = try run.train()
        guard case .finished = outcome else {
            throw FoundationInterrupted(outcome: outcome.exitCode)
        }
        return run.model
    }

    /// Saves under a temporary name, then puts the folder in place.
    private func publish<Model: Trainable>(_ model: Model, _ name: String) throws {
        let (temporary, final) = (out + "/.\(name).part", out + "/" + name)
        let files = FileManager.default
        if files.fileExists(atPath: temporary) { try files.removeItem(atPath: temporary) }
        try model.save(to: temporary)
        if files.fileExists(atPath: final) { try files.removeItem(atPath: final) }
        try files.moveItem(atPath: temporary, toPath: final)
    }

    private func count(_ store: ParameterStore, _ part: String) -> Int {
        store.names.filter { $0.hasPrefix(part + ".") }
            .reduce(0) { $0 + (store[$1]?.count ?? 0) }
    }
}

/// The user stopped a foundation; what was finished is kept.
struct FoundationInterrupted: ExitCoded, CustomStringConvertible {
    let outcome: Int32
    var exitCode: Int32 { outcome }
    var description: String { "interrupted; run the same command again to go on" }
}
