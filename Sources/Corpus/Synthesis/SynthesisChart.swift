/// Bar and line charts of values from 1 to 9 over the days of a week.
enum SynthesisChart {
    typealias Box = Synthesis.Box

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ strings: SynthesisStrings, _ random: inout SynthesisRandom
    ) -> String {
        let isBar = random.chance(0.5)
        let plot = paintFrame(on: &canvas, title: strings.word(&random).capitalized, &random)
        draft.ask(
            .chart, "kind", ["Is this a bar chart or a line chart?"], isBar ? "bar" : "line",
            asks: "kind", isRequired: random.chance(0.25))
        return isBar
            ? drawBars(on: &canvas, &draft, plot, &random)
            : drawLines(on: &canvas, &draft, plot, &random)
    }

    // MARK: Frame

    /// Page, card, title and value axis; gives the rectangle whose height means 10.
    private static func paintFrame(
        on canvas: inout SynthesisCanvas, title: String, _ random: inout SynthesisRandom
    ) -> Box {
        let (w, h, long) = (canvas.width, canvas.height, canvas.long)
        let page = SynthesisColor.pastel(&random)
        canvas.rectangle(.init(0, 0, w, h), .fill(page.hex))
        let inset = long * random.number(0.012...0.03)
        let card = Box(inset, inset, w - inset, h - inset)
        let shade = long * 0.004
        canvas.rectangle(
            Box(card.x0 + shade, card.y0 + shade, card.x1 + shade, card.y1 + shade),
            radius: long * 0.015, .fill("#000000", opacity: 0.1))
        canvas.rectangle(card, radius: long * 0.015, .fill(page.mixed(0.85, .white).hex))
        let cap = long * random.number(0.024...0.028)
        let isCentred = random.chance(0.5)
        canvas.write(
            title, x: isCentred ? w / 2 : card.x0 + long * 0.035,
            baseline: card.y0 + long * 0.035 + cap, cap: cap, bold: true,
            anchor: isCentred ? .middle : .start, ink: "#4a515e")
        let plot = Box(
            card.x0 + long * 0.095, card.y0 + long * 0.115, card.x1 - long * 0.035,
            card.y1 - long * 0.085)
        let thin = max(1, long * 0.0016)
        let isGridded = random.chance(0.85)
        for value in stride(from: 0, through: 10, by: 2) {
            let y = plot.y1 - plot.height * Double(value) / 10
            if isGridded || value == 0 {
                canvas.line(
                    [(plot.x0, y), (plot.x1, y)],
                    .stroke(value == 0 ? "#5c6470" : "#c9ced6", value == 0 ? thin * 1.6 : thin))
            }
            let tick = long * 0.023
            let width = SynthesisCanvas.spelledWidth("\(value)", cap: tick)
            canvas.spell(
                "\(value)", centerX: plot.x0 - long * 0.012 - width / 2, baseline: y + tick / 2,
                cap: tick, ink: "#79818e")
        }
        return plot
    }

    private static func label(
        _ day: String, x: Double, below plot: Box, on canvas: inout SynthesisCanvas
    ) {
        let cap = canvas.long * 0.03
        let box = canvas.write(
            day.capitalized, x: x, baseline: plot.y1 + cap * 1.8, cap: cap, bold: true,
            anchor: .middle, ink: SynthesisColor.ink.hex)
        canvas.note(.word, box, day)
    }

    // MARK: Bars

    private static func drawBars(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ plot: Box,
        _ random: inout SynthesisRandom
    ) -> String {
        let count = random.integer(2...5)
        let colors = Array(random.shuffled(SynthesisColor.named).prefix(count))
        let days = Array(random.shuffled(SynthesisStrings.days).prefix(count))
        let values = Array(random.shuffled(Array(1...9)).prefix(count))
        let step = plot.width / Double(count)
        let width = step * random.number(0.5...0.72)
        for index in 0..<count {
            let x = plot.x0 + step * (Double(index) + 0.5)
            let top = plot.y1 - plot.height * Double(values[index]) / 10
            let box = Box(x - width / 2, top, x + width / 2, plot.y1)
            let color = colors[index].varied(&random)
            let round = min(width, box.height) * 0.08
            canvas.rectangle(box, radius: round, .fill(color.hex))
            canvas.rectangle(Box(box.x0, plot.y1 - round, box.x1, plot.y1), .fill(color.hex))
            let bar = canvas.note(.bar, box, "\(colors[index].name) bar")
            label(days[index], x: x, below: plot, on: &canvas)
            let cap = canvas.long * 0.034
            canvas.spell(
                "\(values[index])", centerX: x, baseline: top - cap * 0.4, cap: cap,
                ink: SynthesisColor.ink.hex, in: bar)
        }
        askBars(colors.map(\.name), days, values, &draft, isCounted: random.chance(0.6))
        let list = (0..<count).map { "\(colors[$0].name) \(values[$0]) on \(days[$0])" }
        return "A bar chart with \(count) bars: \(list.joined(separator: ", "))."
    }

    private static func askBars(
        _ colors: [String], _ days: [String], _ values: [Int], _ draft: inout SynthesisDraft,
        isCounted: Bool
    ) {
        draft.ask(
            .count, "bars", ["How many bars are there?", "Count the bars."], "\(colors.count)",
            asks: "n", isRequired: isCounted)
        for (extreme, index) in [
            ("highest", values.indices.max { values[$0] < values[$1] } ?? 0),
            ("lowest", values.indices.min { values[$0] < values[$1] } ?? 0),
        ] {
            draft.ask(
                .chart, extreme, ["What color is the \(extreme) bar?"], colors[index],
                asks: "rank\(index)")
            draft.ask(
                .chart, "day", ["Which day has the \(extreme) bar?"], days[index],
                asks: "day\(index)")
        }
        for index in colors.indices {
            draft.ask(
                .chart, "value",
                [
                    "What is the value of the \(colors[index]) bar?",
                    "How high is the \(colors[index]) bar?",
                ],
                "\(values[index])", asks: "v\(index)")
        }
    }

    // MARK: Lines

    private static func drawLines(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ plot: Box,
        _ random: inout SynthesisRandom
    ) -> String {
        let count = random.integer(4...6)
        let days = Array(random.shuffled(SynthesisStrings.days).prefix(count))
        let lines = random.integer(1...3)
        let colors = Array(random.shuffled(SynthesisColor.named).prefix(lines))
        let step = plot.width / Double(count)
        let xs = (0..<count).map { plot.x0 + step * (Double($0) + 0.5) }
        // No two lines share a value at a day, and each ends apart from where it starts.
        let starts = random.shuffled(Array(1...9)).prefix(lines)
        var ends = starts.map { $0 }
        while zip(starts, ends).contains(where: { abs($0 - $1) < 2 }) {
            ends = Array(random.shuffled(Array(1...9)).prefix(lines))
        }
        let columns = (0..<count).map { _ in random.shuffled(Array(1...9)) }
        for line in 0..<lines {
            let values = (0..<count).map { place in
                place == 0 ? starts[line] : place == count - 1 ? ends[line] : columns[place][line]
            }
            let name = colors[line].name
            let color = colors[line].varied(&random)
            let points = zip(xs, values).map { ($0, plot.y1 - plot.height * Double($1) / 10) }
            canvas.line(points, .stroke(color.hex, canvas.long * 0.009))
            for (x, y) in points {
                let r = canvas.long * 0.014
                canvas.ellipse(x, y, r, r, .fill(color.hex))
                canvas.note(.point, Box(x - r, y - r, x + r, y + r), "\(name) point")
            }
            let cap = canvas.long * 0.034
            canvas.spell(
                "\(ends[line])", centerX: points[count - 1].0 + cap * 1.1,
                baseline: points[count - 1].1 + cap / 2, cap: cap, ink: SynthesisColor.ink.hex)
            draft.ask(
                .chart, "trend", ["Does the \(name) line end higher or lower than it starts?"],
                ends[line] > starts[line] ? "higher" : "lower", asks: "trend\(line)")
            draft.ask(
                .chart, "last", ["What is the last value of the \(name) line?"], "\(ends[line])",
                asks: "v\(line)")
        }
        for (x, day) in zip(xs, days) { label(day, x: x, below: plot, on: &canvas) }
        draft.ask(
            .count, "lines", ["How many lines are there?", "Count the lines."], "\(lines)",
            asks: "n", isRequired: random.chance(0.6))
        if lines > 1 {
            let best = ends.indices.max { ends[$0] < ends[$1] } ?? 0
            draft.ask(
                .chart, "top", ["What color is the line that ends highest?"], colors[best].name,
                asks: "top")
        }
        let list = colors.indices.map { "\(colors[$0].name) from \(starts[$0]) to \(ends[$0])" }
        return "A line chart with \(lines) line\(lines == 1 ? "" : "s"): "
            + "\(list.joined(separator: ", "))."
    }
}
