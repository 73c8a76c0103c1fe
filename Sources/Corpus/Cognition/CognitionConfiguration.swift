/// Between which turns of a conversation a question may stand; never between a question and its answer.
public enum CognitionPlacement: String, Codable, CaseIterable, Sendable {
    /// Only before a round of the conversation, which can then build on what was seen.
    case before
    /// At the conversation's end, too.
    case anywhere
}

/// What cognition turns are made, how many, and how they are written.
public struct CognitionConfiguration: Codable, Equatable, Sendable {
    /// Decides every choice together with a record's id and the epoch.
    public var seed: UInt64
    /// Chance that a record with pictures gets turns, 0...1.
    public var probability: Double
    /// Most questions slipped into one record; the number is drawn from 1 up to it.
    public var maxQuestions: Int
    /// Relative weight of each task; empty for all that can be asked, alike.
    public var tasks: [CognitionTask: Double]
    /// Relative weight of each language; every task asked needs templates in all of them.
    public var languages: [String: Double]
    /// Between which turns a question may stand.
    public var placement: CognitionPlacement
    /// How codes and colours are written.
    public var answers: AnswerVocabulary
    /// How coordinates in the picture are counted.
    public var coordinates: CoordinateKind
    /// Cells along the longer side of the grid that windows and cells are asked of.
    public var grid: Int
    /// Cells along the longer side of the grid that is asked for whole.
    public var coarseGrid: Int
    /// Rows and columns of a region's colours.
    public var colourGrid: Int
    /// Levels a colour channel is counted in, 2...256; 256 is the bytes themselves.
    public var colourLevels: Int
    /// Most numbers in one answer: a code is one, a cell two, a colour three. A number has at most five digits, and
    /// brackets and separators besides.
    public var numbersPerAnswer: Int
    /// Most numbers in all answers of one record.
    public var numbersPerRecord: Int

    enum CodingKeys: String, CodingKey {
        case seed, probability, maxQuestions, tasks, languages, placement, answers, coordinates,
            grid,
            coarseGrid
        case colourGrid, colourLevels, numbersPerAnswer, numbersPerRecord
    }

    public init(
        seed: UInt64 = 0, probability: Double = 1, maxQuestions: Int = 1,
        tasks: [CognitionTask: Double] = [:], languages: [String: Double] = ["en": 1],
        placement: CognitionPlacement = .before, answers: AnswerVocabulary = .text,
        coordinates: CoordinateKind = .thousandths,
        grid: Int = 16,
        coarseGrid: Int = 6, colourGrid: Int = 4, colourLevels: Int = 256,
        numbersPerAnswer: Int = 48,
        numbersPerRecord: Int = 96
    ) {
        self.seed = seed
        self.probability = probability
        self.maxQuestions = maxQuestions
        self.tasks = tasks
        self.languages = languages
        self.placement = placement
        self.answers = answers
        self.coordinates = coordinates
        self.grid = grid
        self.coarseGrid = coarseGrid
        self.colourGrid = colourGrid
        self.colourLevels = colourLevels
        self.numbersPerAnswer = numbersPerAnswer
        self.numbersPerRecord = numbersPerRecord
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        let base = CognitionConfiguration()
        func value<T: Decodable>(_ key: CodingKeys, _ standard: T) throws -> T {
            try values.decodeIfPresent(T.self, forKey: key) ?? standard
        }
        seed = try value(.seed, base.seed)
        probability = try value(.probability, base.probability)
        maxQuestions = try value(.maxQuestions, base.maxQuestions)
        // As texts, so that an unknown task is named beside those there are.
        let weights = try value(.tasks, [String: Double]())
        tasks = [:]
        for (name, weight) in weights.sorted(by: { $0.key < $1.key }) {
            guard let task = CognitionTask(rawValue: name) else {
                let known = CognitionTask.allCases.map(\.rawValue).joined(separator: ", ")
                throw DecodingError.dataCorruptedError(
                    forKey: .tasks, in: values,
                    debugDescription: "there is no task \(name); the tasks are \(known)")
            }
            tasks[task] = weight
        }
        languages = try value(.languages, base.languages)
        placement = try value(.placement, base.placement)
        answers = try value(.answers, base.answers)
        coordinates = try value(.coordinates, base.coordinates)
        grid = try value(.grid, base.grid)
        coarseGrid = try value(.coarseGrid, base.coarseGrid)
        colourGrid = try value(.colourGrid, base.colourGrid)
        colourLevels = try value(.colourLevels, base.colourLevels)
        numbersPerAnswer = try value(.numbersPerAnswer, base.numbersPerAnswer)
        numbersPerRecord = try value(.numbersPerRecord, base.numbersPerRecord)
        do {
            try check()
        } catch CorpusError.setting(let name, let problem) {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath
                        + [CodingKeys(rawValue: name)].compactMap(\.self),
                    debugDescription: problem))
        }
    }

    /// The tokens that a tokenizer must have for the answers, with a codebook of so many codes; empty for plain
    /// numbers.
    public func addedTokens(codeCount: Int) -> [String] {
        AnswerWriter(vocabulary: answers).addedTokens(
            codeCount: codeCount, colourLevels: colourLevels)
    }

    /// Throws the first setting that cannot work.
    public func check() throws {
        func require(_ condition: Bool, _ key: CodingKeys, _ problem: String) throws {
            guard condition else { throw CorpusError.setting(name: key.rawValue, problem: problem) }
        }
        try require((0...1).contains(probability), .probability, "\(probability) is not in 0...1")
        try require(
            (1...64).contains(maxQuestions), .maxQuestions, "\(maxQuestions) is not in 1...64")
        try require(
            tasks.values.allSatisfy { $0 >= 0 && $0.isFinite }
                && (tasks.isEmpty || tasks.values.contains { $0 > 0 }),
            .tasks, "weights must not be negative, and one must be above 0")
        try require(
            languages.values.allSatisfy { $0 >= 0 && $0.isFinite }
                && languages.values.contains { $0 > 0 },
            .languages, "weights must not be negative, and one must be above 0")
        try require((1...128).contains(grid), .grid, "\(grid) is not in 1...128")
        try require((1...128).contains(coarseGrid), .coarseGrid, "\(coarseGrid) is not in 1...128")
        try require((1...64).contains(colourGrid), .colourGrid, "\(colourGrid) is not in 1...64")
        try require(
            (2...256).contains(colourLevels), .colourLevels, "\(colourLevels) is not in 2...256")
        try require(
            numbersPerAnswer >= 3, .numbersPerAnswer, "\(numbersPerAnswer) is below 3, one colour")
        try require(
            numbersPerRecord >= numbersPerAnswer, .numbersPerRecord,
            "\(numbersPerRecord) is below numbersPerAnswer, \(numbersPerAnswer)")
    }
}
