extension Synthesis {
    /// What a picture shows.
    public enum Subject: String, Codable, CaseIterable, Sendable {
        case scene, signs, chart, page
    }

    /// The two halves of a data set. They share no picture and no text string.
    public enum Split: String, Codable, CaseIterable, Sendable {
        case train
        case heldOut = "heldout"
    }

    /// What a question asks for: the unit by which answers are scored.
    public enum QuestionKind: String, Codable, CaseIterable, Sendable {
        /// How many shapes or signs.
        case count
        /// How many small dots. Fine.
        case smallCount = "small-count"
        case color, shape, position
        /// On which side of another a shape is, or what is on a side.
        case relation
        /// A code of several digits. Fine.
        case text
        /// A single digit. Fine.
        case digit
        /// What bars and lines say.
        case chart
        /// What a page is and how much is on it.
        case page
        /// The numbers of a page. Fine.
        case field

        /// Whether the answer is too small for a 112-pixel snapshot of the picture.
        public var isFine: Bool {
            switch self {
            case .smallCount, .text, .digit, .field: true
            case .count, .color, .shape, .position, .relation, .chart, .page: false
            }
        }
    }

    /// The forms of question that can be answered without picking one of several alike things:
    /// those asked without ``Configuration/binding``.
    public static let unboundForms = [
        "chart.highest", "chart.kind", "chart.last", "chart.lowest", "chart.peak", "chart.slope",
        "color.dots", "color.header", "color.line", "color.only", "color.only-sign", "count.all",
        "count.bars", "count.signs", "field.number", "page.kind", "page.paragraphs", "page.rows",
        "position.only", "position.only-sign", "relation.color", "relation.shape", "shape.only",
        "small-count.dots", "text.only",
    ]

    /// The forms of question asked with ``Configuration/binding``.
    public static let boundForms = [
        "chart.day", "chart.highest", "chart.kind", "chart.last", "chart.lowest", "chart.top",
        "chart.trend", "chart.value", "color.dots", "color.header", "color.highlight",
        "color.place", "color.shape", "color.sign", "count.all", "count.bars", "count.color",
        "count.lines", "count.shape", "count.signs", "digit.first", "digit.shape",
        "field.highlight", "field.marker", "field.number", "field.value", "page.kind",
        "page.paragraphs", "page.rows", "page.title", "position.dots", "position.shape",
        "position.sign", "relation.side", "shape.color", "shape.place", "small-count.dots",
        "text.code", "text.place",
    ]

    /// Every form of question, sorted.
    public static let forms = Set(unboundForms + boundForms).sorted()

    /// One question with its known answer.
    public struct Question: Equatable, Sendable {
        public let kind: QuestionKind
        /// The question's type within its kind, as in `count.all`.
        public let form: String
        public let question: String
        /// One word, number, code or short phrase.
        public let answer: String
    }

    /// A rectangle in picture pixels.
    public struct Box: Equatable, Sendable {
        public let x0, y0, x1, y1: Double

        public init(_ x0: Double, _ y0: Double, _ x1: Double, _ y1: Double) {
            (self.x0, self.y0, self.x1, self.y1) = (x0, y0, x1, y1)
        }

        var width: Double { x1 - x0 }
        var height: Double { y1 - y0 }
        var midX: Double { (x0 + x1) / 2 }
        var midY: Double { (y0 + y1) / 2 }

        func grown(by margin: Double) -> Box {
            Box(x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        }

        func overlaps(_ other: Box) -> Bool {
            x0 < other.x1 && other.x0 < x1 && y0 < other.y1 && other.y0 < y1
        }

        /// The share of this box's area that lies in `other`, 0...1.
        func share(in other: Box) -> Double {
            let w = min(x1, other.x1) - max(x0, other.x0)
            let h = min(y1, other.y1) - max(y0, other.y0)
            return w > 0 && h > 0 ? w * h / max(width * height, 1e-9) : 0
        }
    }

    /// A thing in the picture, where it is, and what to call it.
    public struct Region: Equatable, Sendable {
        /// What a region is.
        public enum Kind: String, Codable, CaseIterable, Sendable {
            case shape, dot, plate, bar, point, header, highlight, marker, paragraph, row
            /// A word of a closed list: a title, a field's name, a day.
            case word
            /// One digit.
            case glyph
            /// A whole code, whose glyphs are regions too.
            case text
            /// Several dots together.
            case group

            /// Whether the captions of the kind come from a small closed vocabulary.
            public var isElementary: Bool { self != .text && self != .group }

            /// Whether a 112-pixel snapshot of the picture is too small to tell it.
            public var isFine: Bool {
                switch self {
                case .glyph, .text, .dot, .group, .word: true
                case .shape, .plate, .bar, .point, .header, .highlight, .marker, .paragraph, .row:
                    false
                }
            }
        }

        public let kind: Kind
        public let box: Box
        /// A short phrase, as in `red circle` or, for one glyph, `7`.
        public let caption: String
        /// The index of the region that this one is a part of (a sign's code, a code's digit).
        public let parent: Int?
    }

    /// A picture with all that is known about it; the drawing is SVG, `width` x `height` pixels.
    public struct Picture: Sendable {
        public let subject: Subject
        public let width: Int
        public let height: Int
        public let svg: String
        /// One or two sentences that name what is there, the fine text included.
        public let caption: String
        public let questions: [Question]
        public let regions: [Region]

        /// What a crop of the picture shows, or nil where it shows nothing that has a name.
        public func captionOfCrop(_ crop: Box) -> String? {
            Synthesis.captionOfCrop(crop, regions: regions)
        }
    }

    /// What a crop of a picture with these regions shows, as in `red circle 5, 2 blue dots`, or nil
    /// where it shows nothing that has a name.
    ///
    /// A region counts as seen with at least four fifths of its area in the crop; its digits and
    /// words are told with it. One that is cut gives way to its parts and, with at least a third in
    /// the crop, is named as `part of` it.
    public static func captionOfCrop(_ crop: Box, regions: [Region]) -> String? {
        var phrases: [String] = []
        var phraseOfRegion: [Int: Int] = [:]  // of those seen whole
        for (index, region) in regions.enumerated() {
            if let parent = region.parent, let phrase = phraseOfRegion[parent] {
                phraseOfRegion[index] = phrase
                let isTold = region.kind == .dot || regions[parent].kind == .text
                if !isTold { phrases[phrase] += " " + region.caption }
                continue
            }
            let share = region.box.share(in: crop)
            if share >= 0.8 {
                phraseOfRegion[index] = phrases.count
                phrases.append(region.caption)
            } else if share >= 1.0 / 3, region.kind.isElementary, region.kind != .glyph {
                phrases.append("part of " + region.caption)
            }
        }
        guard !phrases.isEmpty else { return nil }
        let counts = Dictionary(phrases.map { ($0, 1) }, uniquingKeysWith: +)
        var told: Set<String> = []
        return phrases.compactMap { phrase in
            guard let count = counts[phrase], count > 1, phrase.contains(where: \.isLetter) else {
                return phrase
            }
            return told.insert(phrase).inserted ? "\(count) \(phrase)s" : nil
        }.joined(separator: ", ")
    }
}
