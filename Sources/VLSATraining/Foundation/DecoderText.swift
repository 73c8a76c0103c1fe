import Corpus
import Foundation
import Prompting
import Torch
import TorchNN
import VLSA

/// A picture told in words, cell by cell, and a conversation about it.
struct ToldPicture: TrainingExample {
    let recordID: String
    /// The conversation, with one picture's place in it.
    let prompt: PromptIDs
    /// Token ids of each cell's words.
    let cells: [[Int]]

    var tokenCount: Int { prompt.ids.count + cells.count }

    /// Reads a text record whose first question begins with a line of cells parted by `|`.
    ///
    /// - Throws: ``FoundationError/data(_:)`` when the line has not `cellCount` cells.
    init(
        _ record: Record, cellCount: Int, chat: ChatConfiguration, tokenizer: Tokenizer
    ) throws {
        recordID = record.id
        var turns = record.turns.map { turn -> Turn in
            let role: Turn.Role =
                switch turn.from {
                case .system: .system
                case .human: .user
                case .gpt: .assistant
                }
            return Turn(role, turn.value)
        }
        guard let first = turns.firstIndex(where: { $0.role == .user }),
            let end = turns[first].text.firstIndex(of: "\n")
        else { throw FoundationError.data("\(record.id): its first question has no line of cells") }
        let told = turns[first].text[..<end].split(separator: "|", omittingEmptySubsequences: false)
        guard told.count == cellCount else {
            throw FoundationError.data(
                "\(record.id): \(told.count) cells instead of \(cellCount), one a token of the snapshot")
        }
        turns[first].text = Turn.imagePlaceholder + String(turns[first].text[end...])
        cells = told.map { cell in
            let words = cell.split(separator: " ").joined(separator: " ")
            // As after a word, so that a word is the same token here and in an answer.
            return words.isEmpty
                ? [] : tokenizer.encode(" " + words, addingSpecial: false).filter { id in
                    tokenizer.decode([id]).contains { !$0.isWhitespace }
                }
        }
        prompt = try chat.format.encode(
            turns, tokenizer: tokenizer, system: chat.system, imageCount: 1)
    }
}

/// Trains a decoder from nothing on text: pictures told in words, and conversations about them.
///
/// A cell of the telling takes one position, where a visual token will stand later: the sum of its words' embeddings.
final class DecoderText: Trainable {
    typealias Example = ToldPicture

    let store: ParameterStore
    let language: LanguageModel
    private let tokenizerFolder: String

    init(_ configuration: LanguageConfiguration, tokenizerFolder: String, seed: UInt64) throws {
        store = ParameterStore(seed: seed)
        language = try LanguageModel(configuration, in: store.scope["language"])
        self.tokenizerFolder = tokenizerFolder
        widen(configuration, seed: seed)
    }

    /// Starting values for a narrow model that has minutes: families start with a deviation of 0.02, made for thousands of
    /// columns. Here a product keeps its input's size, and keys start as queries, so that from the first step a word
    /// attends to its like.
    private func widen(_ configuration: LanguageConfiguration, seed: UInt64) {
        let generator = Generator(seed: seed &+ 1)
        for (name, tensor) in store.tensors() where tensor.rank == 2 {
            let scale =
                name.contains("embed_tokens")
                ? 0.5
                : (name.contains("o_proj") || name.contains("down_proj") ? 0.5 : 1)
                    / Double(tensor.shape[1]).squareRoot()
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * scale)
        }
        let (heads, groups) = (configuration.headCount, configuration.keyValueHeadCount)
        for layer in 0..<configuration.layerCount {
            let path = "language.model.layers.\(layer).self_attn."
            guard let query = store[path + "q_proj.weight"], let key = store[path + "k_proj.weight"]
            else { continue }
            let width = query.shape[0] / heads
            let chosen = (0..<groups).map { group in
                query.narrowed(axis: 0, start: group * (heads / groups) * width, length: width)
            }
            key.copy(from: Tensor.concatenated(chosen, axis: 0))
        }
    }

    func counts(_ examples: [ToldPicture]) -> [String: Int] {
        ["text": examples.reduce(0) { $0 + $1.prompt.isSupervised.dropFirst().count(where: { $0 }) }]
    }

    func losses(_ examples: [ToldPicture], generators: [Generator]) throws -> [LossTerm] {
        let batch = try PromptBatch(
            prompts: examples.map { ($0.prompt.ids, $0.prompt.isSupervised, 1) },
            names: examples.map(\.recordID), visualTokens: examples[0].cells.count)
        let hidden = language(
            batch.embeddings(in: language, visual: told(examples), device: store.device))
        let loss = language.loss(hidden, rows: batch.predictingRows, targets: batch.targets)
        return [LossTerm(name: "text", sum: loss.sum, count: loss.count)]
    }

    /// The cells of some pictures as visual tokens, `[pictures, cells, d]`.
    private func told(_ examples: [ToldPicture]) -> Tensor {
        let cellCount = examples[0].cells.count
        var ids: [Int] = []
        var places: [Int] = []
        for (picture, example) in examples.enumerated() {
            for (cell, words) in example.cells.enumerated() {
                ids += words
                places += Array(repeating: picture * cellCount + cell, count: words.count)
            }
        }
        let words = language.embed(Tensor(ids, shape: [ids.count], device: store.device))
        let sum = Tensor.zeros([examples.count * cellCount, language.width], device: store.device)
            .indexAdding(Tensor(places, shape: [places.count], device: store.device), axis: 0, words)
        return sum.reshaped([examples.count, cellCount, language.width])
    }

    func save(_ weights: ParameterStore, to folder: String) throws {
        try saveFolder(language.configuration, part: "language", of: weights, to: folder)
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let (source, destination) = (tokenizerFolder + "/" + name, folder + "/" + name)
            if FileManager.default.fileExists(atPath: destination) {
                try FileManager.default.removeItem(atPath: destination)
            }
            try FileManager.default.copyItem(atPath: source, toPath: destination)
        }
    }
}
