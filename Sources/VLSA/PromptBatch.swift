import Prompting
import Torch

/// A batch of prompts with their pictures' tokens put in place, as index tables.
///
/// Every position of `[B, T]` names the row it takes its embedding from: text rows first, then the visual tokens
/// of all pictures in order. Padding repeats text row 0. On the right, as in training, causality and the list of
/// predicting positions keep it out of every result; on the left, as in batched generation, the decoder is told.
public struct PromptBatch {
    /// How prompts of different lengths share a batch.
    public enum Arrangement: Sendable {
        /// A row each, padding behind.
        case padded
        /// A row each, padding in front, as batched generation wants it.
        case leftPadded
        /// Back to back in one row, without padding.
        case packed
    }

    /// Number of rows, B: as many as prompts, or one when they are packed.
    public let count: Int
    /// Length of a row, T: the longest expanded prompt, or all of them together.
    public let length: Int
    /// How the decoder is to read the rows.
    public let layout: SequenceLayout
    /// Expanded length of each prompt.
    public let lengths: [Int]
    // Ids of all text positions of all prompts, in order.
    private let textIDs: [Int]
    // For each position of `[B, T]`, row by row: its row among text embeddings and visual tokens.
    private let sources: [Int]
    /// Flat positions `b * T + t` whose next token is supervised, and that token.
    public let predictingRows: [Int]
    public let targets: [Int]
    /// Of each picture, in order, the flat positions of its visual tokens.
    public let visualRows: [[Int]]

    /// - Parameters:
    ///   - prompts: ids with ``PromptIDs/imageToken`` where a picture stands, which of them are supervised, and the
    ///     number of visual tokens of each of its pictures.
    ///   - names: of the prompts, for errors.
    /// - Throws: ``VLSAError/input(_:)`` for a prompt with another number of places than pictures, or without text.
    public init(
        prompts: [(ids: [Int], isSupervised: [Bool], pictures: [Int])], names: [String],
        arrangement: Arrangement = .padded
    ) throws {
        var textIDs: [Int] = []
        var expanded: [[Int]] = []  // >= 0: row of textIDs; < 0: -(visual row) - 1
        var supervised: [[Bool]] = []
        var visualRow = 0
        for (prompt, name) in zip(prompts, names) {
            var positions: [Int] = []
            var flags: [Bool] = []
            var pictures = 0
            for (id, flag) in zip(prompt.ids, prompt.isSupervised) {
                if id == PromptIDs.imageToken {
                    let tokens = pictures < prompt.pictures.count ? prompt.pictures[pictures] : 0
                    for _ in 0..<tokens {
                        positions.append(-visualRow - 1)
                        flags.append(false)
                        visualRow += 1
                    }
                    pictures += 1
                } else {
                    positions.append(textIDs.count)
                    flags.append(flag)
                    textIDs.append(id)
                }
            }
            guard pictures == prompt.pictures.count else {
                throw VLSAError.input(
                    "\(name): its prompt has \(pictures) <image> places for \(prompt.pictures.count) pictures"
                )
            }
            guard positions.contains(where: { $0 >= 0 }) else {
                throw VLSAError.input("\(name): its prompt has no text")
            }
            expanded.append(positions)
            supervised.append(flags)
        }
        let lengths = expanded.map(\.count)
        let longest = lengths.max() ?? 0
        self.lengths = lengths
        switch arrangement {
        case .padded: (count, length, layout) = (prompts.count, longest, .dense)
        case .leftPadded:
            let padding = lengths.map { longest - $0 }
            let isEven = padding.allSatisfy { $0 == 0 }
            (count, length) = (prompts.count, longest)
            layout = isEven ? .dense : .leftPadded(padding)
        case .packed: (count, length, layout) = (1, lengths.reduce(0, +), .packed(lengths))
        }
        self.textIDs = textIDs
        var sources: [Int] = []
        sources.reserveCapacity(count * length)
        var predictingRows: [Int] = []
        var targets: [Int] = []
        var visualPlaces: [Int] = []
        for (prompt, positions) in expanded.enumerated() {
            let padding = Array(
                repeating: 0, count: arrangement == .packed ? 0 : longest - positions.count)
            if arrangement == .leftPadded { sources += padding }
            let start = sources.count
            for (place, position) in positions.enumerated() {
                if position < 0 { visualPlaces.append(sources.count) }
                sources.append(position >= 0 ? position : textIDs.count - position - 1)
                if place > 0, supervised[prompt][place] {
                    predictingRows.append(start + place - 1)
                    targets.append(textIDs[position])
                }
            }
            if arrangement == .padded { sources += padding }
        }
        self.sources = sources
        self.predictingRows = predictingRows
        self.targets = targets
        var places = visualPlaces[...]
        visualRows = prompts.flatMap(\.pictures).map { count in
            defer { places = places.dropFirst(count) }
            return Array(places.prefix(count))
        }
    }

    /// The decoder's input: text embeddings with visual tokens in their places, `[B, T, d]`.
    ///
    /// - Parameter visual: tokens of all pictures in order, `[…, d]`.
    public func embeddings(in language: LanguageModel, visual: Tensor?, device: Device) -> Tensor {
        let text = language.embed(Tensor(textIDs, shape: [textIDs.count], device: device))
        var rows = text  // [text positions, d]
        if let visual {
            rows = Tensor.concatenated([text, visual.reshaped([-1, language.width])], axis: 0)
        }
        return rows.selecting(Tensor(sources, shape: [sources.count], device: device), axis: 0)
            .reshaped([count, length, language.width])
    }
}
