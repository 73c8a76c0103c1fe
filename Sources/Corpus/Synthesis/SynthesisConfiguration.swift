extension Synthesis {
    /// What data set to make. Every key may be left out of a file.
    public struct Configuration: Codable, Equatable, Sendable {
        /// The seed from which everything follows.
        public var seed: UInt64 = 1
        /// Pictures of the training split.
        public var trainCount = 1500
        /// Pictures of the held-out split.
        public var heldOutCount = 200
        /// Conversations of `texts.json`, about pictures that are told in words.
        public var textCount = 20_000
        /// Lines of `text.txt`.
        public var lineCount = 20_000
        /// The least length of a side, in pixels.
        public var minimumSide = 700
        /// The greatest length of a side, in pixels.
        public var maximumSide = 2000
        /// JPEG quality, 1...100.
        public var quality = 90
        /// Relative shares of the subjects.
        public var scenes = 0.4
        public var signs = 0.3
        public var charts = 0.15
        public var pages = 0.15
        /// Fewest and most questions about one picture; a bare one may have fewer.
        public var minimumQuestions = 6
        public var maximumQuestions = 8
        /// The forms of question to ask, as in `count.all`, or all of a kind, as in `count`. Empty
        /// asks all; a picture that offers none of them is asked what it offers.
        public var forms: [String] = []
        /// Digits of the codes on signs and of the pages' numbers.
        public var codeLength = 2
        /// Whether questions pick one of several alike things by what is said of it, as in `what
        /// number is on the red sign` with three signs. Pictures are composed for the questions:
        /// without binding each thing that is asked for is the only one of its sort. Small models
        /// learn those questions within minutes and stay at chance at the others.
        public var binding = false

        public init() {}

        enum CodingKeys: String, CodingKey {
            case seed, scenes, signs, charts, pages, quality, forms, binding
            case trainCount = "train_count"
            case heldOutCount = "heldout_count"
            case textCount = "text_count"
            case lineCount = "line_count"
            case minimumSide = "minimum_side"
            case maximumSide = "maximum_side"
            case minimumQuestions = "minimum_questions"
            case maximumQuestions = "maximum_questions"
            case codeLength = "code_length"
        }

        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            func read<Value: Decodable>(_ key: CodingKeys, _ value: inout Value) throws {
                value = try values.decodeIfPresent(Value.self, forKey: key) ?? value
            }
            try read(.seed, &seed)
            try read(.trainCount, &trainCount)
            try read(.heldOutCount, &heldOutCount)
            try read(.textCount, &textCount)
            try read(.lineCount, &lineCount)
            try read(.minimumSide, &minimumSide)
            try read(.maximumSide, &maximumSide)
            try read(.quality, &quality)
            try read(.scenes, &scenes)
            try read(.signs, &signs)
            try read(.charts, &charts)
            try read(.pages, &pages)
            try read(.minimumQuestions, &minimumQuestions)
            try read(.maximumQuestions, &maximumQuestions)
            try read(.codeLength, &codeLength)
            try read(.forms, &forms)
            try read(.binding, &binding)
        }

        func share(_ subject: Subject) -> Double {
            switch subject {
            case .scene: scenes
            case .signs: signs
            case .chart: charts
            case .page: pages
            }
        }

        /// The subject of a picture. Over any hundred pictures in a row the subjects have their
        /// shares to within one picture, and an index keeps its subject whatever their number.
        func subject(of index: Int) -> Subject {
            let total = Subject.allCases.reduce(0) { $0 + share($1) }
            // The golden-ratio sequence: even at any length, without a period.
            let position = (Double(index + 1) * 0.618_033_988_749_894_9)
                .truncatingRemainder(dividingBy: 1)
            var sum = 0.0
            for subject in Subject.allCases {
                sum += share(subject) / total
                if position < sum { return subject }
            }
            return Subject.allCases.last { share($0) > 0 } ?? .scene
        }

        func check() throws {
            func require(_ condition: Bool, _ problem: String) throws {
                if !condition { throw SynthesisError.configuration(problem) }
            }
            try require(
                [trainCount, heldOutCount, textCount, lineCount].allSatisfy { $0 >= 0 },
                "train_count, heldout_count, text_count and line_count must not be negative")
            try require(
                (112...8192).contains(minimumSide) && (minimumSide...8192).contains(maximumSide),
                "sides must be 112 <= minimum_side <= maximum_side <= 8192 pixels, "
                    + "not \(minimumSide) and \(maximumSide)")
            try require((1...100).contains(quality), "quality must be 1...100, not \(quality)")
            let shares = Subject.allCases.map(share)
            try require(
                shares.allSatisfy { $0 >= 0 && $0.isFinite } && shares.contains { $0 > 0 },
                "scenes, signs, charts and pages must not be negative, nor all zero")
            try require(
                minimumQuestions >= 1 && minimumQuestions <= maximumQuestions,
                "questions must be 1 <= minimum_questions <= maximum_questions, "
                    + "not \(minimumQuestions) and \(maximumQuestions)")
            let known = Set(Synthesis.forms + QuestionKind.allCases.map(\.rawValue))
            if let wrong = forms.first(where: { !known.contains($0) }) {
                throw SynthesisError.configuration(
                    "forms has \"\(wrong)\", which is none of \(known.sorted().joined(separator: ", "))"
                )
            }
            try require(
                (2...6).contains(codeLength), "code_length must be 2...6, not \(codeLength)")
        }
    }
}
