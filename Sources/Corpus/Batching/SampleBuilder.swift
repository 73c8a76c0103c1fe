import AnyRes
import Codecs
import Foundation
import Prompting

/// Turns records into samples: the one path from files to model inputs, for training and evaluation alike.
public struct SampleBuilder: Sendable {
    /// How many visual tokens a picture becomes.
    public typealias VisualTokenCount = @Sendable (TileGeometry) -> Int

    /// The chat format's choices and the sample's limits.
    public struct Settings: Sendable {
        /// The chat format.
        public var format: ChatFormat
        /// System text for records that bring none; nil for the format's own.
        public var system: String?
        /// Labels, system text and blanks as the original LLaVA code has them.
        public var compat: Bool
        /// Longest sequence, pictures counted in full; nil for any. Longer ones are cut, but never at or before a
        /// picture: those are rejected.
        public var maxLength: Int?
        /// How large a record may be.
        public var limits: RecordLimits

        public init(
            format: ChatFormat, system: String? = nil, compat: Bool = false, maxLength: Int? = nil,
            limits: RecordLimits = RecordLimits()
        ) {
            (self.format, self.system, self.compat) = (format, system, compat)
            (self.maxLength, self.limits) = (maxLength, limits)
        }
    }

    /// The choices and limits.
    public let settings: Settings

    /// The tokenizer of its samples.
    public let tokenizer: Tokenizer
    private let tiler: Tiler
    private let tilingKey: String
    private let folder: PictureFolder?
    private let reader: PictureReader
    private let augmenter: Augmenter?
    private let visualTokenCount: VisualTokenCount

    /// - Parameters:
    ///   - folder: where pictures lie; nil where records are text alone.
    ///   - augmenter: slips cognition turns in on the fly; the turns are those of the offline file for the same
    ///     seed and epoch.
    ///   - visualTokenCount: visual tokens of a tiled picture.
    public init(
        tokenizer: Tokenizer, tiler: Tiler, folder: PictureFolder?, settings: Settings,
        reader: PictureReader = PictureReader(), augmenter: Augmenter? = nil,
        visualTokenCount: @escaping VisualTokenCount
    ) {
        self.tokenizer = tokenizer
        self.tiler = tiler
        self.folder = folder
        self.settings = settings
        self.reader = reader
        self.augmenter = augmenter
        self.visualTokenCount = visualTokenCount
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let tiling = (try? encoder.encode(tiler.configuration)) ?? Data()
        let decoding = FilePicture.key(of: reader)
        tilingKey = String(
            tiling.withUnsafeBytes { stableHash($0, seed: stableHash(decoding)) }, radix: 16)
    }

    /// The sample of a record; throws a ``Rejection`` without place where it cannot be one.
    public func sample(_ record: Record, epoch: Int = 0) throws -> Sample {
        do {
            return try sample(record, epoch: epoch, cache: nil)
        } catch let problem as RecordProblem {
            throw problem.rejection(file: "", index: 0, id: record.id)
        }
    }

    func sample(_ record: Record, epoch: Int, cache: PictureCache?) throws -> Sample {
        try record.check(settings.limits)
        let paths = try paths(of: record)
        let files = paths.map { FilePicture(path: $0, reader: reader) }
        let augmented: Record
        do {
            augmented =
                try augmenter?.augmented(record, epoch: epoch) { files[$0] } ?? record
        } catch let error as PictureError {
            throw RecordProblem(kind: .unreadablePicture, reason: "\(error)")
        }
        let prompt = try prompt(of: augmented)

        var entries: [PictureCache.Entry] = []
        for file in files {
            if let known = cache?[file.path] {
                entries.append(known)
                continue
            }
            let entry = try tiled(file)
            cache?.insert(entry, for: file.path)
            entries.append(entry)
            file.forget()
        }
        let counts = entries.map { visualTokenCount($0.tiled.geometry) }
        let fitting = try cut(prompt, counts)
        return Sample(
            recordID: record.id, ids: fitting.ids, isSupervised: fitting.isSupervised,
            pictures: entries.map(\.tiled), pictureKeys: entries.map(\.key),
            tokenCount: fitting.length(imageTokenCounts: counts))
    }

    /// How long a record's sample is, pictures counted in full.
    struct Measure: Equatable {
        /// Tokens before any cut.
        var length: Int
        /// Tokens trained on, after the cut.
        var supervisedCount: Int
    }

    /// The length of a record whose pictures have the given sizes, without opening them; throws what
    /// ``sample(_:epoch:)`` would, as far as it does not depend on the pixels.
    func measured(_ record: Record, sizes: [PictureSize]) throws -> Measure {
        let prompt = try prompt(of: record)
        let counts: [Int]
        do {
            counts = try sizes.map {
                visualTokenCount(try tiler.plan(width: $0.width, height: $0.height))
            }
        } catch let error as PictureError {
            throw RecordProblem(kind: .unreadablePicture, reason: "\(error)")
        }
        return Measure(
            length: prompt.length(imageTokenCounts: counts),
            supervisedCount: try cut(prompt, counts).supervisedCount)
    }

    private func paths(of record: Record) throws -> [String] {
        guard !record.images.isEmpty else { return [] }
        guard let folder else {
            throw RecordProblem(
                kind: .missingPicture,
                reason: "the record has pictures, but no picture folder is given")
        }
        return try record.images.map { try folder.resolve($0) }
    }

    private func tiled(_ file: FilePicture) throws -> PictureCache.Entry {
        do {
            let tiled = try tiler.tile(file.picture())
            return PictureCache.Entry(tiled: tiled, key: "\(try file.content())-\(tilingKey)")
        } catch let error as PictureError {
            throw RecordProblem(kind: .unreadablePicture, reason: "\(error)")
        }
    }

    /// The token ids of a record as training has them, before any cut.
    ///
    /// - Throws: ``RecordProblem`` where the chat format refuses the turns.
    public func prompt(of record: Record) throws -> PromptIDs {
        do {
            return try settings.format.encode(
                Self.turns(of: record), tokenizer: tokenizer, system: settings.system,
                imageCount: record.images.count, compat: settings.compat)
        } catch let error as PromptingError {
            throw RecordProblem(kind: .prompt, reason: "\(error)")
        }
    }

    /// The conversation in the shape chat formats want, as LLaVA's loader has it: what the model says before the
    /// user's first turn is dropped, as is a last question without an answer, and a turn's single picture comes
    /// first.
    static func turns(of record: Record) -> [Turn] {
        var turns = record.turns.map { turn in
            let role: Turn.Role =
                switch turn.from {
                case .system: .system
                case .human: .user
                case .gpt: .assistant
                }
            return Turn(role, pictureFirst(turn.value))
        }
        if let first = turns.firstIndex(where: { $0.role != .system }),
            turns[first].role == .assistant
        {
            turns.remove(at: first)
        }
        if turns.last?.role == .user { turns.removeLast() }
        return turns
    }

    private static func pictureFirst(_ text: String) -> String {
        let pieces = Turn.pieces(of: text)
        guard pieces.count == 2, !pieces[0].isEmpty else { return text }
        let rest = pieces.joined().trimmingCharacters(in: .whitespacesAndNewlines)
        return "\(Turn.imagePlaceholder)\n\(rest)"
    }

    private func cut(_ prompt: PromptIDs, _ counts: [Int]) throws -> PromptIDs {
        var prompt = prompt
        if let limit = settings.maxLength, prompt.length(imageTokenCounts: counts) > limit {
            let length = prompt.length(imageTokenCounts: counts)
            let cut = try prompt.truncated(to: limit, imageTokenCounts: counts)
            guard cut.removedImageCount == 0, !cut.removedAllSupervised else {
                throw RecordProblem(
                    kind: .length,
                    reason: "\(length) tokens, over \(limit); the cut would take "
                        + (cut.removedImageCount > 0 ? "a picture" : "every answer"))
            }
            prompt = cut.prompt
        }
        guard prompt.supervisedCount > 0 else {
            throw RecordProblem(kind: .unsupervised, reason: "nothing in it is supervised")
        }
        return prompt
    }
}
