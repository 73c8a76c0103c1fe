import AnyRes
import Corpus
import Foundation
import VLSA

/// A page that shows what a sequence of stages did: losses, tiles, reconstructions, answers, scores.
public struct RunReport {
    /// Run folders, one a stage, in order.
    public var runs: [String]
    /// Evaluations to compare, by the name of their column.
    public var evaluations: [(name: String, report: EvaluationReport)]
    /// Root of the evaluated pictures.
    public var images: String
    /// Pictures shown.
    public var pictureCount: Int
    /// Euler steps of the reconstructions.
    public var steps: Int
    /// Seed of the reconstructions' noise.
    public var seed: UInt64

    public init(
        runs: [String], evaluations: [(name: String, report: EvaluationReport)], images: String,
        pictureCount: Int = 4, steps: Int = 20, seed: UInt64 = 1
    ) {
        self.runs = runs
        self.evaluations = evaluations
        self.images = images
        self.pictureCount = pictureCount
        self.steps = steps
        self.seed = seed
    }

    /// The page. Every picture is inside it.
    public func html() throws -> String {
        var page = HTMLPage(title: "vlsa: \(runs.map(stageName).joined(separator: ", "))")
        let subjects = try pickPictures()
        page.paragraph(
            "A picture of any size becomes tiles and one snapshot; the perceiver gathers the tiles' detail into the "
                + "snapshot's tokens; a denoiser must rebuild the picture from those tokens while the language model "
                + "answers from them.")
        addScores(to: &page)
        try addCurves(to: &page)
        try addPictures(subjects, to: &page)
        try addAnswers(subjects, to: &page)
        return page.html
    }

    // MARK: Scores

    private func addScores(to page: inout HTMLPage) {
        guard !evaluations.isEmpty else { return }
        let kinds = Set(evaluations.flatMap { $0.report.kinds.keys }).sorted()
        func percent(_ value: Double) -> String { String(format: "%.1f %%", value * 100) }
        var rows = kinds.map { kind in
            [kind]
                + evaluations.map { $0.report.kinds[kind].map { percent($0.accuracy) } ?? "–" }
                + ["\(evaluations[0].report.kinds[kind]?.asked ?? 0)"]
        }
        rows.append(
            ["mean of kinds"] + evaluations.map { percent($0.report.meanAccuracy) } + [""])
        func number(_ value: Double?, _ format: String) -> String {
            value.map { String(format: format, $0) } ?? "–"
        }
        if evaluations.contains(where: { $0.report.reconstructionLoss != nil }) {
            rows.append(
                ["reconstruction loss"]
                    + evaluations.map { number($0.report.reconstructionLoss, "%.3f") } + [""])
        }
        for (name, value) in [
            ("reconstruction PSNR, dB", \EvaluationReport.reconstructionPSNR),
            ("from another picture's tokens", \.swappedPSNR), ("the mean colour", \.constantPSNR),
            ("latent, decoded", \.latentPSNR),
        ] where evaluations.contains(where: { $0.report[keyPath: value] != nil }) {
            rows.append(
                [name] + evaluations.map { number($0.report[keyPath: value], "%.2f") } + [""])
        }
        page.heading("Held-out accuracy by question kind")
        page.table(
            header: ["kind"] + evaluations.map(\.name) + ["questions"], rows: rows,
            caption:
                "Greedy answers, exact match; each question asked on its own about a picture never seen."
        )
    }

    // MARK: Curves

    private struct MetricLine: Decodable {
        let kind: String
        let step: Int
        let text: Double?
        let visual: Double?

        enum CodingKeys: String, CodingKey {
            case kind, step
            case text = "loss/text"
            case visual = "loss/visual"
        }
    }

    private func addCurves(to page: inout HTMLPage) throws {
        page.heading("Losses")
        var charts = ""
        for run in runs {
            let decoder = JSONDecoder()
            let text = try String(contentsOfFile: run + "/metrics.jsonl", encoding: .utf8)
            let lines = text.split(separator: "\n").compactMap {
                try? decoder.decode(MetricLine.self, from: Data($0.utf8))
            }
            func points(_ kind: String, _ value: (MetricLine) -> Double?) -> [(
                x: Double, y: Double
            )] {
                lines.filter { $0.kind == kind }.compactMap { line in
                    value(line).map { (Double(line.step), $0) }
                }
            }
            for (name, value) in [("text", \MetricLine.text), ("visual", \.visual)] {
                let chart = LineChart(
                    title: "\(stageName(run)): \(name) loss", xLabel: "step",
                    series: [
                        .init(
                            name: "training", color: "#4477aa",
                            points: points("train") { $0[keyPath: value] }),
                        .init(
                            name: "validation", color: "#cc6644",
                            points: points("validation") { $0[keyPath: value] }),
                    ])
                charts += "<figure>\(chart.svg())</figure>"
            }
        }
        page.add("<div class=\"charts\">\(charts)</div>")
    }

    private func stageName(_ run: String) -> String { URL(fileURLWithPath: run).lastPathComponent }

    // MARK: Pictures

    private struct Subject {
        let image: String
        let pixels: Pixels
    }

    /// The first pictures of the evaluations that differ in what is asked about them.
    private func pickPictures() throws -> [Subject] {
        guard let report = evaluations.last?.report ?? evaluations.first?.report else { return [] }
        var seenKinds: Set<Set<String>> = []
        var chosen: [String] = []
        var others: [String] = []
        let byImage = Dictionary(grouping: report.answers, by: \.image)
        var order: [String] = []
        for answer in report.answers where order.last != answer.image { order.append(answer.image) }
        for image in order {
            let kinds = Set((byImage[image] ?? []).map(\.kind))
            if seenKinds.insert(kinds).inserted {
                chosen.append(image)
            } else {
                others.append(image)
            }
        }
        let root = try PictureFolder(images)
        return try (chosen + others).prefix(pictureCount).map { image in
            Subject(image: image, pixels: try PictureReader().read(path: try root.resolve(image)))
        }
    }

    private func addPictures(_ subjects: [Subject], to page: inout HTMLPage) throws {
        guard !subjects.isEmpty, !runs.isEmpty else { return }
        var columns: [[[UInt8]]] = Array(repeating: [], count: subjects.count)
        var names = ["original"]
        for (index, run) in runs.enumerated() {
            let model = try VLSAModel(folder: run + "/model")
            let tiler = try Tiler(model.configuration.picture)
            let pictures = try subjects.map { try tiler.tile($0.pixels) }
            if index == 0 {
                try addTiles(subjects[0], pictures[0], to: &page)
                for (place, picture) in pictures.enumerated() {
                    columns[place].append(
                        try resized(picture.paddedPicture(), width: 224, height: 224)
                            .encoded(as: .png(compression: 6)))
                }
            }
            guard model.reconstruction != nil else { continue }
            let rebuilt = try model.rebuild(pictures, steps: steps, seed: seed)
            func append(_ name: String, _ picture: (RebuiltPicture) -> Pixels) throws {
                names.append(name)
                for (place, one) in rebuilt.enumerated() {
                    columns[place].append(try picture(one).encoded(as: .png(compression: 6)))
                }
            }
            if !names.contains("latent, decoded") { try append("latent, decoded", \.roundTrip) }
            try append("after \(stageName(run))", \.rebuilt)
        }
        page.heading("Originals and reconstructions")
        page.paragraph(
            "Rebuilt from noise with nothing but the visual tokens as prompt, \(steps) Euler steps. "
                + "“Latent, decoded” is the best the frozen latent allows.")
        for pictures in columns {
            let figures = zip(pictures, names).map { bytes, name in
                "<figure>\(HTMLPage.image(bytes, type: "png", alternative: name))<figcaption>\(escaped(name))</figcaption></figure>"
            }
            page.add("<div class=\"row\">\(figures.joined())</div>")
        }
    }

    private func addTiles(_ subject: Subject, _ picture: TiledPicture, to page: inout HTMLPage)
        throws
    {
        let geometry = picture.geometry
        page.heading("What the model sees")
        page.paragraph(
            "\(subject.image): \(subject.pixels.width) x \(subject.pixels.height) pixels become "
                + "\(geometry.columns) x \(geometry.rows) tiles of \(geometry.tile.width) pixels and one snapshot of "
                + "the same size (right, at its true scale beside the tiles).")
        let padded = picture.paddedPicture()
        let (width, height) = (
            geometry.columns * geometry.tile.width, geometry.rows * geometry.tile.height
        )
        var lines = ""
        for column in 1..<max(geometry.columns, 1) {
            let x = column * geometry.tile.width
            lines += "<line x1=\"\(x)\" x2=\"\(x)\" y1=\"0\" y2=\"\(height)\"/>"
        }
        for row in 1..<max(geometry.rows, 1) {
            let y = row * geometry.tile.height
            lines += "<line x1=\"0\" x2=\"\(width)\" y1=\"\(y)\" y2=\"\(y)\"/>"
        }
        let snapshot = Pixels(
            width: geometry.tile.width, height: geometry.tile.height, planar: picture.snapshot)
        let tiles = try HTMLPage.image(
            padded.encoded(as: .png(compression: 6)), type: "png", alternative: "the tiled picture",
            width: width)
        let small = try HTMLPage.image(
            snapshot.encoded(as: .png(compression: 6)), type: "png", alternative: "the snapshot",
            width: geometry.tile.width)
        page.add(
            """
            <div class="row" style="align-items:flex-start"><figure style="flex:0 1 \(width)px"><div class="tiles">\(tiles)\
            <svg viewBox="0 0 \(width) \(height)" stroke="#e0406a" stroke-width="1.5" stroke-dasharray="5 3">\(lines)</svg></div>\
            <figcaption>tiles</figcaption></figure><figure style="flex:0 0 \(geometry.tile.width)px">\(small)\
            <figcaption>snapshot</figcaption></figure></div>
            """)
    }

    // MARK: Answers

    private func addAnswers(_ subjects: [Subject], to page: inout HTMLPage) throws {
        guard !subjects.isEmpty else { return }
        page.heading("Questions and answers")
        for subject in subjects {
            let scale = min(1, 600 / Double(max(subject.pixels.width, subject.pixels.height)))
            let small = resized(
                subject.pixels,
                width: max(1, Int(Double(subject.pixels.width) * scale)),
                height: max(1, Int(Double(subject.pixels.height) * scale)))
            let image = try HTMLPage.image(
                small.encoded(as: .jpeg(quality: 88)), type: "jpeg", alternative: subject.image)
            var list = ""
            let first = evaluations[0].report.answers.filter { $0.image == subject.image }
            for (index, asked) in first.enumerated() {
                list +=
                    "<dt>\(escaped(asked.question)) <span class=\"dim\">(\(escaped(asked.kind)): \(escaped(asked.expected)))</span></dt>"
                for (name, report) in evaluations {
                    let answers = report.answers.filter { $0.image == subject.image }
                    guard index < answers.count else { continue }
                    let style = answers[index].isRight ? "right" : "wrong"
                    let sign = answers[index].isRight ? "✓" : "✗"
                    list +=
                        "<dd class=\"\(style)\">\(sign) \(escaped(answers[index].answer)) <span class=\"dim\">\(escaped(name))</span></dd>"
                }
            }
            page.add(
                "<div class=\"card\"><figure>\(image)<figcaption>\(escaped(subject.image))</figcaption></figure><dl>\(list)</dl></div>"
            )
        }
    }
}
