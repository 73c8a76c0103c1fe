import AnyRes
import Foundation
import Prompting
import Torch

/// Where the words of an answer looked in a picture.
public struct AnswerGaze {
    /// A word and its attention.
    public struct Word {
        /// As it stands in the answer.
        public let text: String
        /// Share of its attention that went to the picture, 0...1.
        public let share: Double
        /// Attention to each of the snapshot's visual tokens, row by row.
        public let attention: [Float]
    }

    /// The whole answer.
    public let answer: String
    /// Its words; attention is the mean over their tokens, heads and layers.
    public let words: [Word]
    let question: String
    let picture: TiledPicture
    /// Tokens along the snapshot's side.
    let side: Int

    /// The picture, then every word's attention over it.
    ///
    /// - Parameter limit: most words shown.
    public func sheet(limit: Int = 15) -> PictureSheet {
        let shown = ShownPicture(picture).fitted(into: 230)
        var panels = [PictureSheet.Panel(shown.pixels, "the picture")]
        panels += words.prefix(limit).map { word in
            let map = HeatMap(values: word.attention, columns: side, rows: side)
            let share = Int((word.share * 100).rounded())
            return PictureSheet.Panel(
                map.over(shown.pixels, covering: shown.snapshot),
                "“\(word.text)”: \(share) % on the picture")
        }
        let rows = stride(from: 0, to: panels.count, by: 4).map {
            Array(panels[$0..<min($0 + 4, panels.count)])
        }
        let more = words.count > limit ? " The first \(limit) of \(words.count) words." : ""
        return PictureSheet(
            title: "\(question) – \(answer)", rows: rows,
            note:
                "Attention of each word to the visual tokens, the mean over heads and layers; each map has its "
                + "own scale." + more)
    }
}

extension VLSAModel {
    /// Answers a question about a picture greedily and says where each word of the answer looked.
    ///
    /// - Parameter limit: most tokens of the answer.
    /// - Throws: ``VLSAError/input(_:)`` when the answer is empty.
    public func gaze(asking question: String, about picture: TiledPicture, limit: Int = 32) throws
        -> AnswerGaze
    {
        let prompt = try prompt(for: [Turn(.user, "<image>\n" + question)])
        var ids: [Int] = []
        _ = try answer(
            [Question(prompt: prompt, pictures: [0])], about: [picture], limit: limit
        ) { _, id in
            ids.append(id)
            return true
        }
        ids.removeAll { stopIDs.contains($0) }
        guard !ids.isEmpty else {
            throw VLSAError.input("the answer to \"\(question)\" is empty: no word to look at")
        }
        return try gaze(of: ids, to: prompt.ids, question: question, about: picture)
    }

    /// Where each word of a given answer looks.
    ///
    /// - Parameters:
    ///   - ids: the answer's, at least one.
    ///   - prompt: the ids before it, with the place of the one picture.
    ///   - question: what stands above the drawing.
    public func gaze(
        of ids: [Int], to prompt: [Int], question: String, about picture: TiledPicture
    ) throws -> AnswerGaze {
        try withoutGradients {
            let all = prompt + ids
            let seen = see([picture])
            let batch = try PromptBatch(
                prompts: [(all, all.map { _ in false }, seen.counts)], names: ["question"])
            let place = prompt.firstIndex(of: PromptIDs.imageToken) ?? 0
            // Each word's token is chosen by the position before it.
            let first = batch.length - ids.count - 1
            let attention = language.attention(
                batch.embeddings(in: language, visual: seen.rows, device: store.device),
                from: Array(first..<first + ids.count))
            let onPicture = attention.narrowed(axis: 1, start: place, length: seen.counts[0])
            let words = self.words(of: ids).map { text, tokens in
                let mean = onPicture.narrowed(
                    axis: 0, start: tokens.lowerBound, length: tokens.count
                ).mean(axis: 0)
                return AnswerGaze.Word(
                    text: text, share: mean.sum().item(),
                    attention: Array(mean.floats().prefix(visualTokenCount)))
            }
            return AnswerGaze(
                answer: tokenizer.decode(ids), words: words, question: question, picture: picture,
                side: tokensPerSide)
        }
    }

    /// Words of an answer with the places of their tokens: a new one begins where a token's text begins with a
    /// space.
    private func words(of ids: [Int]) -> [(text: String, tokens: Range<Int>)] {
        var words: [(text: String, tokens: Range<Int>)] = []
        var decoder = tokenizer.streamingDecoder()
        for (index, id) in ids.enumerated() {
            let piece = decoder.append(id)
            let begins = words.isEmpty || piece.first?.isWhitespace == true
            if begins, words.last?.text.isEmpty != true {
                words.append((piece, index..<index + 1))
            } else {
                words[words.count - 1].text += piece
                words[words.count - 1].tokens = words[words.count - 1].tokens.lowerBound..<index + 1
            }
        }
        words[words.count - 1].text += decoder.finish()
        return words.map { ($0.text.trimmingCharacters(in: .whitespacesAndNewlines), $0.tokens) }
    }
}
