import AnyRes

/// One record as the model takes it: token ids with their mask, and tiled pictures.
public struct Sample: Sendable, Equatable {
    /// The record's id.
    public var recordID: String
    /// Token ids, ``Prompting/PromptIDs/imageToken`` once for each picture.
    public var ids: [Int]
    /// For each id, whether the model is trained to predict it.
    public var isSupervised: [Bool]
    /// The pictures, in the order of their placeholders.
    public var pictures: [TiledPicture]
    /// For each picture a key of its file's content and its tiling, for caches of what is computed from it.
    public var pictureKeys: [String]
    /// Length of the sequence once each picture has become its visual tokens.
    public var tokenCount: Int

    public init(
        recordID: String, ids: [Int], isSupervised: [Bool], pictures: [TiledPicture] = [],
        pictureKeys: [String] = [], tokenCount: Int
    ) {
        self.recordID = recordID
        self.ids = ids
        self.isSupervised = isSupervised
        self.pictures = pictures
        self.pictureKeys = pictureKeys
        self.tokenCount = tokenCount
    }

    /// Ids that the model is trained to predict.
    public var supervisedCount: Int { isSupervised.count { $0 } }
}
