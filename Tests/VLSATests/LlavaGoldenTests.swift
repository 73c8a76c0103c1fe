import AnyRes
import Foundation
import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// LLaVA-NeXT against the reference: packing, pictures' tokens, logits, greedy text, gradients,
/// every layout of names.
@Suite struct LlavaGoldenTests {
    static let families = GoldenFolder.families("llava_next", "llava")

    /// A picture of a family, with one form of the family's configuration.
    struct Case: CustomTestStringConvertible {
        let fixture: GoldenFixture
        let picture: String
        var testDescription: String { "\(picture) of \(fixture.testDescription)" }
    }

    static let cases = GoldenFixture.forms(families).flatMap { fixture in
        ((try? fixture.values())?.names(matching: /(.+)\.in\.image/) ?? [])
            .map { Case(fixture: fixture, picture: $0) }
    }

    private func open(
        _ fixture: GoldenFixture
    ) throws -> (model: Llava, store: ParameterStore, golden: GoldenValues) {
        let store = ParameterStore(seed: 1)
        let model = try fixture.folder().llava(into: store, at: "llava")
        try store.checkComplete()
        return (model, store, try fixture.values())
    }

    private func picture(
        _ golden: GoldenValues, _ name: String, _ index: Int = 0
    ) throws -> Llava.Picture {
        let size = try golden.rows("\(name).in.image_sizes")[index]
        let tiles = try golden("\(name).in.pixel_values")[index, .ellipsis]
        return Llava.Picture(tiles: tiles, height: size[0], width: size[1])
    }

    @Test("pictures' tokens, logits and greedy text", arguments: cases)
    func matchesReference(_ item: Case) throws {
        let (model, _, golden) = try open(item.fixture)
        try expectReference(model, item.picture, golden)
    }

    @Test("the folder's preprocessor_config.json makes the tiles", arguments: cases)
    func tiles(_ item: Case) throws {
        let golden = try item.fixture.values()
        let image = try golden("\(item.picture).in.image")
        let processor = try ImageProcessor(path: item.fixture.path)
        let made = processor.values(
            of: try processor.process(
                Pixels(width: image.shape[1], height: image.shape[0], bytes: image.bytes())))
        let expected = try golden("\(item.picture).in.pixel_values")
        golden.expect(
            Tensor(made, shape: expected.shape), equals: expected, "\(item.picture) tiles",
            within: 0)
    }

    private func expectReference(_ model: Llava, _ name: String, _ golden: GoldenValues) throws {
        let picture = try picture(golden, name)
        try golden.expect(model.features([picture])[0], "\(name).out.image_features")
        let embeddings = try model.embeddings(
            golden.rows("\(name).in.input_ids"), pictures: [picture])
        let logits = model.language.logits(model.language(embeddings))
        let count = logits.shape[1]
        try golden.expect(
            logits.narrowed(axis: 1, start: count - 6, length: 6), "\(name).out.logits_last6")
        if golden.has("\(name).out.logits") { try golden.expect(logits, "\(name).out.logits") }
        let limit = try golden.rows("\(name).out.gen.tokens")[0].count
        let made = model.language.generate(embeddings, limit: limit, stopIDs: [])
        try golden.expectEqual(made.flatMap { $0 }, "\(name).out.gen.tokens")
    }

    @Test("two pictures in one prompt", arguments: families.holding("two.in.input_ids"))
    func twoPictures(_ family: String) throws {
        let (model, _, golden) = try open(GoldenFixture(family))
        let pictures = [try picture(golden, "two"), try picture(golden, "two", 1)]
        let embeddings = try model.embeddings(
            golden.rows("two.in.input_ids"), pictures: pictures)
        let logits = model.language.logits(model.language(embeddings))
        try golden.expect(
            logits.narrowed(axis: 1, start: logits.shape[1] - 6, length: 6),
            "two.out.logits_last6")
    }

    @Test("text alone", arguments: families.holding("text.in.input_ids"))
    func textAlone(_ family: String) throws {
        let (model, _, golden) = try open(GoldenFixture(family))
        let embeddings = try model.embeddings(golden.rows("text.in.input_ids"), pictures: [])
        try golden.expect(model.language.logits(model.language(embeddings)), "text.out.logits")
    }

    @Test("loss and gradients of training", arguments: families.holding("train.in.input_ids"))
    func training(_ family: String) throws {
        let (model, store, golden) = try open(GoldenFixture(family))
        store.train(["llava"])
        let pictures = [try picture(golden, "tall"), try picture(golden, "strip")]
        let embeddings = try model.embeddings(
            golden.rows("train.in.input_ids"), pictures: pictures)
        let loss = model.language.loss(
            model.language(embeddings), labels: try golden.rows("train.in.labels"))
        try golden.expectLoss(loss.mean, "train.out.loss")
        loss.mean.backward()
        try golden.expectGradients(in: store) { name in
            "llava." + name.replacing("vision_tower.vision_model.", with: "vision_tower.")
        }
    }

    @Test("prompts with too few places are refused", arguments: cases)
    func tooFewPlaces(_ item: Case) throws {
        let (model, _, golden) = try open(item.fixture)
        var ids = try golden.rows("\(item.picture).in.input_ids")
        let place = try #require(ids[0].firstIndex(of: model.configuration.imageTokenID))
        ids[0].remove(at: place)
        let count = try golden("\(item.picture).out.image_features").shape[0]
        #expect(throws: LlavaPromptError(places: count - 1, tokens: count)) {
            _ = try model.embeddings(ids, pictures: [try picture(golden, item.picture)])
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

    @Test("names of other writers", arguments: families, Writer.allCases)
    func otherNames(_ family: String, _ writer: Writer) throws {
        let source = GoldenFixture(family)
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
        try expectReference(model, "tall", try source.values())
    }

    @Test("saved and loaded", arguments: families)
    func savedAndLoaded(_ family: String) throws {
        let (model, store, golden) = try open(GoldenFixture(family))
        let folder = try TemporaryFolder.make()
        try saveFolder(model.configuration, part: "llava", of: store, to: folder)
        let saved = try SafetensorsFile(path: folder + "/model.safetensors")
        let source = try SafetensorsFile(
            path: GoldenFixture(family).path + "/model.safetensors")
        #expect(Set(saved.names) == Set(source.names))
        let again = ParameterStore(seed: 2)
        let loaded = try CheckpointFolder(folder).llava(into: again)
        try again.checkComplete()
        #expect(loaded.configuration == model.configuration)
        try expectReference(loaded, "strip", golden)
    }

    /// Tower and decoder of the whole folder, each by itself, as a stage file may ask for them.
    @Test("parts of the whole folder", arguments: families)
    func parts(_ family: String) throws {
        let folder = try GoldenFixture(family).folder()
        let whole = try folder.configuration(LlavaConfiguration.self)
        let store = ParameterStore(seed: 1)
        let tower = try folder.visionTower(into: store)
        let language = try folder.languageModel(into: store)
        try store.checkComplete()
        #expect(tower.configuration == whole.vision)
        #expect(language.configuration == whole.language)
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

    @Test("geometry of the real model", arguments: families)
    func geometry(_ family: String) throws {
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
        let path = GoldenFixture(family).path + "/geometry.json"
        guard let data = FileManager.default.contents(atPath: path) else { return }
        let file = try JSONDecoder().decode(File.self, from: data)
        let packing = AnyResPacking(
            pinpoints: file.pinpoints, tileSize: file.tile, side: file.tile / file.patch)
        for item in file.cases {
            guard let canvas = item.canvas else { continue }
            let (height, width) = (item.height, item.width)
            let place: Comment = "\(height) x \(width)"
            let kept = packing.unpadded(height: height, width: width)
            let made = [
                packing.canvas(height: height, width: width).height,
                packing.canvas(height: height, width: width).width,
                packing.tileCount(height: height, width: width), kept.rows.count,
                kept.rows.isEmpty ? 0 : kept.columns.count,
                packing.tokenCount(height: height, width: width),
            ]
            let expected = [
                canvas.height, canvas.width, item.tiles, item.rows,
                item.rows == 0 ? 0 : item.columns, item.tokens,
            ]
            GoldenReport.record(family, equal: made == expected)
            #expect(made == expected, place)
        }
    }

    @Test func originalCodeCutsFractionsOff() {
        func columns(_ truncates: Bool) -> Int {
            AnyResPacking(
                pinpoints: [GridSize(height: 672, width: 672)], tileSize: 336, side: 24,
                truncatesUnpadding: truncates
            ).unpadded(height: 704, width: 396).columns.count
        }
        #expect(columns(true) == 26)
        #expect(columns(false) == 28)
    }
}
