/// Letters, forms and tables on paper.
enum SynthesisPage {
    typealias Box = Synthesis.Box

    /// The paper, and the part of it that is left for what comes next.
    private struct Sheet {
        let paper: Box
        var body: Box
    }

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom
    ) -> String {
        var sheet = paintPaper(on: &canvas, &random)
        let head = drawHead(on: &canvas, &draft, &sheet, strings, configuration, &random)
        drawFoot(on: &canvas, &sheet, strings, &random)
        let kind = random.pick(["letter", "form", "table"])
        draft.ask(
            .page, "kind", ["Is this page a letter, a form or a table?"], kind, asks: "kind",
            isRequired: random.chance(0.4))
        let isCounted = random.chance(0.75)
        let body =
            switch kind {
            case "letter": drawLetter(on: &canvas, &draft, sheet, strings, &random, isCounted)
            case "form":
                drawForm(
                    on: &canvas, &draft, sheet, strings, configuration, &random, isCounted)
            default:
                drawTable(
                    on: &canvas, &draft, sheet, strings, configuration, &random, isCounted)
            }
        return "\(head) \(body)"
    }

    // MARK: Paper, title, foot

    private static func paintPaper(
        on canvas: inout SynthesisCanvas, _ random: inout SynthesisRandom
    ) -> Sheet {
        let (w, h, long) = (canvas.width, canvas.height, canvas.long)
        let desks = [
            ("#d9c7b0", "#c9b294"), ("#c4ccd6", "#aeb9c6"), ("#cfd8cf", "#b9c6ba"),
            ("#dcd3dd", "#c6bccb"), ("#e0ddd6", "#cdc8bd"),
        ]
        let (light, dark) = random.pick(desks)
        let desk = canvas.gradient(light, dark, dx: 1, dy: 1)
        canvas.rectangle(.init(0, 0, w, h), .fill(desk))
        let (mx, my) = (long * random.number(0.03...0.06), long * random.number(0.03...0.05))
        let paper = Box(mx, my, w - mx, h - my)
        let shade = long * 0.008
        canvas.rectangle(
            Box(paper.x0 + shade, paper.y0 + shade, paper.x1 + shade, paper.y1 + shade),
            .fill("#000000", opacity: 0.16))
        canvas.rectangle(paper, .fill(random.pick(["#ffffff", "#fffdf6", "#fbfcfe", "#fdfaf3"])))
        return Sheet(paper: paper, body: paper.grown(by: -long * 0.05))
    }

    private static func drawHead(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ sheet: inout Sheet,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom
    ) -> String {
        let color = random.pick(SynthesisColor.named)
        let (paper, long, cap) = (sheet.paper, canvas.long, canvas.long * 0.036)
        let left = sheet.body.x0
        let band = Box(paper.x0, paper.y0, paper.x1, paper.y0 + cap * 2.7)
        let painted = color.varied(&random)
        canvas.rectangle(band, .fill(painted.hex))
        let header = canvas.note(.header, band, "\(color.name) header")
        let r = cap * 0.75
        let logo = random.pick(SynthesisShape.allCases.filter { $0 != .cross })
        logo.draw(
            on: &canvas, x: sheet.body.x1 - r, y: band.midY, radius: r,
            color: painted.mixed(0.45, .white), turn: 0, isShaded: false)
        let title = random.pick(SynthesisStrings.titles)
        let box = canvas.write(
            title, x: left, baseline: band.midY + cap / 2, cap: cap, bold: true,
            ink: painted.contrast)
        canvas.note(.word, box, title.lowercased(), in: header)
        let code = strings.code(
            &random, digits: configuration.codeLength, ascending: !configuration.binding)
        let small = long * 0.036
        let baseline = band.y1 + long * 0.04 + small
        let width = SynthesisCanvas.spelledWidth(code, cap: small)
        canvas.write("No.", x: left, baseline: baseline, cap: long * 0.026, ink: "#5c6470")
        canvas.spell(
            code, centerX: left + long * 0.075 + width / 2, baseline: baseline, cap: small,
            ink: SynthesisColor.ink.hex)
        sheet.body = Box(left, baseline + long * 0.045, sheet.body.x1, sheet.body.y1)
        draft.ask(
            .field, "number",
            ["What is the page number?", "What number is on the page?"], code, asks: "code")
        if configuration.binding {
            draft.ask(
                .page, "title", ["What is the title of the page?"], title.lowercased(), asks: "t")
        }
        draft.ask(.color, "header", ["What color is the header?"], color.name, asks: "header")
        return "\(color.article.capitalized) \(color.name) page titled \(title.lowercased()) "
            + "with number \(code)."
    }

    private static func drawFoot(
        on canvas: inout SynthesisCanvas, _ sheet: inout Sheet, _ strings: SynthesisStrings,
        _ random: inout SynthesisRandom
    ) {
        let (body, cap) = (sheet.body, canvas.long * 0.0085)
        let baseline = sheet.paper.y1 - canvas.long * 0.018
        canvas.line(
            [(body.x0, baseline - cap * 2.4), (body.x1, baseline - cap * 2.4)],
            .stroke("#c5cad2", max(1, canvas.long * 0.0012)))
        let text = (0..<4).map { _ in strings.word(&random) }.joined(separator: "  ·  ")
        canvas.write(
            text, x: body.midX, baseline: baseline, cap: cap, anchor: .middle, ink: "#8b93a0")
        sheet.body = Box(body.x0, body.y0, body.x1, baseline - cap * 4)
    }

    // MARK: Letter

    private static func drawLetter(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ sheet: Sheet,
        _ strings: SynthesisStrings, _ random: inout SynthesisRandom, _ isCounted: Bool
    ) -> String {
        let count = random.integer(1...5)
        let body = sheet.body
        let cap = canvas.long * 0.0125
        let (lineStep, gap) = (cap * 2, canvas.long * 0.036)
        let most = Int((body.height - gap * Double(count - 1)) / Double(count) / lineStep)
        var y = body.y0
        for _ in 0..<count {
            let start = y
            let lines = random.integer(max(2, min(most, 6) - 2)...max(2, min(most, 6)))
            for line in 0..<lines {
                let room = body.width * (line == lines - 1 ? random.number(0.4...0.8) : 1)
                var text = strings.word(&random)
                while true {
                    let longer = text + " " + strings.word(&random)
                    if SynthesisCanvas.width(of: longer, cap: cap) > room { break }
                    text = longer
                }
                y += lineStep
                canvas.write(text, x: body.x0, baseline: y, cap: cap, ink: "#59616d")
            }
            canvas.note(.paragraph, Box(body.x0, start + cap, body.x1, y), "paragraph")
            y += gap
        }
        draft.ask(
            .page, "paragraphs", ["How many paragraphs are there?", "Count the paragraphs."],
            "\(count)", asks: "n", isRequired: isCounted)
        return "A letter with \(count) paragraph\(count == 1 ? "" : "s")."
    }

    // MARK: Form

    private static func drawForm(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ sheet: Sheet,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom, _ isCounted: Bool
    ) -> String {
        let (long, body) = (canvas.long, sheet.body)
        let count = random.integer(2...5)
        let step = min(long * 0.125, body.height / Double(count))
        let names = random.shuffled(SynthesisStrings.fields)
        let marked = random.integer(0...count - 1)
        let marker = random.pick(SynthesisColor.named.filter { $0.name != "black" })
        let cap = long * 0.036
        var parts: [String] = []
        for index in 0..<count {
            let value = strings.code(&random, digits: 3, ascending: false)
            let row = Box(
                body.x0, body.y0 + step * Double(index), body.x1,
                body.y0 + step * Double(index + 1))
            let baseline = row.midY + cap / 2
            let width = SynthesisCanvas.spelledWidth(value, cap: cap)
            let center = body.x1 - width / 2 - cap * 0.6
            canvas.note(.row, row, "row")
            let label = canvas.write(
                names[index].capitalized, x: body.x0, baseline: baseline, cap: cap * 0.9,
                bold: true, ink: "#3c4350")
            canvas.note(.word, label, names[index])
            canvas.line(
                [(row.x0, row.y1), (row.x1, row.y1)], .stroke("#c5cad2", max(1, long * 0.0016)))
            guard configuration.binding else {
                fillBox(in: row, cap: cap, on: &canvas, strings, &random)
                parts.append(names[index])
                continue
            }
            if index == marked {
                let plate = Box(
                    center - width / 2 - cap * 0.5, baseline - cap * 1.5, body.x1,
                    baseline + cap * 0.5)
                canvas.rectangle(
                    plate, radius: cap * 0.3, .fill(marker.mixed(0.45, .white).hex))
                canvas.note(.highlight, plate, "\(marker.name) highlight")
                draft.ask(
                    .field, "highlight", ["What number is highlighted?"], value,
                    asks: "v\(index)", reveals: [])
                draft.ask(
                    .color, "highlight", ["What color is the highlight?"], marker.name, asks: "h")
            }
            canvas.spell(
                value, centerX: center, baseline: baseline, cap: cap, ink: SynthesisColor.ink.hex)
            draft.ask(
                .field, "value", ["What is the \(names[index])?"], value, asks: "v\(index)")
            parts.append("\(names[index]) \(value)")
        }
        draft.ask(
            .page, "rows", ["How many rows are there?", "Count the rows."], "\(count)", asks: "n",
            isRequired: isCounted)
        return "A form with \(parts.joined(separator: ", "))."
    }

    /// A box for a row's entry with a small word in it.
    private static func fillBox(
        in row: Box, cap: Double, on canvas: inout SynthesisCanvas, _ strings: SynthesisStrings,
        _ random: inout SynthesisRandom
    ) {
        let box = Box(row.midX + cap, row.midY - cap * 0.9, row.x1, row.midY + cap * 0.9)
        canvas.rectangle(
            box, radius: cap * 0.3,
            .init(fill: "#f4f6f9", stroke: "#b3bac4", strokeWidth: max(1, cap * 0.05)))
        canvas.write(
            strings.word(&random), x: box.x0 + cap * 0.5, baseline: box.midY + cap * 0.25,
            cap: cap * 0.5, ink: "#6b7380")
    }

    // MARK: Table

    /// Rows are told by the colours of their markers.
    private static func drawTable(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ sheet: Sheet,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom, _ isCounted: Bool
    ) -> String {
        let (long, body) = (canvas.long, sheet.body)
        let count = random.integer(2...5)
        let head = long * 0.045
        let step = min(long * 0.125, (body.height - head) / Double(count))
        let colors = random.shuffled(SynthesisColor.named)
        let cap = long * 0.036
        let table = Box(body.x0, body.y0, body.x1, body.y0 + head + step * Double(count))
        let shade = SynthesisColor.pastel(&random)
        canvas.rectangle(
            Box(table.x0, table.y0, table.x1, table.y0 + head),
            .fill(shade.mixed(0.25, SynthesisColor("shade", 90, 100, 120)).hex))
        let columns = [table.x0 + table.width * 0.2, table.x1 - table.width * 0.42]
        for (x, title) in [
            ((table.x0 + columns[0]) / 2, "Mark"), ((columns[0] + columns[1]) / 2, "Name"),
            ((columns[1] + table.x1) / 2, "Value"),
        ] {
            canvas.write(
                title, x: x, baseline: table.y0 + head * 0.68, cap: head * 0.36, bold: true,
                anchor: .middle, ink: SynthesisColor.ink.hex)
        }
        var parts: [String] = []
        for index in 0..<count {
            let top = table.y0 + head + step * Double(index)
            let row = Box(table.x0, top, table.x1, top + step)
            let value = strings.code(&random, digits: 3, ascending: false)
            let name = colors[index].name
            if !index.isMultiple(of: 2) { canvas.rectangle(row, .fill(shade.hex, opacity: 0.6)) }
            canvas.note(.row, row, "row")
            let (x, r) = ((table.x0 + columns[0]) / 2, cap * 0.75)
            let marker = Box(x - r, row.midY - r, x + r, row.midY + r)
            canvas.rectangle(marker, radius: r * 0.3, .fill(colors[index].varied(&random).hex))
            canvas.note(.marker, marker, "\(name) marker")
            canvas.write(
                strings.word(&random), x: (columns[0] + columns[1]) / 2,
                baseline: row.midY + cap * 0.25, cap: cap * 0.5, anchor: .middle, ink: "#6b7380")
            guard configuration.binding else {
                canvas.write(
                    strings.word(&random), x: (columns[1] + table.x1) / 2,
                    baseline: row.midY + cap * 0.25, cap: cap * 0.5, anchor: .middle,
                    ink: "#6b7380")
                parts.append("\(colors[index].article) \(name) marker")
                continue
            }
            canvas.spell(
                value, centerX: (columns[1] + table.x1) / 2, baseline: row.midY + cap / 2, cap: cap,
                ink: SynthesisColor.ink.hex)
            draft.ask(
                .field, "marker", ["What number is next to the \(name) marker?"], value,
                asks: "v\(index)")
            parts.append("\(name) \(value)")
        }
        let thin = max(1, long * 0.0018)
        canvas.rectangle(table, .stroke("#7b8492", thin))
        for x in columns {
            canvas.line([(x, table.y0), (x, table.y1)], .stroke("#b3bac4", thin))
        }
        draft.ask(
            .page, "rows", ["How many rows are there?", "Count the rows."], "\(count)", asks: "n",
            isRequired: isCounted)
        return "A table with \(parts.joined(separator: ", "))."
    }
}
