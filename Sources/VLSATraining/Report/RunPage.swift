import Foundation

/// One run's `report.html`: what it came to, its curves, its pictures, what was trained and with which plan.
///
/// Everything comes from the run folder, and every picture is inside the page.
public struct RunPage {
    /// Most pictures shown for each tag; of more, evenly spaced steps.
    static let picturesPerTag = 6
    /// Most points of a curve; of more, means of neighbours.
    static let pointsPerCurve = 600

    let folder: RunFolder

    public init(_ folder: RunFolder) { self.folder = folder }

    /// The page.
    public func html() throws -> String {
        let lines = try metrics()
        var page = HTMLPage(title: URL(fileURLWithPath: folder.path).lastPathComponent)
        addSummary(lines, to: &page)
        addCurves(lines, to: &page)
        try addPictures(to: &page)
        try addText(folder.table, "Trained parameters", to: &page)
        try addText(folder.rejected, "Records left out", limit: 50, to: &page)
        try addText(folder.plan, "Plan", to: &page)
        try addText(folder.versions, "Versions", to: &page)
        return page.html
    }

    // MARK: Metrics

    private struct Line {
        let kind: String
        let step: Int
        let values: [String: Double]
    }

    private func metrics() throws -> [Line] {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: folder.metrics))
        } catch {
            throw RunError.cannotRead(path: folder.metrics, reason: reason(of: error))
        }
        return data.split(separator: UInt8(ascii: "\n")).compactMap { line in
            guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any],
                let kind = object["kind"] as? String, let step = object["step"] as? Int
            else { return nil }
            return Line(
                kind: kind, step: step,
                values: object.compactMapValues { ($0 as? NSNumber)?.doubleValue })
        }
    }

    private func addSummary(_ lines: [Line], to page: inout HTMLPage) {
        let training = lines.filter { $0.kind == "train" }
        let validation = lines.filter { $0.kind == "validation" }
        var rows: [[String]] = []
        if let last = training.last {
            rows.append(["steps", "\(last.step)"])
            let samples = last.values["samples"].map { String(format: "%.0f", $0) } ?? "–"
            rows.append(["samples", samples])
            rows.append(["time", duration(last.values["seconds"] ?? 0)])
            for name in losses(of: training) {
                if let value = last.values[name] {
                    rows.append(["training \(name)", String(format: "%.4f", value)])
                }
            }
        }
        if let last = validation.last {
            for name in losses(of: validation) {
                if let value = last.values[name] {
                    rows.append(["validation \(name)", String(format: "%.4f", value)])
                }
            }
            if let best = validation.min(by: {
                ($0.values["loss"] ?? .infinity) < ($1.values["loss"] ?? .infinity)
            }),
                let value = best.values["loss"]
            {
                rows.append([
                    "least validation loss", String(format: "%.4f at step %d", value, best.step),
                ])
            }
        }
        let skipped = lines.count { $0.kind == "skipped" }
        if skipped > 0 { rows.append(["skipped steps", "\(skipped)"]) }
        page.heading("Outcome")
        page.table(
            header: ["", "last value"], rows: rows,
            caption: folder.isFinished
                ? "The run is finished." : "The run was stopped; it can be resumed.")
    }

    /// `loss`, then each part of it, sorted.
    private func losses(of lines: [Line]) -> [String] {
        let names = Set(lines.flatMap(\.values.keys)).filter { $0.hasPrefix("loss/") }
        return ["loss"] + (names.count > 1 ? names.sorted() : [])
    }

    private func addCurves(_ lines: [Line], to page: inout HTMLPage) {
        func points(_ kind: String, _ name: String) -> [(x: Double, y: Double)] {
            RunPage.thinned(
                lines.filter { $0.kind == kind }.compactMap { line in
                    line.values[name].map { (Double(line.step), $0) }
                })
        }
        var charts = ""
        func add(_ title: String, _ name: String, validates: Bool) {
            var series = [
                LineChart.Series(name: "training", color: "#4477aa", points: points("train", name))
            ]
            if validates {
                series.append(
                    .init(name: "validation", color: "#cc6644", points: points("validation", name)))
            }
            let svg = LineChart(title: title, xLabel: "step", series: series).svg()
            if !svg.isEmpty { charts += "<figure>\(svg)</figure>" }
        }
        let names = losses(of: lines.filter { $0.kind == "train" || $0.kind == "validation" })
        for name in names { add(name, name, validates: true) }
        for (prefix, title) in [
            ("tokenGradient", "gradient norms on the visual tokens"),
            ("weight", "weights of the losses"),
        ] {
            let series = [("text", "#4477aa"), ("visual", "#cc6644")].map { name, color in
                LineChart.Series(
                    name: name, color: color, points: points("train", "\(prefix)/\(name)"))
            }
            let svg = LineChart(title: title, xLabel: "step", series: series).svg()
            if !svg.isEmpty { charts += "<figure>\(svg)</figure>" }
        }
        for (name, title) in [
            ("gradientNorm", "gradient norm"), ("rate", "learning rate"),
            ("samplesPerSecond", "samples a second"), ("tokensPerSecond", "text tokens a second"),
            ("modelFLOPPerSecond", "model FLOP a second"),
            ("dataWait", "share of time waiting for data"),
            ("residentMiB", "memory, MiB"),
        ] { add(title, name, validates: false) }
        page.heading("Curves")
        page.add("<div class=\"charts\">\(charts)</div>")
    }

    /// At most ``pointsPerCurve`` points, each the mean of as many neighbours.
    static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        guard points.count > pointsPerCurve else { return points }
        let stride = (points.count + pointsPerCurve - 1) / pointsPerCurve
        return Swift.stride(from: 0, to: points.count, by: stride).map { start in
            let group = points[start..<min(start + stride, points.count)]
            let count = Double(group.count)
            return (group.reduce(0) { $0 + $1.x } / count, group.reduce(0) { $0 + $1.y } / count)
        }
    }

    // MARK: Pictures and texts

    private func addPictures(to page: inout HTMLPage) throws {
        let files = FileManager.default
        guard files.fileExists(atPath: folder.pictures) else { return }
        var tags: [String: [(step: Int, name: String)]] = [:]
        for name in try files.contentsOfDirectory(atPath: folder.pictures) {
            let fields = name.split(separator: "-", maxSplits: 2)
            guard fields.count == 3, fields[0] == "step", let step = Int(fields[1]),
                name.hasSuffix(".png")
            else { continue }
            tags[String(fields[2].dropLast(4)), default: []].append((step, name))
        }
        guard !tags.isEmpty else { return }
        page.heading("Pictures")
        for (tag, found) in tags.sorted(by: { $0.key < $1.key }) {
            let sorted = found.sorted { $0.step < $1.step }
            let most = RunPage.picturesPerTag
            let shown =
                sorted.count <= most
                ? sorted : (0..<most).map { sorted[$0 * (sorted.count - 1) / (most - 1)] }
            let figures = try shown.map { step, name in
                let data = try Data(contentsOf: URL(fileURLWithPath: folder.pictures + "/" + name))
                let image = HTMLPage.image(
                    [UInt8](data), type: "png", alternative: "\(tag), step \(step)")
                return
                    "<figure>\(image)<figcaption>\(escaped(tag)), step \(step)</figcaption></figure>"
            }
            page.add("<div class=\"row\">\(figures.joined())</div>")
        }
    }

    private func addText(
        _ path: String, _ heading: String, limit: Int = .max, to page: inout HTMLPage
    ) throws {
        guard let data = FileManager.default.contents(atPath: path) else { return }
        let lines = String(decoding: data, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        let rest = lines.count > limit ? "\n… \(lines.count - limit) more lines" : ""
        let text = lines.prefix(limit).joined(separator: "\n") + rest
        page.add(
            "<details><summary>\(escaped(heading))</summary><pre class=\"scroll\">\(escaped(text))</pre></details>"
        )
    }
}
