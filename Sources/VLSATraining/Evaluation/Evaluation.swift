import AnyRes
import Corpus
import Foundation
import Prompting
import Torch
import VLSA

/// What to evaluate on.
public struct EvaluationOptions: Sendable {
    /// LLaVA records; the list `kinds`, one entry per question, sorts the answers.
    public var records: String
    /// Root of the records' pictures.
    public var images: String
    /// Grey pictures instead of the real ones: what a model answers from the questions alone.
    public var isBlind: Bool
    /// Most tokens of an answer.
    public var answerLimit: Int
    /// Most records; nil for all.
    public var recordLimit: Int?
    /// Pictures answered about at once.
    public var batch: Int
    /// Most tiles of a picture in the `vlsa` tiling; nil for the model's own limit. Fewer show what the tiles are
    /// worth: reconstructions are held against the same targets whatever it is.
    public var maxTiles: Int?
    /// Euler steps of the reconstructions that PSNR is taken of; 0 leaves them out.
    public var reconstructionSteps: Int
    /// Seed of the reconstruction's times and noise.
    public var seed: UInt64

    public init(
        records: String, images: String, isBlind: Bool = false, answerLimit: Int = 16,
        recordLimit: Int? = nil, batch: Int = 8, maxTiles: Int? = nil, reconstructionSteps: Int = 0,
        seed: UInt64 = 1
    ) {
        self.records = records
        self.images = images
        self.isBlind = isBlind
        self.answerLimit = answerLimit
        self.recordLimit = recordLimit
        self.batch = batch
        self.maxTiles = maxTiles
        self.reconstructionSteps = reconstructionSteps
        self.seed = seed
    }
}

/// One question with what was expected and what was said.
public struct EvaluatedAnswer: Codable, Sendable {
    public let record: String
    public let image: String
    public let kind: String
    public let question: String
    public let expected: String
    public let answer: String
    public let isRight: Bool
}

/// Accuracy by question kind, and the reconstruction's error where the model has a denoiser.
public struct EvaluationReport: Codable, Sendable {
    public struct Score: Codable, Sendable {
        public let right: Int
        public let asked: Int
        /// 0...1
        public var accuracy: Double { asked == 0 ? 0 : Double(right) / Double(asked) }
    }

    public let model: String
    public let records: String
    public let isBlind: Bool
    public let kinds: [String: Score]
    /// Of the cognition tasks' questions (records from `vlsa augment`), by task; nil where there are none.
    public let numbers: [String: NumberScore]?
    public let answers: [EvaluatedAnswer]
    /// Mean reconstruction loss over the pictures; nil without a denoiser.
    public let reconstructionLoss: Double?
    /// Mean PSNR, in dB, of pictures rebuilt from noise against the padded pictures (not their latents); nil when not
    /// asked for, as are the following.
    public let reconstructionPSNR: Double?
    /// The same of what the frozen latents keep: the best a reconstruction can be.
    public let latentPSNR: Double?
    /// The same of pictures rebuilt from another picture's tokens, the next one of the batch.
    public let swappedPSNR: Double?
    /// The same of each picture's mean colour.
    public let constantPSNR: Double?
    public let seconds: Double

    /// Mean of the kinds' accuracies, 0...1.
    public var meanAccuracy: Double {
        kinds.isEmpty ? 0 : kinds.values.map(\.accuracy).reduce(0, +) / Double(kinds.count)
    }

    public static func load(_ path: String) throws -> EvaluationReport {
        try JSONDecoder().decode(
            EvaluationReport.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    public func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// A table for a terminal: kind, right, asked, accuracy.
    public var table: String {
        var lines = ["kind            right   asked   accuracy"]
        func line(_ name: String, _ right: String, _ asked: String, _ accuracy: Double) -> String {
            name.padding(toLength: 14, withPad: " ", startingAt: 0)
                + String(repeating: " ", count: max(0, 7 - right.count)) + right
                + String(repeating: " ", count: max(0, 8 - asked.count)) + asked
                + String(format: "%10.1f%%", accuracy * 100)
        }
        for (kind, score) in kinds.sorted(by: { $0.key < $1.key }) {
            lines.append(line(kind, "\(score.right)", "\(score.asked)", score.accuracy))
        }
        lines.append(line("mean of kinds", "", "", meanAccuracy))
        for (task, score) in (numbers ?? [:]).sorted(by: { $0.key < $1.key }) {
            lines.append(
                task.padding(toLength: 14, withPad: " ", startingAt: 0)
                    + String(
                        format:
                            " %d numbers: %.1f%% equal (the best constant %.1f%%), mean error %@ (%.1f)",
                        score.expected, score.equal * 100, score.constantEqual * 100,
                        score.error.map { String(format: "%.1f", $0) } ?? "-", score.constantError))
        }
        if let reconstructionLoss {
            lines.append("reconstruction loss " + String(format: "%.4f", reconstructionLoss))
        }
        for (name, value) in [
            ("reconstruction PSNR", reconstructionPSNR),
            ("from another picture's tokens", swappedPSNR),
            ("the mean colour", constantPSNR), ("latent, decoded", latentPSNR),
        ] {
            if let value { lines.append("\(name) " + String(format: "%.2f dB", value)) }
        }
        return lines.joined(separator: "\n")
    }
}

/// Asks a model every question of some records, each on its own, and compares its greedy answers with theirs.
public struct Evaluation {
    let model: VLSAModel
    let options: EvaluationOptions

    public init(_ model: VLSAModel, options: EvaluationOptions) {
        self.model = model
        self.options = options
    }

    /// Two answers are the same when they agree without case, outer space and a final full stop.
    public static func agrees(_ answer: String, with expected: String) -> Bool {
        func plain(_ text: String) -> String {
            var text = text.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
            if text.hasSuffix(".") { text.removeLast() }
            return text
        }
        return plain(answer) == plain(expected)
    }

    /// - Parameter progress: called with records done and in all.
    public func run(name: String, progress: (Int, Int) -> Void = { _, _ in }) throws
        -> EvaluationReport
    {
        let start = Date()
        let file = try RecordFile(path: options.records)
        let count = min(file.count, options.recordLimit ?? file.count)
        let root = try PictureFolder(options.images)
        var tiling = model.configuration.picture
        let whole = try Tiler(tiling)
        if let limit = options.maxTiles {
            guard tiling.tiling == .vlsa else {
                throw VLSAError.input(
                    "a limit of \(limit) tiles is for picture.tiling: vlsa, and this model's is "
                        + tiling.tiling.rawValue)
            }
            tiling.maxTiles = limit
        }
        let tiler = try Tiler(tiling)
        let reader = PictureReader()
        let generator = Generator(seed: options.seed)
        var answers: [EvaluatedAnswer] = []
        var loss = 0.0
        var rebuilt: [RebuiltPicture] = []
        var pictureCount = 0
        var done = 0
        while done < count {
            var pictures: [TiledPicture] = []
            var originals: [TiledPicture] = []
            var questions: [Question] = []
            var truths: [(Record, String, String, String)] = []
            for index in done..<min(count, done + options.batch) {
                let record = try file.record(at: index)
                guard record.images.count == 1 else {
                    throw VLSAError.input(
                        "\(record.id): evaluation asks about one picture a record, not "
                            + "\(record.images.count)")
                }
                let read = try reader.picture(path: try root.resolve(record.images[0]))
                var picture = try tiler.tile(read)
                originals.append(options.maxTiles == nil ? picture : try whole.tile(read))
                if options.isBlind { picture = picture.filled(with: 128) }
                for (kind, question, answer) in record.questions {
                    let turn = Turn(.user, "<image>\n" + question)
                    questions.append(
                        Question(prompt: try model.prompt(for: [turn]), pictures: [pictures.count]))
                    truths.append((record, kind, question, answer))
                }
                pictures.append(picture)
            }
            let said = try model.answer(questions, about: pictures, limit: options.answerLimit)
            for ((record, kind, question, expected), answer) in zip(truths, said) {
                answers.append(
                    EvaluatedAnswer(
                        record: record.id, image: record.images[0], kind: kind, question: question,
                        expected: expected, answer: answer,
                        isRight: Evaluation.agrees(answer, with: expected)))
            }
            if !options.isBlind, let reconstruction = model.reconstruction {
                loss += reconstructionLoss(
                    reconstruction, of: originals, from: pictures, generator: generator)
                pictureCount += pictures.count
                if options.reconstructionSteps > 0 {
                    rebuilt += try model.rebuild(
                        pictures, steps: options.reconstructionSteps, seed: options.seed,
                        originals: originals)
                }
            }
            done = min(count, done + options.batch)
            progress(done, count)
        }
        let kinds = Dictionary(grouping: answers, by: \.kind).mapValues { answers in
            EvaluationReport.Score(
                right: answers.count(where: \.isRight), asked: answers.count)
        }
        let numbers = Dictionary(
            grouping: answers.filter { CognitionTask(rawValue: $0.kind) != nil }, by: \.kind
        ).compactMapValues { answers in
            NumberScore(
                answers.map { ($0.expected, $0.answer) },
                period: answers[0].kind.hasPrefix("px_") && answers[0].kind != "px_find" ? 3 : 1)
        }
        return EvaluationReport(
            model: name, records: options.records, isBlind: options.isBlind, kinds: kinds,
            numbers: numbers.isEmpty ? nil : numbers, answers: answers,
            reconstructionLoss: pictureCount == 0 ? nil : loss / Double(pictureCount),
            reconstructionPSNR: meanDecibels(rebuilt.map(\.score)),
            latentPSNR: meanDecibels(rebuilt.map(\.codecScore)),
            swappedPSNR: meanDecibels(rebuilt.compactMap(\.swappedScore)),
            constantPSNR: meanDecibels(rebuilt.map(\.constantScore)),
            seconds: Date().timeIntervalSince(start))
    }

    /// Sum over the pictures of the errors in rebuilding `originals` from what the model sees of `pictures`.
    private func reconstructionLoss(
        _ reconstruction: Reconstruction, of originals: [TiledPicture],
        from pictures: [TiledPicture],
        generator: Generator
    ) -> Double {
        withoutGradients {
            let seen = model.see(pictures)
            guard let pooled = seen.pooled else {
                fatalError("a reconstruction without the perceiver's pooled token")
            }
            return reconstruction.loss(
                of: reconstruction.targets(of: originals, device: model.store.device),
                tokens: seen.tokens, pooled: pooled, generators: pictures.map { _ in generator }
            ).item()
        }
    }
}

private func meanDecibels(_ scores: [PictureSimilarity]) -> Double? {
    // An equal picture is infinitely near; the file takes finite numbers alone.
    scores.isEmpty ? nil : scores.reduce(0) { $0 + min($1.decibels, 120) } / Double(scores.count)
}

extension Record {
    /// Its questions with kind and answer: the task of a question that `vlsa augment` put in, else the next of the
    /// record's `kinds`, else `question`.
    var questions: [(kind: String, question: String, answer: String)] {
        var kinds: [String?] = []
        if case .array(let items)? = extra["kinds"] {
            kinds = items.map { item in if case .string(let kind) = item { kind } else { nil } }
        }
        var result: [(String, String, String)] = []
        var named = kinds[...]
        var asked: RecordTurn?
        for turn in turns where turn.from != .system {
            if turn.from == .human {
                asked = turn
            } else if let question = asked {
                asked = nil
                var kind = "question"
                if case .string(let task)? = question.extra["cognition"] {
                    kind = task
                } else if let next = named.popFirst() ?? nil {
                    kind = next
                }
                let text = Turn.pieces(of: question.value).joined()
                result.append(
                    (kind, text.trimmingCharacters(in: .whitespacesAndNewlines), turn.value))
            }
        }
        return result
    }
}
