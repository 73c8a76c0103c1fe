import AnyRes
import Corpus
import Prompting

/// A page on which one sees records as they are: pictures with what is asked of them drawn on, the turns, and
/// which tokens are trained on.
public struct DataPage {
    private var page: HTMLPage
    /// Longer side of a picture on the page, pixels.
    private let pictureSide = 560
    private let colourLevels: Int

    /// A page without records. `note` says what they are; colours in answers are counted in `colourLevels`.
    public init(title: String, note: String, colourLevels: Int = 256) {
        self.colourLevels = colourLevels
        page = HTMLPage(title: title)
        page.add(Self.style)
        page.paragraph(note)
    }

    /// The whole page.
    public var html: String { page.html }

    /// Adds a record.
    ///
    /// - Parameters:
    ///   - place: where it comes from.
    ///   - pictures: its pictures as decoded, or why one cannot be.
    ///   - tokens: its ids with the tokenizer that made them; nil shows the model's turns as what is trained on.
    public mutating func add(
        _ record: Record, place: String, pictures: [Result<Picture, any Error>],
        tokens: (prompt: PromptIDs, tokenizer: Tokenizer)? = nil
    ) throws {
        let marks = record.turns.enumerated().compactMap { index, turn in
            CognitionMark(turn).map { (index, $0) }
        }
        var html = "<section><h2>\(escaped(record.id))</h2><p class=\"dim\">\(escaped(place))</p>"
        html += "<div class=\"row\">"
        for (index, picture) in pictures.enumerated() {
            let name = record.images.indices.contains(index) ? record.images[index] : ""
            switch picture {
            case .success(let picture):
                let own = marks.filter { $0.1.picture == index }
                html += try figure(picture, name: name, number: index + 1, marks: own)
            case .failure(let error):
                html += "<p class=\"wrong\">\(escaped("\(name): \(error)"))</p>"
            }
        }
        html += "</div>"
        for (index, turn) in record.turns.enumerated() {
            let mark = CognitionMark(turn)
            let before = index > 0 ? CognitionMark(record.turns[index - 1]) : nil
            let hasColours = before?.task.needsCodebook == false || mark?.task == .pxFind
            let label = mark.map { " · \($0.task.rawValue) <b>\(index + 1)</b>" } ?? ""
            html +=
                "<div class=\"turn \(turn.from.rawValue)\(mark == nil ? "" : " asked")\">"
                + "<span class=\"dim\">\(turn.from.rawValue)\(label)</span>"
                + "<pre>\(hasColours ? swatched(turn.value) : escaped(turn.value))</pre></div>"
        }
        if let tokens {
            let count = tokens.prompt.ids.count
            html +=
                "<details open><summary>\(count) tokens, \(tokens.prompt.supervisedCount) trained on"
                + "</summary><pre class=\"tokens\">\(spans(tokens.prompt, tokens.tokenizer))</pre></details>"
        }
        page.add(html + "</section>")
    }

    /// Adds a record that could not be read, with the reason.
    public mutating func add(problem: String, place: String) {
        page.add(
            "<section><h2>\(escaped(place))</h2><p class=\"wrong\">\(escaped(problem))</p></section>"
        )
    }

    /// The text with a patch of each colour that it names before it.
    private func swatched(_ text: String) -> String {
        let colour = #/(?:^|[\s(]|(?:<px_r_))(\d{1,3})(?:,|><px_g_)(\d{1,3})(?:,|><px_b_)(\d{1,3})/#
        var html = ""
        var rest = text.startIndex
        for match in text.matches(of: colour) {
            let levels = [match.output.1, match.output.2, match.output.3].map {
                "\(min(255, (Int($0) ?? 0) * 255 / (colourLevels - 1)))"
            }
            let place = text[match.range].firstIndex { !$0.isWhitespace } ?? match.range.lowerBound
            html +=
                escaped(String(text[rest..<place]))
                + "<i class=\"swatch\" style=\"background:rgb(\(levels.joined(separator: ",")))\"></i>"
            rest = place
        }
        return html + escaped(String(text[rest...]))
    }

    // MARK: Pictures

    private func figure(
        _ picture: Picture, name: String, number: Int, marks: [(Int, CognitionMark)]
    ) throws -> String {
        let (width, height) = (picture.original.width, picture.original.height)
        let scale = min(1, Double(pictureSide) / Double(max(width, height)))
        let size = PictureSize(
            width: max(1, Int((Double(width) * scale).rounded())),
            height: max(1, Int((Double(height) * scale).rounded())))
        let shown = resized(picture.pixels, width: size.width, height: size.height)
        let bytes = try shown.encoded(as: .jpeg(quality: 85))
        var drawing = ""
        let ring = max(width, height) / 50 + 1
        /// Too small to be seen without a ring around it.
        func isTiny(_ region: CognitionRegion) -> Bool {
            60 * max(region.right - region.left, region.bottom - region.top) < max(width, height)
        }
        for (turn, mark) in marks {
            let kind = mark.task.needsCodebook ? "codes" : "colours"
            for region in mark.regions {
                let (w, h) = (region.right - region.left, region.bottom - region.top)
                drawing +=
                    "<rect class=\"\(kind)\" x=\"\(region.left)\" y=\"\(region.top)\" width=\"\(w)\" "
                    + "height=\"\(h)\"/>"
                if let cells = mark.cells {
                    let lines =
                        (1..<cells.columns).map {
                            "M\(region.left + $0 * w / cells.columns) \(region.top)v\(h)"
                        }
                        + (1..<cells.rows).map {
                            "M\(region.left) \(region.top + $0 * h / cells.rows)h\(w)"
                        }
                    drawing += "<path class=\"\(kind)\" d=\"\(lines.joined())\"/>"
                }
                if isTiny(region) {
                    drawing +=
                        "<circle class=\"\(kind)\" cx=\"\(region.left)\" cy=\"\(region.top)\" "
                        + "r=\"\(ring)\"/>"
                }
            }
            if let first = mark.regions.first {
                let letter = max(8, max(width, height) / 26)
                // Beside a ring, on the side where there is room.
                let isLeft = first.left + ring + 2 * letter > width
                let beside = isTiny(first) ? (isLeft ? -1 : 1) * (ring + letter / 4) : 0
                let y = isTiny(first) ? first.top + letter / 3 : first.top
                drawing +=
                    "<text class=\"\(kind)\" x=\"\(first.left + beside)\" y=\"\(max(letter, y))\" "
                    + "font-size=\"\(letter)\"\(beside < 0 ? " text-anchor=\"end\"" : "")>\(turn + 1)</text>"
            }
        }
        let svg =
            "<svg viewBox=\"0 0 \(width) \(height)\" preserveAspectRatio=\"none\">\(drawing)</svg>"
        return "<figure style=\"flex:0 1 \(size.width)px\"><div class=\"tiles\">"
            + HTMLPage.image(bytes, type: "jpeg", alternative: name, width: size.width) + svg
            + "</div><figcaption>\(number): \(escaped(name)), \(width) x \(height)</figcaption></figure>"
    }

    // MARK: Tokens

    private func spans(_ prompt: PromptIDs, _ tokenizer: Tokenizer) -> String {
        var decoder = tokenizer.streamingDecoder(skippingSpecial: false)
        var html = ""
        var ids: [String] = []  // several where a character is of several tokens
        var isOn = false
        func close(_ text: String) {
            guard !ids.isEmpty else { return }
            html +=
                "<span\(isOn ? " class=\"on\"" : "") title=\"\(ids.joined(separator: " "))\">"
                + "\(escaped(text))</span>"
            ids = []
        }
        for (id, isSupervised) in zip(prompt.ids, prompt.isSupervised) {
            if id == PromptIDs.imageToken {
                close(decoder.finish())
                html += "<i>[picture]</i>"
                decoder = tokenizer.streamingDecoder(skippingSpecial: false)
                continue
            }
            let text = decoder.append(id)
            ids.append("\(id)")
            isOn = isSupervised
            if !text.isEmpty { close(text) }
        }
        close(decoder.finish())
        return html
    }

    private static let style = """
        <style>
        section { border-top: 1px solid var(--line); margin-top: 28px; } section > h2 { margin: 14px 0 0; }
        pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 2px 0; font: inherit; }
        .turn { border-left: 3px solid var(--line); padding: 2px 12px; margin: 8px 0; max-width: 90ch; }
        .turn.gpt { border-color: var(--good); background: var(--soft); }
        .turn.asked { border-color: #d27a00; }
        .tokens { background: var(--soft); padding: 8px 12px; border-radius: 6px; font-size: .9rem; }
        .tokens span { outline: 1px solid var(--line); } .tokens .on { background: #1a7f4b55; }
        summary { cursor: pointer; color: var(--dim); }
        .tiles { display: inline-block; }
        .tiles rect, .tiles circle, .tiles path { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
        .tiles path { stroke-width: 1; } .tiles .codes { stroke: #2f7bff; } .tiles .colours { stroke: #ff8a00; }
        .swatch { display: inline-block; width: .9em; height: .9em; margin: 0 3px; vertical-align: -.1em;
          outline: 1px solid var(--line); }
        .tiles text.codes, .tiles text.colours { font-family: system-ui, sans-serif; font-weight: 700; paint-order: stroke; stroke: #fff;
          stroke-width: 3px; vector-effect: non-scaling-stroke; }
        text.codes { fill: #2f7bff; } text.colours { fill: #d26a00; }
        </style>
        """
}
