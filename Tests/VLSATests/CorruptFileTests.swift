import AnyRes
import Foundation
import GoldenSupport
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Every kind of file in a model folder, damaged in every way: the error names the file and the place.
@Suite(.enabled(if: GoldenFolder.isOwn)) struct CorruptFileTests {
    /// One damaged file.
    struct Damage: CustomTestStringConvertible {
        let file: String
        let what: String
        /// The file's new text from its old one; nil leaves it away.
        let change: @Sendable (String) -> String?
        /// What the message must hold besides the file's name.
        let words: [String]
        var testDescription: String { "\(file), \(what)" }

        init(
            _ file: String, _ what: String, _ words: [String] = [],
            _ change: @escaping @Sendable (String) -> String?
        ) {
            (self.file, self.what, self.words, self.change) = (file, what, words, change)
        }

        static func truncated(_ file: String) -> Damage {
            Damage(file, "truncated") { String($0.prefix($0.count / 2)) }
        }

        static func anArray(_ file: String) -> Damage { Damage(file, "an array") { _ in "[]" } }

        static func empty(_ file: String) -> Damage { Damage(file, "empty") { _ in "" } }

        /// `old` replaced by `new`; the error says `words`.
        static func edited(
            _ file: String, _ what: String, _ old: String, _ new: String, _ words: [String]
        ) -> Damage {
            Damage(file, what, words) { text in
                text.contains(old) ? text.replacing(old, with: new) : nil
            }
        }
    }

    private static let index = "model.safetensors.index.json"
    private static let preprocessor = "preprocessor_config.json"

    static let damages: [Damage] =
        [
            "config.json", "generation_config.json", index, preprocessor, "tokenizer.json",
            "tokenizer_config.json",
        ].flatMap { [.truncated($0), .anArray($0), .empty($0)] } + [
            .edited(
                "config.json", "wrong type", "\"hidden_size\": 32", "\"hidden_size\": \"32\"",
                ["hidden_size"]),
            .edited(
                "config.json", "missing key", "\"model_type\"", "\"kind\"", ["model_type"]),
            .edited(
                "config.json", "unknown family", "\"llama\"", "\"mamba\"",
                ["mamba", "known are llama"]),
            .edited(
                "config.json", "unknown rotary scaling", "\"llama3\"", "\"yarn\"",
                ["yarn", "known are default, linear, llama3"]),
            .edited(
                "generation_config.json", "wrong type", "\"eos_token_id\": [",
                "\"eos_token_id\": [\"</s>\", ", ["eos_token_id"]),
            .edited(
                "generation_config.json", "wrong type of a number", "{",
                "{\"temperature\": \"hot\", ", ["temperature"]),
            Damage(index, "missing key", ["weight_map", "missing"]) { _ in
                "{\"metadata\": {}}"
            },
            Damage(index, "wrong type", ["weight_map"]) { _ in "{\"weight_map\": [1]}" },
            .edited(
                index, "missing shard", "-00002-of", "-00022-of",
                ["shard model-00022-of-00005.safetensors is missing"]),
            .edited(
                preprocessor, "unknown component", "LlavaNextImageProcessor",
                "PixtralImageProcessor", ["image_processor_type", "Pixtral"]),
            .edited(
                preprocessor, "missing key", "\"image_mean\"", "\"image_means\"", ["image_mean"]),
            .edited(
                preprocessor, "wrong type", "\"do_resize\": true", "\"do_resize\": \"yes\"",
                ["do_resize"]),
            .edited(
                "tokenizer.json", "unknown component", "\"ByteLevel\"", "\"Unigram\"",
                ["Unigram", "supported here"]),
            .edited("tokenizer.json", "missing key", "\"merges\"", "\"mergers\"", ["merges"]),
            .edited(
                "tokenizer_config.json", "wrong type", "\"<s>\"", "7", ["bos_token"]),
        ]

    /// A folder with every kind of file: a decoder in shards, a tokenizer, an image processor.
    private func whole() throws -> String {
        let folder = try TemporaryFolder.make()
        func copy(_ family: String, where isWanted: (String) -> Bool) throws {
            for name in try FileManager.default.contentsOfDirectory(
                atPath: GoldenFixture(family).path) where isWanted(name)
            {
                try FileManager.default.copyItem(
                    atPath: GoldenFixture(family).path + "/" + name, toPath: folder + "/" + name)
            }
        }
        try copy("llama3_sharded_bf16") { !$0.hasPrefix("golden") && $0 != "config.v4.json" }
        try copy("llava_next") { $0 == Self.preprocessor }
        try copy("tokenizers/llama3") { $0 == "tokenizer.json" }
        try #"{"bos_token": "<s>", "eos_token": "</s>"}"#.write(
            toFile: folder + "/tokenizer_config.json", atomically: true, encoding: .utf8)
        return folder
    }

    /// Reads all that the folder holds.
    private func load(_ folder: String) throws {
        let store = ParameterStore(seed: 1)
        let checkpoint = try CheckpointFolder(folder)
        _ = try checkpoint.generation()
        _ = try checkpoint.languageModel(into: store)
        try store.checkComplete()
        _ = try Tokenizer(folder: folder)
        _ = try ImageProcessor(path: folder)
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func theWholeFolderLoads() throws { try load(try whole()) }

    @Test(arguments: damages)
    func theFileIsNamed(_ damage: Damage) throws {
        let folder = try whole()
        let path = folder + "/" + damage.file
        let old = try String(contentsOfFile: path, encoding: .utf8)
        let new = try #require(damage.change(old), "\(damage): nothing to change")
        try new.write(toFile: path, atomically: true, encoding: .utf8)
        let text = message { try load(folder) }
        #expect(text.contains(damage.file))
        for word in damage.words { #expect(text.contains(word)) }
    }

    private func rewrite(
        _ path: String, _ change: ([(String, Tensor)]) throws -> [(String, Tensor)]
    ) throws {
        let tensors = try SafetensorsFile(path: path).tensors().map { ($0.0, $0.1.cloned()) }
        try SafetensorsFile.write(try change(tensors), metadata: [:], to: path)
    }

    @Test("a shard cut off, or of another kind", arguments: [0, 6, 200, -40])
    func brokenShard(_ length: Int) throws {
        let folder = try whole()
        let path = folder + "/model-00003-of-00005.safetensors"
        let data = try #require(FileManager.default.contents(atPath: path))
        try data.prefix(length < 0 ? data.count + length : length)
            .write(to: URL(fileURLWithPath: path))
        #expect(message { try load(folder) }.contains(path))
    }

    @Test func aTensorInTwoShards() throws {
        let folder = try whole()
        let shards = (1...5).map { folder + "/model-0000\($0)-of-00005.safetensors" }
        let first = try SafetensorsFile(path: shards[0])
        let name = try #require(first.names.first)
        let doubled = (name, try first.tensor(name).cloned())
        try rewrite(shards[1]) { $0 + [doubled] }
        let text = message { try load(folder) }
        #expect(text.contains("language." + name) && text.contains("is there twice"))
        #expect(text.contains(shards[1]))
    }

    @Test(
        "a name that no part has stays unclaimed, in every family",
        arguments: [
            "llama", "qwen2_tied", "clip_vision", "clip_full", "siglip_full", "dinov2",
            "llava_next", "sd3", "autoencoder_kl", "vqmodel", "asvr_tokenizer", "dualtoken",
        ])
    func strangers(_ family: String) throws {
        let folder = try TemporaryFolder.make()
        let source = GoldenFixture(family).path
        for name in try FileManager.default.contentsOfDirectory(atPath: source)
        where !name.hasPrefix("golden") {
            try FileManager.default.copyItem(
                atPath: source + "/" + name, toPath: folder + "/" + name)
        }
        let weights = try FileManager.default.contentsOfDirectory(atPath: folder)
            .filter { $0.hasSuffix(".safetensors") }
        func load() throws {
            let store = ParameterStore(seed: 1)
            let checkpoint = try CheckpointFolder(folder)
            switch checkpoint.kind {
            case "llama", "qwen2": _ = try checkpoint.languageModel(into: store)
            case "llava_next": _ = try checkpoint.llava(into: store)
            case "SD3Transformer2DModel": _ = try checkpoint.denoiser(into: store)
            case "AutoencoderKL": _ = try checkpoint.latentCodec(into: store)
            case "VQModel": _ = try checkpoint.imageTokenizer(into: store)
            case SemanticTokenizerConfiguration.kind:
                _ = try checkpoint.semanticTokenizer(into: store)
            default: _ = try checkpoint.visionTower(into: store)
            }
            try store.checkComplete()
        }
        try load()
        let path = folder + "/" + (try #require(weights.first))
        try rewrite(path) { tensors in
            // Two letters off the name of a tensor that is needed, beside it.
            let known = try #require(
                tensors.first { $0.0.contains("norm") && !$0.0.hasPrefix("text_model.") })
            return tensors + [(known.0.replacing("norm", with: "nrom"), known.1.cloned())]
        }
        let text = message(load)
        #expect(text.contains("the model has no parameter for") && text.contains("nrom"))
        #expect(text.contains("the nearest name is") && text.contains(path))
    }
}
