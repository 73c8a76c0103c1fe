import AnyRes
import Corpus
import Prompting

/// How a saved model's folder turns records into samples, read without its weights.
public struct ModelPrompting: Sendable {
    /// The model's `config.json`.
    public let configuration: VLSAConfiguration
    /// The language model's tokenizer.
    public let tokenizer: Tokenizer
    /// Visual tokens per picture.
    public let visualTokenCount: Int

    /// Reads a folder that ``VLSAModel/save(to:)`` wrote.
    public init(folder: String) throws {
        let checkpoint = try CheckpointFolder(folder)
        guard checkpoint.kind == "vlsa" else {
            throw VLSAError.folder(
                path: folder, problem: "its config.json says \(checkpoint.kind), not vlsa")
        }
        configuration = try checkpoint.configuration(VLSAConfiguration.self)
        tokenizer = try Tokenizer(folder: folder + "/language")
        let vision = try checkpoint.component("vision").configuration(VisionConfiguration.self)
        visualTokenCount = vision.tokenCount
    }

    /// Builds the model's samples, from records whose pictures lie in `folder`.
    public func builder(folder: PictureFolder?, maxLength: Int?) throws -> SampleBuilder {
        let count = visualTokenCount
        return SampleBuilder(
            tokenizer: tokenizer, tiler: try Tiler(configuration.picture), folder: folder,
            settings: SampleBuilder.Settings(
                format: configuration.chat.format, system: configuration.chat.system,
                maxLength: maxLength),
            visualTokenCount: { _ in count })
    }
}
