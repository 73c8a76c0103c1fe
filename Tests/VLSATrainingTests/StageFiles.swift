import AnyRes
import Codecs
import Foundation
import Prompting
import Testing
import TorchNN

@testable import VLSA
@testable import VLSATraining

/// A folder with all that a stage needs: parts of a few thousand parameters, records and their pictures.
final class StageFiles {
    let folder: TemporaryFolder
    var path: String { folder.path }

    static let templates: String = {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        return tests.appendingPathComponent("../../Templates/cognition").standardizedFileURL.path
    }()

    init() throws {
        folder = try TemporaryFolder()
        try makeParts()
        try makeData()
        try KMeansCodebook.fit(
            pictures: FitPictures(folder: path + "/images"),
            settings: KMeansSettings(codeCount: 8, patchSide: 4, dimensions: 4, longestSides: [8])
        ).save(to: path + "/codebook")
    }

    /// What makes a stage one of `kind`, with small parts of its own, all of which learn beside `train`.
    static func objective(
        _ kind: ObjectiveKind, at path: String, train: String = "perceiver, projector"
    ) -> [String] {
        switch kind {
        case .none: ["objective.kind=none", "train=[\(train)]"]
        case .reconstruction: ["train=[\(train), epigone]"]
        case .ross:
            [
                "objective.kind=ross",
                "objective.ross={width: 16, layers: 2, heads: 2, noiseSamples: 2}",
                "train=[\(train), ross]",
            ]
        case .asvr:
            [
                "objective.kind=asvr", "objective.asvr={width: 16, layers: 2, heads: 2}",
                "model.codebook=\(path)/codebook", "train=[\(train), asvr]",
            ]
        }
    }

    /// A stage over these files.
    func plan(_ overrides: [String] = []) throws -> TrainingPlan {
        try StageFiles.plan(at: path, overrides)
    }

    /// A stage over the files of a folder, perhaps made by another process.
    static func plan(at path: String, _ overrides: [String]) throws -> TrainingPlan {
        try StrictYAML(
            text: """
                name: tiny
                seed: 3
                threads: 1
                model: {vision: vision, language: language, denoiser: denoiser, latents: latents}
                data:
                  records: train.json
                  images: images
                  validation: held.json
                  maxLength: 512
                  maxRejected: 0.5
                  augment:
                    templates: \(StageFiles.templates)
                    probability: 0.5
                    tasks: {px_point: 1}
                chat: {format: llama_3, system: ""}
                picture: {tiling: vlsa, tileWidth: 28, tileHeight: 28, maxTiles: 6}
                features: {vision_feature_layer: -1}
                perceiver: {heads: 4}
                epigone: {rank: 8}
                objective: {kind: reconstruction, weight: 0.5, pictureSize: 56}
                train: [perceiver, projector, epigone]
                optimizer: {rate: 2e-3}
                batch: {samples: 3, micro: 2}
                steps: 6
                validate: {every: 3, batches: 1}
                checkpoint: {every: 2}
                log: {every: 2}
                """, file: path + "/stage.yaml", folder: path, overrides: overrides
        ).decode()
    }

    private func makeParts() throws {
        let texts = ["What is here?", "a red circle", "a blue square", "left", "right", "4711"]
        let tokenizer = try BPETrainer(vocabularySize: 320).train(texts)
        try FileManager.default.createDirectory(
            atPath: path + "/language", withIntermediateDirectories: false)
        try tokenizer.write(to: path + "/language")
        let store = ParameterStore(seed: 5)
        let vision = VisionConfiguration.clip(
            CLIPVisionConfiguration(
                width: 32, hiddenWidth: 64, layerCount: 2, headCount: 2, imageSize: 28, patchSize: 7
            ))
        _ = try makeVisionTower(vision, in: store.scope["vision"])
        try saveFolder(vision, part: "vision", of: store, to: path + "/vision")
        let ids = try tokenizer.tokenizer()
        let language = LanguageConfiguration(
            vocabularySize: ids.idLimit, width: 32, hiddenWidth: 64, layerCount: 2, headCount: 4,
            keyValueHeadCount: 2, startID: ids.beginningID,
            stopIDs: try ChatFormat.llama3.stopIDs(for: ids))
        _ = try LanguageModel(language, in: store.scope["language"])
        try saveFolder(language, part: "language", of: store, to: path + "/language")
        let denoiser = MMDiTConfiguration(
            sampleSize: 7, channels: 4, layerCount: 2, headWidth: 8, headCount: 2, contextWidth: 12,
            pooledWidth: 10, positionGrid: 8)
        _ = try MMDiT(denoiser, in: store.scope["denoiser"])
        try saveFolder(denoiser, part: "denoiser", of: store, to: path + "/denoiser")
        let scope = store.scope["latents"]
        _ = try scope.buffer("basis", shape: [4, 48], initial: .normal(deviation: 0.1))
        _ = try scope.buffer("mean", shape: [48], initial: .zeros)
        _ = try scope.buffer("scale", shape: [4], initial: .ones)
        try saveFolder(
            KLTLatentConfiguration(channels: 4, patchSide: 4), part: "latents", of: store,
            to: path + "/latents")
    }

    /// 8 records: five with pictures, one broken picture, two of text alone.
    private func makeData() throws {
        try FileManager.default.createDirectory(
            atPath: path + "/images", withIntermediateDirectories: false)
        var random = SplitMix(state: 8)
        var records: [String] = []
        for index in 0..<8 {
            var image = ""
            if index < 6 {
                let (width, height) = (30 + index * 9, 80 - index * 10)
                let bytes = (0..<width * height * 3).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                let file = path + "/images/\(index).png"
                try writePNG(Pixels(width: width, height: height, bytes: bytes), to: file)
                if index == 4 { truncate(file, 60) }
                image = "\"image\":\"\(index).png\","
            }
            let place = image.isEmpty ? "" : "<image>\\n"
            records.append(
                """
                {"id":"r\(index)",\(image)"conversations":[
                {"from":"human","value":"\(place)What is here?"},
                {"from":"gpt","value":"\(index % 2 == 0 ? "a red circle" : "a blue square")"}]}
                """)
        }
        let text = "[" + records.joined(separator: ",\n") + "]"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/train.json"))
        let held = "[" + records[..<3].joined(separator: ",\n") + "]"
        try Data(held.utf8).write(to: URL(fileURLWithPath: path + "/held.json"))
    }

    /// Files beneath a folder with their contents.
    func contents(_ folder: String) throws -> [String: Data] {
        Dictionary(
            uniqueKeysWithValues: try AtomicFiles.files(beneath: path + folder).map { name in
                (name, try Data(contentsOf: URL(fileURLWithPath: path + folder + "/" + name)))
            })
    }

    /// Two runs have left the very same model.
    ///
    /// - Returns: the first one's files with their contents.
    @discardableResult
    func expectSameModel(
        _ run: String, _ other: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [String: Data] {
        let (files, others) = (try contents(run + "/model"), try contents(other + "/model"))
        #expect(files.keys.sorted() == others.keys.sorted(), sourceLocation: sourceLocation)
        for (name, data) in files {
            #expect(others[name] == data, "\(name)", sourceLocation: sourceLocation)
        }
        return files
    }
}
