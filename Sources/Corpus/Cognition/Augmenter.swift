import AnyRes
import Codecs
import Foundation
import Prompting

/// Slips cognition questions, with their answers, into the conversations of records with pictures.
///
/// What a record becomes depends on the configuration, the templates, the codebook, the record and the epoch alone:
/// not on the order of records, on threads, or on how a file is split. Text-only records stay as they are.
public struct Augmenter: Sendable {
    /// What is asked, and how.
    public let configuration: CognitionConfiguration
    /// A hexadecimal hash of everything that decides the turns.
    public let fingerprint: String
    /// The tokens that a tokenizer must have for the answers; empty for plain numbers.
    public let addedTokens: [String]

    private let templates: TemplateLibrary
    private let codebook: (any Codebook)?
    private let cache: CodeCache?
    private let tiler: Tiler?
    private let tasks: [CognitionTask]
    private let taskWeights: [Double]
    private let languages: [String]
    private let languageWeights: [Double]
    private let writer: AnswerWriter

    /// - Parameters:
    ///   - templates: from ``Prompting/TemplateLibrary/cognition(_:)``.
    ///   - codebook: needed by the tasks that ask for codes; without one only colours are asked.
    ///   - cache: where codes are kept; what becomes of a record is the same with and without.
    ///   - tiler: needed for coordinates of the padded picture.
    /// - Throws: ``CorpusError/setting(name:problem:)`` for a task, language or coordinate that cannot be had.
    public init(
        _ configuration: CognitionConfiguration, templates: TemplateLibrary,
        codebook: (any Codebook)? = nil, cache: CodeCache? = nil, tiler: Tiler? = nil
    ) throws {
        try configuration.check()
        self.configuration = configuration
        self.templates = templates
        self.codebook = codebook
        self.cache = cache
        self.tiler = tiler
        languages = configuration.languages.filter { $0.value > 0 }.keys.sorted()
        languageWeights = languages.map { configuration.languages[$0] ?? 0 }
        writer = AnswerWriter(vocabulary: configuration.answers)

        if configuration.coordinates == .padded && tiler == nil {
            throw CorpusError.setting(
                name: "coordinates",
                problem: "padded needs to know how pictures are tiled (--model)")
        }
        var weights = configuration.tasks.filter { $0.value > 0 }
        if weights.isEmpty {
            for task in CognitionTask.allCases where codebook != nil || !task.needsCodebook {
                weights[task] = 1
            }
        } else if codebook == nil,
            let task = weights.keys.filter(\.needsCodebook).map(\.rawValue).min()
        {
            throw CorpusError.setting(
                name: "tasks",
                problem: "\(task) needs a codebook (--codebook, in a stage data.augment.codebook)")
        }
        tasks = CognitionTask.allCases.filter { weights[$0] != nil }
        taskWeights = tasks.map { weights[$0] ?? 0 }
        for language in languages {
            let phrases = [
                configuration.coordinates.phrase.rawValue, CognitionPhrase.picture.rawValue,
            ]
            for task in tasks.map(\.rawValue) + phrases
            where templates.templates(task: task, language: language).isEmpty {
                throw CorpusError.setting(
                    name: "languages",
                    problem: "there is no \(task)/\(language)/*.mustache template")
            }
        }
        addedTokens = configuration.addedTokens(codeCount: codebook?.codeCount ?? 0)
        fingerprint = Self.fingerprint(configuration, templates, codebook, tiler)
    }

    /// `record` with questions slipped in, or as it is.
    ///
    /// `access` gives the record's picture at an index and is called only where it is needed, once each; what it
    /// and the picture throw is passed on. The inserted human turns carry a ``CognitionMark``.
    public func augmented(
        _ record: Record, epoch: Int = 0, access: (_ index: Int) throws -> any PictureAccess
    ) throws -> Record {
        guard !record.images.isEmpty else { return record }
        var generator = SeededGenerator(
            seed: configuration.seed, "cognition", record.id, String(epoch))
        guard generator.unit() < configuration.probability else { return record }
        var gaps = TurnGap.gaps(in: record)
        if configuration.placement == .before { gaps.removeAll { $0.turn == record.turns.count } }
        let askable = record.images.indices.filter { index in gaps.contains { $0.shows(index) } }
        guard !askable.isEmpty else { return record }

        var pictures: [Int: CognitionPicture] = [:]
        var insertions: [Insertion] = []
        var left = configuration.numbersPerRecord
        for _ in 0..<generator.integer(in: 1...configuration.maxQuestions) {
            for _ in 0..<8 {  // a task that this picture does not support gives way to another
                let task = tasks[generator.index(weights: taskWeights)]
                let index = generator.element(of: askable)
                let language = languages[generator.index(weights: languageWeights)]
                let gap = generator.element(of: gaps.filter { $0.shows(index) })
                let source =
                    try pictures[index]
                    ?? CognitionPicture(
                        access(index), codebook: codebook, cache: cache, tiler: tiler)
                pictures[index] = source
                let maker = CognitionQuestionMaker(
                    picture: source, configuration: configuration,
                    budget: min(left, configuration.numbersPerAnswer))
                guard let question = try maker.question(task, &generator),
                    question.numberCount <= left
                else { continue }
                left -= question.numberCount
                let (text, answer) = words(
                    question, picture: record.images.count > 1 ? index : nil, language: language,
                    &generator)
                let mark = CognitionMark(
                    task: task, picture: index, regions: question.regions, cells: question.cells)
                insertions.append(Insertion(gap: gap, mark: mark, question: text, answer: answer))
                break
            }
            if left < 3 { break }
        }
        return TurnGap.inserting(insertions, into: record)
    }

    private func words(
        _ question: CognitionQuestion, picture: Int?, language: String,
        _ generator: inout SeededGenerator
    ) -> (question: String, answer: String) {
        let template = template(question.task.rawValue, language, &generator)
        let format = AnswerFormat(rawValue: template.answer) ?? .lines
        var fields = question.fields
        if let frame = question.frame {
            fields["frame"] = self.template(frame.kind.phrase.rawValue, language, &generator)
                .render([
                    "width": "\(frame.size.width)", "height": "\(frame.size.height)",
                ])
        }
        fields["highest"] = "\(configuration.colourLevels - 1)"
        fields["code"] = question.code.map(writer.code)
        fields["colour"] = question.colour.map { writer.colour($0, in: .list) }
        var text = template.render(fields)
        if let picture {
            text =
                self.template(CognitionPhrase.picture.rawValue, language, &generator).render([
                    "number": "\(picture + 1)"
                ]) + " " + text
        }
        let answer =
            switch question.answer {
            case .codes(let codes, let columns):
                writer.grid(codes.map(writer.code), columns: columns, in: format)
            case .colours(let colours, let columns):
                writer.grid(
                    colours.map { writer.colour($0, in: format) }, columns: columns, in: format)
            case .cells(let cells):
                cells.map { writer.cell(row: $0.row, column: $0.column) }
                    .joined(separator: format == .lines ? "\n" : ", ")
            }
        return (text, answer)
    }

    private func template(
        _ task: String, _ language: String, _ generator: inout SeededGenerator
    ) -> PromptTemplate {
        generator.element(of: templates.templates(task: task, language: language))
    }

    private static func fingerprint(
        _ configuration: CognitionConfiguration, _ templates: TemplateLibrary,
        _ codebook: (any Codebook)?, _ tiler: Tiler?
    ) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        func text(_ value: some Encodable) -> String {
            (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        var parts = [text(configuration), codebook?.fingerprint ?? ""]
        if configuration.coordinates == .padded, let tiler {
            parts.append(text(tiler.configuration))
        }
        for template in templates.all {
            parts += [template.task, template.language, template.answer, template.text]
        }
        return String(parts.reduce(stableHash("augmenter")) { stableHash($1, seed: $0) }, radix: 16)
    }
}
