/// A seeded source of high-resolution pictures and instruction data with known truth.
///
/// Scenes of shapes, signs with codes to read, charts and pages, drawn as SVG. A picture depends
/// on the seed, the split and its index alone: it is the same whatever the number of pictures or
/// of threads that make them.
public struct Synthesis: Sendable {
    public let configuration: Configuration

    /// - Throws: ``SynthesisError/configuration(_:)`` for values that make no data set.
    public init(_ configuration: Configuration = Configuration()) throws {
        try configuration.check()
        self.configuration = configuration
    }

    /// Picture `index` of a split.
    public func picture(_ split: Split, _ index: Int) -> Picture {
        picture(stream: split == .train ? 1 : 2, split, index)
    }

    /// A line of plain text: the caption of a picture nobody drew, with questions and answers, in
    /// the language of the training split.
    public func line(_ index: Int) -> String {
        let picture = picture(stream: 4, .train, index)
        let questions = picture.questions.map { "\($0.question) \($0.answer)" }
        return ([picture.caption] + questions).joined(separator: " ")
    }

    /// A conversation about a picture nobody drew, told in ``words(of:columns:rows:)`` instead: so
    /// a decoder learns to look things up in its context before it sees a picture.
    public func textRecord(_ index: Int) -> Record {
        let picture = picture(stream: 3, .train, index)
        return Self.record(
            picture, id: "text-\(Self.padded(index))", opening: Self.words(of: picture))
    }

    private func picture(stream: UInt64, _ split: Split, _ index: Int) -> Picture {
        var random = SynthesisRandom(configuration.seed, stream, UInt64(index))
        let subject = configuration.subject(of: index)
        let strings = SynthesisStrings(split: split)
        let (width, height) = size(of: subject, &random)
        var canvas = SynthesisCanvas(width: width, height: height)
        var draft = SynthesisDraft()
        let caption =
            switch subject {
            case .scene: SynthesisScene.draw(on: &canvas, &draft, configuration, &random)
            case .signs: SynthesisSigns.draw(on: &canvas, &draft, strings, configuration, &random)
            case .chart: SynthesisChart.draw(on: &canvas, &draft, strings, configuration, &random)
            case .page: SynthesisPage.draw(on: &canvas, &draft, strings, configuration, &random)
            }
        draft.keep(configuration.forms)
        let count = random.integer(configuration.minimumQuestions...configuration.maximumQuestions)
        return Picture(
            subject: subject, width: width, height: height, svg: canvas.svg, caption: caption,
            questions: draft.chosen(count, &random), regions: canvas.regions)
    }

    /// A size in pixels, the smaller ones more often; pages stand upright or are square.
    private func size(of subject: Subject, _ random: inout SynthesisRandom) -> (Int, Int) {
        let (least, most) = (configuration.minimumSide, configuration.maximumSide)
        let ratios: [(Double, Double)] =  // width over height, share
            switch subject {
            case .page: [(0.75, 0.6), (0.71, 0.15), (1, 0.25)]
            case .chart: [(4.0 / 3, 0.65), (1, 0.2), (1.4, 0.15)]
            case .scene, .signs:
                [(4.0 / 3, 0.4), (1, 0.25), (0.75, 0.2), (1.5, 0.08), (2.0 / 3, 0.07)]
            }
        var draw = random.number(0...1)
        var ratio = ratios[0].0
        for (candidate, share) in ratios {
            ratio = candidate
            draw -= share
            if draw <= 0 { break }
        }
        // The short side, too, is to have its least number of pixels.
        let narrowness = ratio > 1 ? ratio : 1 / ratio
        let floor = min(Double(most), Double(least) * narrowness)
        let unit = random.number(0...1)
        let long = floor + (Double(most) - floor) * unit * unit.squareRoot()
        let short = long / narrowness
        let sides = (Int(long.rounded()), Int(short.rounded()))
        return ratio > 1 ? sides : (sides.1, sides.0)
    }
}

/// Why a synthetic data set could not be made.
public enum SynthesisError: Error, Equatable, CustomStringConvertible {
    /// A value of the configuration makes no data set; the text names it and its range.
    case configuration(String)
    /// A file or folder of the data set could not be written; the path and the reason.
    case unwritable(String, String)
    /// A picture could not be rendered; its id and the reason.
    case drawing(String, String)

    public var description: String {
        switch self {
        case .configuration(let problem): "synthesis configuration: \(problem)"
        case .unwritable(let path, let reason):
            "cannot write \(path): \(reason); choose a folder with room that you may write to"
        case .drawing(let id, let reason):
            "cannot render picture \(id): \(reason); check that libvips reads SVG (vlsa doctor)"
        }
    }
}
