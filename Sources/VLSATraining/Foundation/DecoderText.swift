import Corpus
import Foundation
import Prompting
import Torch
import TorchNN
import VLSA

/// A conversation as ids; what an assistant says is marked.
struct TokenizedText: TrainingExample {
    let recordID: String
    let ids: [Int]
    let isAnswer: [Bool]

    var tokenCount: Int { ids.count }
}

/// Trains a decoder from nothing on text: every next token, answers at full weight and the rest at a lower one.
final class DecoderText: Trainable {
    typealias Example = TokenizedText

    let store: ParameterStore
    let language: LanguageModel
    private let tokenizerFolder: String

    /// Weight of tokens that are no answers.
    static let contextWeight = 0.2

    init(_ configuration: LanguageConfiguration, tokenizerFolder: String, seed: UInt64) throws {
        store = ParameterStore(seed: seed)
        language = try LanguageModel(configuration, in: store.scope["language"])
        self.tokenizerFolder = tokenizerFolder
    }

    func counts(_ examples: [TokenizedText]) -> [String: Int] {
        let answers = examples.reduce(0) { $0 + $1.isAnswer.dropFirst().count(where: { $0 }) }
        let all = examples.reduce(0) { $0 + max(0, $1.ids.count - 1) }
        return ["answers": answers, "context": all - answers]
    }

    func weight(of loss: String, step: Int) -> Double {
        loss == "context" ? DecoderText.contextWeight : 1
    }

    func losses(_ examples: [TokenizedText], generator: Generator) throws -> [LossTerm] {
        let length = examples.map(\.ids.count).max() ?? 0
        var ids: [Int] = []
        var rows: (answers: [Int], context: [Int]) = ([], [])
        var targets: (answers: [Int], context: [Int]) = ([], [])
        for (index, example) in examples.enumerated() {
            ids += example.ids + Array(repeating: 0, count: length - example.ids.count)
            for place in example.ids.indices.dropFirst() {
                let row = index * length + place - 1
                if example.isAnswer[place] {
                    rows.answers.append(row)
                    targets.answers.append(example.ids[place])
                } else {
                    rows.context.append(row)
                    targets.context.append(example.ids[place])
                }
            }
        }
        let hidden = language(
            language.embed(Tensor(ids, shape: [examples.count, length], device: store.device)))
        let answers = language.loss(hidden, rows: rows.answers, targets: targets.answers)
        let context = language.loss(hidden, rows: rows.context, targets: targets.context)
        return [
            LossTerm(name: "answers", sum: answers.sum, count: answers.count),
            LossTerm(name: "context", sum: context.sum, count: context.count),
        ]
    }

    func save(to folder: String) throws {
        try saveFolder(language.configuration, part: "language", of: store, to: folder)
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            let (source, destination) = (tokenizerFolder + "/" + name, folder + "/" + name)
            guard FileManager.default.fileExists(atPath: source) else { continue }
            if FileManager.default.fileExists(atPath: destination) {
                try FileManager.default.removeItem(atPath: destination)
            }
            try FileManager.default.copyItem(atPath: source, toPath: destination)
        }
    }
}
