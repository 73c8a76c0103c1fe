import AnyRes
import Prompting
import Torch

/// One question to a model, ready to be continued.
public struct Question: Sendable {
    /// The prompt, ending where the assistant's answer begins; `<image>` places as placeholders.
    public let prompt: PromptIDs
    /// Which of the call's pictures stand in those places, in order.
    public let pictures: [Int]

    public init(prompt: PromptIDs, pictures: [Int]) {
        self.prompt = prompt
        self.pictures = pictures
    }
}

extension VLSAModel {
    /// The conversation so far as a prompt for the next answer.
    public func prompt(for turns: [Turn]) throws -> PromptIDs {
        try configuration.chat.format.encode(
            turns, tokenizer: tokenizer, system: configuration.chat.system,
            addingGenerationPrompt: true, compat: configuration.chat.compat)
    }

    /// Answers several questions about some pictures at once, greedily by default.
    ///
    /// - Parameters:
    ///   - pictures: each is seen once, however many questions are asked about it.
    ///   - limit: most tokens of an answer.
    ///   - stopsAtEnd: whether a stop token ends an answer; without, each has `limit` tokens.
    ///   - onToken: called with the question's index and each new id; false ends that answer.
    /// - Returns: each answer's text, without its stop token.
    public func answer(
        _ questions: [Question], about pictures: [TiledPicture], limit: Int,
        sampler: TokenSampler = .greedy, stopsAtEnd: Bool = true,
        onToken: (Int, Int) -> Bool = { _, _ in true }
    ) throws -> [String] {
        try withoutGradients {
            let seen = pictures.isEmpty ? nil : see(pictures)
            let counts = seen?.counts ?? []
            let starts = counts.indices.map { counts[..<$0].reduce(0, +) }
            let rows = questions.flatMap(\.pictures).flatMap { picture in
                starts[picture]..<starts[picture] + counts[picture]
            }
            let asked = seen?.rows.selecting(
                Tensor(rows, shape: [rows.count], device: store.device), axis: 0)
            let batch = try PromptBatch(
                prompts: questions.map { question in
                    let ids = question.prompt.ids
                    return (ids, ids.map { _ in false }, question.pictures.map { counts[$0] })
                }, names: questions.indices.map { "question \($0 + 1)" },
                arrangement: .leftPadded)
            let stops = stopIDs
            let ids = language.generate(
                batch.embeddings(in: language, visual: asked, device: store.device),
                layout: batch.layout,
                limit: limit, stopIDs: stopsAtEnd ? stops : [], sampler: sampler, onToken: onToken)
            return ids.map { row in
                tokenizer.decode(row.filter { !stops.contains($0) })
            }
        }
    }
}
