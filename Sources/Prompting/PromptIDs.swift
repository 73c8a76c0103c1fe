/// A conversation as a model reads it: token ids, and which of them it is trained to say.
public struct PromptIDs: Sendable, Equatable {
    /// The id that stands for one whole picture, whatever number of visual tokens it becomes.
    public static let imageToken = -200
    /// The label of a position that is not trained on.
    public static let ignoredLabel = -100

    /// Token ids; ``imageToken`` where a picture goes.
    public var ids: [Int]
    /// For each id, whether the model is trained to predict it. Never true for a picture.
    public var isSupervised: [Bool]

    public init(ids: [Int] = [], isSupervised: [Bool] = []) {
        self.ids = ids
        self.isSupervised = isSupervised
    }

    /// The number of pictures.
    public var imageCount: Int { ids.count { $0 == Self.imageToken } }

    /// The number of ids the model is trained to predict.
    public var supervisedCount: Int { isSupervised.count { $0 } }

    /// The ids where supervised, elsewhere ``ignoredLabel``; not shifted.
    public var labels: [Int] {
        zip(ids, isSupervised).map { $1 ? $0 : Self.ignoredLabel }
    }

    /// The sequence length once each picture has become its visual tokens.
    ///
    /// - Parameter imageTokenCounts: visual tokens of each picture, in order.
    public func length(imageTokenCounts: [Int]) -> Int {
        ids.count - imageCount + imageTokenCounts.prefix(imageCount).reduce(0, +)
    }

    mutating func append(_ id: Int, supervised: Bool) {
        ids.append(id)
        isSupervised.append(supervised && id != Self.imageToken)
    }
}

/// What is left of a prompt that was cut to a length, and what the cut cost.
public struct TruncatedPrompt: Sendable, Equatable {
    public var prompt: PromptIDs
    /// Ids that were cut off, pictures among them.
    public var removedCount: Int
    /// Pictures that were cut off; those kept are the first ones.
    public var removedImageCount: Int
    /// There was something to train on before the cut, and nothing is left: skip the sample.
    public var removedAllSupervised: Bool
}

extension PromptIDs {
    /// The longest beginning whose length, pictures counted in full, is at most `limit`.
    ///
    /// A picture is kept whole or cut off with all that follows it.
    /// - Parameter imageTokenCounts: visual tokens of each picture, in order, one per placeholder.
    /// - Throws: ``PromptingError/imageCount(expected:found:)``.
    public func truncated(to limit: Int, imageTokenCounts: [Int]) throws -> TruncatedPrompt {
        guard imageTokenCounts.count == imageCount else {
            throw PromptingError.imageCount(expected: imageTokenCounts.count, found: imageCount)
        }
        var length = 0
        var kept = 0
        var images = 0
        for id in ids {
            let isImage = id == Self.imageToken
            length += isImage ? imageTokenCounts[images] : 1
            if length > limit { break }
            kept += 1
            images += isImage ? 1 : 0
        }
        let prompt = PromptIDs(
            ids: Array(ids[..<kept]), isSupervised: Array(isSupervised[..<kept]))
        return TruncatedPrompt(
            prompt: prompt, removedCount: ids.count - kept,
            removedImageCount: imageTokenCounts.count - images,
            removedAllSupervised: supervisedCount > 0 && prompt.supervisedCount == 0)
    }
}
