import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// LLaVA-NeXT against the reference: packing, pictures' tokens, logits, greedy text, gradients,
/// every layout of names.
@Suite struct LlavaGoldenTests {
    static let pictures = ["wide", "tall", "square", "strip"]

    private let golden: GoldenValues

    init() throws { golden = try GoldenFixture("llava_next").values() }

    private func open(
        _ form: GoldenFixture.Form = .five
    ) throws -> (model: Llava, store: ParameterStore) {
        let store = ParameterStore(seed: 1)
        let model = try GoldenFixture("llava_next", form).folder().llava(into: store, at: "llava")
        try store.checkComplete()
        return (model, store)
    }

    private func picture(_ name: String, _ index: Int = 0) throws -> Llava.Picture {
        let size = try golden.rows("\(name).in.image_sizes")[index]
        let tiles = try golden("\(name).in.pixel_values")[index, .ellipsis]
        return Llava.Picture(tiles: tiles, height: size[0], width: size[1])
    }

    @Test("pictures' tokens and logits", arguments: pictures, GoldenFixture.Form.allCases)
    func matchesReference(_ name: String, _ form: GoldenFixture.Form) throws {
        let (model, _) = try open(form)
        try expectReference(model, name)
    }

    private func expectReference(_ model: Llava, _ name: String) throws {
        let picture = try picture(name)
        expectClose(
            model.features([picture])[0], try golden("\(name).out.image_features"), "tokens")
        let embeddings = try model.embeddings(
            golden.rows("\(name).in.input_ids"), pictures: [picture])
        let logits = model.language.logits(model.language(embeddings))
        let count = logits.shape[1]
        expectClose(
            logits.narrowed(axis: 1, start: count - 6, length: 6),
            try golden("\(name).out.logits_last6"), "last logits")
        if golden.has("\(name).out.logits") {
            expectClose(logits, try golden("\(name).out.logits"), "logits")
        }
        let expected = try golden.rows("\(name).out.gen.tokens")
        let made = model.language.generate(embeddings, limit: expected[0].count, stopIDs: [])
        #expect(made == expected)
    }

    @Test func twoPicturesInOnePrompt() throws {
        let (model, _) = try open()
        let embeddings = try model.embeddings(
            golden.rows("two.in.input_ids"), pictures: [picture("two"), picture("two", 1)])
        let logits = model.language.logits(model.language(embeddings))
        expectClose(
            logits.narrowed(axis: 1, start: logits.shape[1] - 6, length: 6),
            try golden("two.out.logits_last6"))
    }

    @Test func textAlone() throws {
        let (model, _) = try open()
        let embeddings = try model.embeddings(golden.rows("text.in.input_ids"), pictures: [])
        expectClose(
            model.language.logits(model.language(embeddings)), try golden("text.out.logits"))
    }

    @Test func trainingLossAndGradients() throws {
        let (model, store) = try open()
        store.train(["llava"])
        let embeddings = try model.embeddings(
            golden.rows("train.in.input_ids"), pictures: [picture("tall"), picture("strip")])
        let loss = model.language.loss(
            model.language(embeddings), labels: try golden.rows("train.in.labels"))
        expectLoss(loss.mean, try golden.number("train.out.loss"))
        loss.mean.backward()
        try golden.expectGradients(in: store) { name in
            "llava." + name.replacing("vision_tower.vision_model.", with: "vision_tower.")
        }
    }

    @Test func promptsWithTooFewPlacesAreRefused() throws {
        let (model, _) = try open()
        var ids = try golden.rows("wide.in.input_ids")
        let place = try #require(ids[0].firstIndex(of: model.configuration.imageTokenID))
        ids[0].remove(at: place)
        #expect(throws: LlavaPromptError(places: 51, tokens: 52)) {
            _ = try model.embeddings(ids, pictures: [try picture("wide")])
        }
    }

    /// How other writers name the tensors of the hub's file.
    enum Writer: String, CaseIterable {
        case memory, memoryWithoutVisionModel, hubWithoutVisionModel, original

        func name(_ hub: String) -> String {
            let bare = hub.replacing("vision_tower.vision_model.", with: "vision_tower.")
            switch self {
            case .hubWithoutVisionModel: return bare
            case .memory, .memoryWithoutVisionModel:
                let name = self == .memory ? hub : bare
                if name == "language_model.lm_head.weight" { return "lm_head.weight" }
                return "model."
                    + name.replacing("language_model.model.", with: "language_model.")
            case .original:
                if hub.hasPrefix("language_model.") { return String(hub.dropFirst(15)) }
                return "model."
                    + hub.replacing("multi_modal_projector.linear_1", with: "mm_projector.0")
                    .replacing("multi_modal_projector.linear_2", with: "mm_projector.2")
                    .replacing(
                        "vision_tower.vision_model", with: "vision_tower.vision_tower.vision_model")
            }
        }
    }

    @Test("names of other writers", arguments: Writer.allCases)
    func otherNames(_ writer: Writer) throws {
        let source = GoldenFixture("llava_next")
        let file = try SafetensorsFile(path: source.path + "/model.safetensors")
        let folder = try TemporaryFolder.make()
        try SafetensorsFile.write(
            file.tensors().map { (writer.name($0.0), $0.1) }, metadata: [:],
            to: folder + "/model.safetensors")
        try FileManager.default.copyItem(
            atPath: source.path + "/config.json", toPath: folder + "/config.json")
        let store = ParameterStore(seed: 1)
        let model = try CheckpointFolder(folder).llava(into: store, at: "")
        try store.checkComplete()
        try expectReference(model, "tall")
    }

    @Test func savedAndLoaded() throws {
        let (model, store) = try open()
        let folder = try TemporaryFolder.make()
        try saveFolder(model.configuration, part: "llava", of: store, to: folder)
        let saved = try SafetensorsFile(path: folder + "/model.safetensors")
        let source = try SafetensorsFile(
            path: GoldenFixture("llava_next").path + "/model.safetensors")
        #expect(Set(saved.names) == Set(source.names))
        let again = ParameterStore(seed: 2)
        let loaded = try CheckpointFolder(folder).llava(into: again)
        try again.checkComplete()
        #expect(loaded.configuration == model.configuration)
        try expectReference(loaded, "strip")
    }

    /// Tower and decoder of the whole folder, each by itself, as a stage file may ask for them.
    @Test func partsOfTheWholeFolder() throws {
        let folder = try GoldenFixture("llava_next").folder()
        let store = ParameterStore(seed: 1)
        let tower = try folder.visionTower(into: store)
        let language = try folder.languageModel(into: store)
        try store.checkComplete()
        #expect(tower.width == 24 && language.width == 32)
    }

    @Test func originalConfiguration() throws {
        let text = """
            {"model_type": "llava_llama", "vocab_size": 72, "hidden_size": 32,
             "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
             "mm_projector_type": "mlp2x_gelu",
             "mm_hidden_size": 24, "mm_vision_select_layer": -2,
             "mm_vision_select_feature": "patch",
             "mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres",
             "image_grid_pinpoints": [[672, 336], [336, 672]]}
            """
        let made = try JSONDecoder().decode(LlavaConfiguration.self, from: Data(text.utf8))
        #expect(made.vision == LlavaConfiguration.standardTower)
        #expect(made.language.width == 32)
        #expect(made.features == FeatureSelection(layer: -2))
        #expect(
            made.pinpoints == [
                GridSize(height: 336, width: 672), GridSize(height: 672, width: 336),
            ])
        #expect(made.truncatesUnpadding)
        #expect(made.imageTokenID == LlavaConfiguration.originalImageTokenID)
    }

    @Test func geometryOfTheRealModel() throws {
        struct File: Decodable {
            let tile: Int
            let patch: Int
            let pinpoints: [GridSize]
            let cases: [Case]

            enum CodingKeys: String, CodingKey {
                case tile, patch, cases
                case pinpoints = "grid_pinpoints"
            }
        }
        struct Case: Decodable {
            let height: Int
            let width: Int
            let canvas: GridSize?
            let tiles: Int?
            let rows: Int?
            let columns: Int?
            let tokens: Int?

            enum CodingKeys: String, CodingKey {
                case height, width, tiles
                case canvas = "best_resolution"
                case rows = "unpadded_rows"
                case columns = "unpadded_cols"
                case tokens = "image_tokens"
            }
        }
        let path = GoldenFixture("llava_next").path + "/geometry.json"
        let data = try #require(FileManager.default.contents(atPath: path))
        let file = try JSONDecoder().decode(File.self, from: data)
        let packing = AnyResPacking(
            pinpoints: file.pinpoints, tileSize: file.tile, side: file.tile / file.patch)
        var compared = 0
        for item in file.cases {
            guard let canvas = item.canvas else { continue }
            let (height, width) = (item.height, item.width)
            let place: Comment = "\(height) x \(width)"
            #expect(packing.canvas(height: height, width: width) == canvas, place)
            #expect(packing.tileCount(height: height, width: width) == item.tiles, place)
            let kept = packing.unpadded(height: height, width: width)
            #expect(kept.rows.count == item.rows, place)
            if let rows = item.rows, rows > 0 { #expect(kept.columns.count == item.columns, place) }
            #expect(packing.tokenCount(height: height, width: width) == item.tokens, place)
            compared += 1
        }
        #expect(compared > 50)
        // Where the original code and transformers differ.
        let original = AnyResPacking(
            pinpoints: file.pinpoints, tileSize: file.tile, side: file.tile / file.patch,
            truncatesUnpadding: true)
        #expect(original.unpadded(height: 704, width: 396).columns.count == 26)
        #expect(packing.unpadded(height: 704, width: 396).columns.count == 28)
    }
}
