/// Signs of different colours with codes on them, in a landscape or on a wall.
enum SynthesisSigns {
    private struct Sign {
        let color: SynthesisColor
        let code: String
        let box: Synthesis.Box
        let place: Int
        let cap: Double
    }

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ strings: SynthesisStrings, _ configuration: Synthesis.Configuration,
        _ random: inout SynthesisRandom
    ) -> String {
        let signs = compose(canvas, strings, configuration, &random)
        if random.chance(0.55) {
            paintLandscape(on: &canvas, &random)
            for sign in signs { plant(sign, on: &canvas) }
        } else {
            paintWall(on: &canvas, &random)
        }
        for sign in signs { draw(sign, on: &canvas, &random) }
        if configuration.binding { ask(signs, &draft) } else { askUnbound(signs, &draft) }
        return SynthesisScene.sentence(
            signs.sorted { $0.place < $1.place }.map { sign in
                "\(sign.color.article) \(sign.color.name) sign that says \(sign.code) "
                    + SynthesisPlace.phrase(sign.place)
            })
    }

    // MARK: Composition

    private static func compose(
        _ canvas: SynthesisCanvas, _ strings: SynthesisStrings,
        _ configuration: Synthesis.Configuration, _ random: inout SynthesisRandom
    ) -> [Sign] {
        let count =
            configuration.binding
            ? random.integer(1...3) : random.chance(0.75) ? 1 : random.integer(2...4)
        let colors = random.shuffled(SynthesisColor.named)
        let isLarge = count < (configuration.binding ? 3 : 2) && random.chance(0.3)
        var signs: [Sign] = []
        for place in random.shuffled(Array(0..<9)) where signs.count < count {
            // The widest sign that fits a portrait picture's third, unless the signs are large.
            let cap = canvas.long * random.number(0.034...0.042) * (isLarge ? 1.45 : 1)
            let width =
                SynthesisCanvas.spelledWidth(
                    String(repeating: "0", count: configuration.codeLength), cap: cap) + cap * 1.5
            let height = cap * random.number(2.4...3)
            let (cellWidth, cellHeight) = (canvas.width / 3, canvas.height / 3)
            let margin = canvas.long * 0.012
            let x = min(
                max(
                    cellWidth * (Double(place % 3) + 0.5 + random.number(-0.18...0.18)),
                    width / 2 + margin), canvas.width - width / 2 - margin)
            let y = cellHeight * (Double(place / 3) + 0.5 + random.number(-0.18...0.18))
            let box = Synthesis.Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            if signs.contains(where: { $0.box.grown(by: margin * 1.5).overlaps(box) }) { continue }
            let code = strings.code(
                &random, digits: configuration.codeLength, ascending: !configuration.binding)
            if signs.contains(where: { $0.code == code }) { continue }
            signs.append(
                Sign(color: colors[signs.count], code: code, box: box, place: place, cap: cap))
        }
        return signs
    }

    private static func draw(
        _ sign: Sign, on canvas: inout SynthesisCanvas, _ random: inout SynthesisRandom
    ) {
        let color = sign.color.varied(&random)
        let (box, frame, radius) = (sign.box, sign.cap * 0.42, sign.cap * 0.5)
        canvas.rectangle(
            .init(box.x0 + frame / 4, box.y0 + frame / 3, box.x1 + frame / 4, box.y1 + frame / 3),
            radius: radius, .fill("#000000", opacity: 0.18))
        canvas.rectangle(box, radius: radius, .fill(color.hex))
        canvas.rectangle(
            box.grown(by: -frame), radius: radius * 0.5, .fill(color.mixed(0.9, .white).hex))
        for x in [box.x0 + frame / 2, box.x1 - frame / 2] {
            canvas.ellipse(x, box.midY, frame / 5, frame / 5, .fill("#ffffff", opacity: 0.7))
        }
        let index = canvas.note(.plate, box, "\(sign.color.name) sign")
        canvas.spell(
            sign.code, centerX: box.midX, baseline: box.midY + sign.cap / 2, cap: sign.cap,
            ink: SynthesisColor.ink.hex, in: index)
    }

    private static func plant(_ sign: Sign, on canvas: inout SynthesisCanvas) {
        let width = sign.cap * 0.3
        let foot = min(canvas.height, max(sign.box.y1 + canvas.height * 0.15, canvas.height * 0.74))
        canvas.rectangle(
            .init(sign.box.midX - width / 2, sign.box.y1 - 2, sign.box.midX + width / 2, foot),
            radius: width / 3, .fill("#9aa0a8"))
    }

    // MARK: Questions

    /// What the only sign says, or how many there are.
    private static func askUnbound(_ signs: [Sign], _ draft: inout SynthesisDraft) {
        guard signs.count == 1, let sign = signs.first else {
            draft.ask(
                .count, "signs", ["How many signs are there?", "Count the signs."],
                "\(signs.count)", asks: "n")
            return
        }
        draft.ask(
            .text, "only", ["What number is on the sign?", "What does the sign say?"], sign.code,
            asks: "code")
        draft.ask(
            .color, "only-sign", ["What color is the sign?"], sign.color.name, asks: "color")
        draft.ask(
            .position, "only-sign", ["Where is the sign?"], SynthesisPlace.names[sign.place],
            asks: "place")
    }

    private static func ask(_ signs: [Sign], _ draft: inout SynthesisDraft) {
        draft.ask(
            .count, "signs", ["How many signs are there?", "Count the signs."], "\(signs.count)",
            asks: "n")
        for (index, sign) in signs.enumerated() {
            let (color, code, place) = ("c\(index)", "t\(index)", "p\(index)")
            let name = sign.color.name
            let here = SynthesisPlace.phrase(sign.place)
            draft.ask(
                .text, "code",
                ["What number is on the \(name) sign?", "What does the \(name) sign say?"],
                sign.code, asks: code, reveals: [color])
            draft.ask(
                .text, "place", ["What number is on the sign \(here)?"], sign.code, asks: code,
                reveals: [place])
            draft.ask(
                .digit, "first", ["What is the first digit on the \(name) sign?"],
                String(sign.code.prefix(1)), asks: code, reveals: [color])
            draft.ask(
                .color, "sign", ["What color is the sign \(here)?"], name, asks: color,
                reveals: [place])
            draft.ask(
                .position, "sign", ["Where is the \(name) sign?"],
                SynthesisPlace.names[sign.place], asks: place, reveals: [color])
        }
    }

    // MARK: Background

    private static func paintLandscape(
        on canvas: inout SynthesisCanvas, _ random: inout SynthesisRandom
    ) {
        let (w, h) = (canvas.width, canvas.height)
        let skies = [("#cfe6f7", "#f4f8fb"), ("#f9dfcf", "#fdf5e8"), ("#d9dcef", "#f3eef4")]
        let (top, horizon) = random.pick(skies)
        let sky = canvas.gradient(top, horizon, dx: 0, dy: 1)
        canvas.rectangle(.init(0, 0, w, h), .fill(sky))
        let sun = canvas.long * random.number(0.05...0.08)
        canvas.ellipse(
            random.number(0.1...0.9) * w, random.number(0.08...0.3) * h, sun, sun,
            .fill("#fff6d8", opacity: 0.9))
        for _ in 0..<random.integer(2...4) {
            let (x, y) = (random.number(0...w), random.number(0.05...0.4) * h)
            let r = canvas.long * random.number(0.02...0.04)
            for (dx, dy, size) in [(0.0, 0.0, 1.3), (-1.5, 0.3, 0.9), (1.5, 0.25, 1.0)] {
                canvas.ellipse(
                    x + dx * r, y + dy * r, size * r * 1.2, size * r * 0.8,
                    .fill("#ffffff", opacity: 0.75))
            }
        }
        let grounds = [
            ["#c4dcc0", "#aecfae", "#9cc3a0"], ["#e2d9bf", "#d5c8a6", "#c8b993"],
            ["#d3dbe2", "#c0ccd6", "#b0bfcb"],
        ]
        for (level, ground) in random.pick(grounds).enumerated() {
            let y = h * (0.52 + 0.17 * Double(level) + random.number(-0.05...0.05))
            let bend = h * random.number(-0.12...0.12)
            canvas.hill(from: y, through: y - bend, y + bend, to: y - bend / 2, .fill(ground))
        }
    }

    private static func paintWall(
        on canvas: inout SynthesisCanvas, _ random: inout SynthesisRandom
    ) {
        let (w, h) = (canvas.width, canvas.height)
        let (first, last) = (SynthesisColor.pastel(&random), SynthesisColor.pastel(&random))
        let fill = canvas.gradient(first.hex, last.hex, dx: 0.3, dy: 1)
        canvas.rectangle(.init(0, 0, w, h), .fill(fill))
        let rows = random.integer(7...11)
        let step = h / Double(rows)
        let isBrick = random.chance(0.6)
        var joints = ""
        for row in 0...rows {
            let y = step * Double(row)
            joints += SynthesisCanvas.path([(0, y), (w, y)], closed: false)
            guard isBrick else { continue }
            var x = row.isMultiple(of: 2) ? 0 : step
            while x < w {
                joints += SynthesisCanvas.path([(x, y), (x, y + step)], closed: false)
                x += step * 2
            }
        }
        canvas.path(joints, .stroke("#8790a0", max(1, canvas.long * 0.0016), opacity: 0.3))
    }
}
