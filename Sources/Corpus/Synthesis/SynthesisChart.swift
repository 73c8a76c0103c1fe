/// Bar and line charts of values from 1 to 9 over the days of a week.
enum SynthesisChart {
    typealias Box = Synthesis.Box

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom
    ) -> String {
        let isBar = random.chance(0.5)
        let plot = paintFrame(on: &canvas, title: strings.word(&random).capitalized, &random)
        draft.ask(
            .chart, "kind", ["Is this a bar chart or a line chart?"], isBar ? "bar" : "line",
            asks: "kind", isRequired: random.chance(0.25))
        switch (isBar, configuration.binding) {
        case (true, let binding): return drawBars(on: &canvas, &draft, plot, binding, &random)
        case (false, true): return drawLines(on: &canvas, &draft, plot, &random)
        case (false, false): return drawLine(on: &canvas, &draft, plot, &random)
        }
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
                cap: tick, ink: "#79818e", isNoted: false)
        }
        return plot
    }

    private static func label(
        _ day: String, x: Double, below plot: Box, isNoted: Bool, on canvas: inout SynthesisCanvas
    ) {
        let cap = canvas.long * 0.03
        let box = canvas.write(
            day.capitalized, x: x, baseline: plot.y1 + cap * 1.8, cap: cap, bold: true,
            anchor: .middle, ink: SynthesisColor.ink.hex)
        if isNoted { canvas.note(.word, box, day) }
    }

    // MARK: Bars

    private static func drawBars(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ plot: Box,
        _ binding: Bool, _ random: inout SynthesisRandom
    ) -> String {
        let count = random.integer(2...5)
        let colors = Array(random.shuffled(SynthesisColor.named).prefix(count))
        let days = Array(random.shuffled(SynthesisStrings.days).prefix(count))
        let values = values(count, isPeakEven: !binding, &random)
        let step = plot.width / Double(count)
        let width = step * random.number(0.56...0.76)
        for index in 0..<count {
            let x = plot.x0 + step * (Double(index) + 0.5)
            let top = plot.y1 - plot.height * Double(values[index]) / 10
            let box = Box(x - width / 2, top, x + width / 2, plot.y1)
            let color = colors[index].varied(&random)
            let round = min(width, box.height) * 0.08
            canvas.rectangle(box, radius: round, .fill(color.hex))
            canvas.rectangle(Box(box.x0, plot.y1 - round, box.x1, plot.y1), .fill(color.hex))
            let bar = canvas.note(.bar, box, "\(colors[index].name) bar")
            label(days[index], x: x, below: plot, isNoted: binding, on: &canvas)
            let cap = canvas.long * 0.034
            canvas.spell(
                "\(values[index])", centerX: x, baseline: top - cap * 0.4, cap: cap,
                ink: SynthesisColor.ink.hex, in: bar)
        }
        let isCounted = random.chance(0.6)
        askBars(colors.map(\.name), values, &draft, isCounted: isCounted)
        if binding {
            askBarByBar(colors.map(\.name), days, values, &draft)
        } else {
            draft.ask(
                .chart, "peak", ["What is the highest value?"], "\(values.max() ?? 0)",
                asks: "peak")
        }
        let list = (0..<count).map { index in
            "\(colors[index].name) \(values[index])" + (binding ? " on \(days[index])" : "")
        }
        return "A bar chart with \(count) bars: \(list.joined(separator: ", "))."
    }

    /// Values of bars, no two the same. The highest leans upwards unless it is drawn first: then it
    /// is 5...9, each as often.
    private static func values(
        _ count: Int, isPeakEven: Bool, _ random: inout SynthesisRandom
    ) -> [Int] {
        guard isPeakEven else { return Array(random.shuffled(Array(1...9)).prefix(count)) }
        let peak = random.integer(5...9)
        let others = random.shuffled(Array(1..<peak)).prefix(count - 1)
        return random.shuffled([peak] + others)
    }

    private static func askBars(
        _ colors: [String], _ values: [Int], _ draft: inout SynthesisDraft, isCounted: Bool
    ) {
        draft.ask(
            .count, "bars", ["How many bars are there?", "Count the bars."], "\(colors.count)",
            asks: "n", isRequired: isCounted)
        for (extreme, index) in extremes(values) {
            draft.ask(
                .chart, extreme, ["What color is the \(extreme) bar?"], colors[index],
                asks: "rank\(index)")
        }
    }

    private static func askBarByBar(
        _ colors: [String], _ days: [String], _ values: [Int], _ draft: inout SynthesisDraft
    ) {
        for (extreme, index) in extremes(values) {
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

    private static func extremes(_ values: [Int]) -> [(String, Int)] {
        [
            ("highest", values.indices.max { values[$0] < values[$1] } ?? 0),
            ("lowest", values.indices.min { values[$0] < values[$1] } ?? 0),
        ]
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
            drawLine(
                through: zip(xs, values).map { ($0, $1) }, name: name, color: color, plot,
                on: &canvas)
            draft.ask(
                .chart, "trend", ["Does the \(name) line end higher or lower than it starts?"],
                ends[line] > starts[line] ? "higher" : "lower", asks: "trend\(line)")
            draft.ask(
                .chart, "last", ["What is the last value of the \(name) line?"], "\(ends[line])",
                asks: "v\(line)")
        }
        for (x, day) in zip(xs, days) { label(day, x: x, below: plot, isNoted: true, on: &canvas) }
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

    /// A line with its points and, behind its end, the last value.
    private static func drawLine(
        through values: [(x: Double, value: Int)], name: String, color: SynthesisColor,
        _ plot: Box, on canvas: inout SynthesisCanvas
    ) {
        let points = values.map { ($0.x, plot.y1 - plot.height * Double($0.value) / 10) }
        canvas.line(points, .stroke(color.hex, canvas.long * 0.009))
        for (x, y) in points {
            let r = canvas.long * 0.014
            canvas.ellipse(x, y, r, r, .fill(color.hex))
            canvas.note(.point, Box(x - r, y - r, x + r, y + r), "\(name) point")
        }
        guard let end = points.last, let value = values.last?.value else { return }
        let cap = canvas.long * 0.034
        canvas.spell(
            "\(value)", centerX: end.0 + cap * 1.1, baseline: end.1 + cap / 2, cap: cap,
            ink: SynthesisColor.ink.hex)
    }

    /// The only line, which rises or falls all the way. Its last value is drawn first.
    private static func drawLine(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft, _ plot: Box,
        _ random: inout SynthesisRandom
    ) -> String {
        let end = random.integer(1...9)
        let start = random.pick(Array(1...9).filter { abs($0 - end) >= 3 })
        let count = random.integer(4...6)
        let days = Array(random.shuffled(SynthesisStrings.days).prefix(count))
        let color = random.pick(SynthesisColor.named)
        let between = (0..<count - 2).map { _ in
            random.integer(min(start, end)...max(start, end))
        }.sorted { start < end ? $0 < $1 : $0 > $1 }
        let values = [start] + between + [end]
        let step = plot.width / Double(count)
        let xs = (0..<count).map { plot.x0 + step * (Double($0) + 0.5) }
        drawLine(
            through: zip(xs, values).map { ($0, $1) }, name: color.name,
            color: color.varied(&random), plot, on: &canvas)
        for (x, day) in zip(xs, days) {
            label(day, x: x, below: plot, isNoted: false, on: &canvas)
        }
        let slope = end > start ? "rising" : "falling"
        draft.ask(
            .chart, "slope", ["Is the line rising or falling?"], slope, asks: "slope")
        draft.ask(.chart, "last", ["What is the last value?"], "\(end)", asks: "last")
        draft.ask(.color, "line", ["What color is the line?"], color.name, asks: "color")
        return "A line chart with \(color.article) \(color.name) line \(slope) "
            + "from \(start) to \(end)."
    }
}
