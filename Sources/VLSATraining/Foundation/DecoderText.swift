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
                "\(record.id): \(told.count) cells instead of \(cellCount), one a token of the snapshot"
            )
        }
        turns[first].text = Turn.imagePlaceholder + String(turns[first].text[end...])
        cells = told.map { cell in
            let words = cell.split(separator: " ").joined(separator: " ")
            // As after a word, so that a word is the same token here and in an answer.
            return words.isEmpty
                ? []
                : tokenizer.encode(" " + words, addingSpecial: false).filter { id in
                    tokenizer.decode([id]).contains { !$0.isWhitespace }
                }
        }
        prompt = try chat.format.encode(
            turns, tokenizer: tokenizer, system: chat.system, imageCount: 1,
            compat: chat.compat)
    }
}

/// Trains a decoder from nothing on text: pictures told in words, and conversations about them.
///
/// A cell of the telling takes one position, where a visual token will stand later: the sum of its words' embeddings.
final class DecoderText: Trainable {
    typealias Example = ToldPicture

    let store: ParameterStore
    let language: LanguageModel
    private let noise: FoundationPlan.TellingNoise
    private let tokenizerFolder: String

    init(
        _ configuration: LanguageConfiguration, noise: FoundationPlan.TellingNoise,
        tokenizerFolder: String, seed: UInt64
    ) throws {
        self.noise = noise
        store = ParameterStore(seed: seed)
        language = try LanguageModel(configuration, in: store.scope["language"])
        self.tokenizerFolder = tokenizerFolder
        start(seed: seed)
    }

    func counts(_ examples: [ToldPicture]) -> [String: Int] {
        [
            "text": examples.reduce(0) {
                $0 + $1.prompt.isSupervised.dropFirst().count(where: { $0 })
            }
        ]
    }

    func losses(_ examples: [ToldPicture], generators: [Generator]) throws -> [LossTerm] {
        let (batch, hidden) = try read(examples, generators: generators)
        let loss = language.loss(hidden, rows: batch.predictingRows, targets: batch.targets)
        return [LossTerm(name: "text", sum: loss.sum, count: loss.count)]
    }

    /// Share of the answers to told pictures, without noise, of which every token is the likeliest one.
    func accuracy(_ examples: [ToldPicture]) throws -> Double {
        let (batch, hidden) = try withoutGradients { try read(examples) }
        let rows = Tensor(
            batch.predictingRows, shape: [batch.predictingRows.count], device: store.device)
        let likeliest = withoutGradients {
            language.logits(hidden.flattened(from: 0, to: 1).selecting(rows, axis: 0))
        }.argmax(axis: -1).ints()
        var (right, answers) = (0, 0)
        var isRight = true
        for (place, row) in batch.predictingRows.enumerated() {
            isRight = isRight && likeliest[place] == batch.targets[place]
            // An answer ends where the next position predicts nothing.
            guard place + 1 == batch.targets.count || batch.predictingRows[place + 1] != row + 1
            else { continue }
            answers += 1
            if isRight { right += 1 }
            isRight = true
        }
        return answers == 0 ? 0 : Double(right) / Double(answers)
    }

    /// The decoder's output over some conversations, `[pictures, T, d]`.
    private func read(_ examples: [ToldPicture], generators: [Generator] = []) throws -> (
        batch: PromptBatch, hidden: Tensor
    ) {
        let batch = try PromptBatch(
            prompts: examples.map { ($0.prompt.ids, $0.prompt.isSupervised, [$0.cells.count]) },
            names: examples.map(\.recordID))
        let visual = told(examples, generators: generators)
        return (
            batch, language(batch.embeddings(in: language, visual: visual, device: store.device))
        )
    }

    /// The cells of some pictures as visual tokens, `[pictures, cells, d]`, spoilt when each has a generator.
    private func told(_ examples: [ToldPicture], generators: [Generator]) -> Tensor {
        let (cellCount, width) = (examples[0].cells.count, language.width)
        var words: [(id: Int, place: Int)] = []
        for (picture, example) in examples.enumerated() {
            var own: [(id: Int, place: Int)] = []
            for (cell, ids) in example.cells.enumerated() {
                own += ids.map { ($0, picture * cellCount + cell) }
            }
            if !generators.isEmpty, noise.dropout > 0 {
                let draws = Tensor.uniform([own.count], generator: generators[picture]).floats()
                own = zip(own, draws).filter { Double($1) >= noise.dropout }.map(\.0)
            }
            words += own
        }
        func column(_ values: [Int]) -> Tensor {
            Tensor(values, shape: [values.count], device: store.device)
        }
        let embedded = language.embed(column(words.map(\.id)))
        var cells = Tensor.zeros([examples.count * cellCount, width], device: store.device)
            .indexAdding(column(words.map(\.place)), axis: 0, embedded)
            .reshaped([examples.count, cellCount, width])
        if !generators.isEmpty, noise.deviation > 0 {
            let unit = withoutGradients { embedded.square().mean().sqrt() }
            let draws = Tensor.stacked(
                generators.map { Tensor.normal([cellCount, width], generator: $0) }, axis: 0)
            cells = cells + draws * unit * noise.deviation
        }
        return cells
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
