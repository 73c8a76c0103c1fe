/// Big shapes in nine places, some with a digit on them, and small dots.
enum SynthesisScene {
    struct Item {
        let shape: SynthesisShape
        let color: SynthesisColor
        let place: Int
        let x: Double
        let y: Double
        let radius: Double
        let digit: String?

        var name: String { "\(color.name) \(shape.rawValue)" }

        var box: Synthesis.Box {
            Synthesis.Box(x - radius, y - radius, x + radius, y + radius)
        }
    }

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ configuration: Synthesis.Configuration, _ random: inout SynthesisRandom
    ) -> String {
        paintBackground(on: &canvas, &random)
        return configuration.binding
            ? drawMany(on: &canvas, &draft, &random) : drawUnbound(on: &canvas, &draft, &random)
    }

    // MARK: Shapes

    static func draw(
        _ item: Item, isShaded: Bool, on canvas: inout SynthesisCanvas,
        _ random: inout SynthesisRandom
    ) {
        let color = item.color.varied(&random)
        let turn = random.number(-1...1) * item.shape.turnLimit
        item.shape.draw(
            on: &canvas, x: item.x, y: item.y, radius: item.radius, color: color, turn: turn,
            isShaded: isShaded)
        let (x, y, r) = (item.x, item.y, item.radius)
        let index = canvas.note(.shape, item.box, item.name)
        guard let digit = item.digit else { return }
        let cap = min(canvas.long * random.number(0.034...0.042), r * 0.66)
        let ink = item.shape == .ring ? SynthesisColor.ink.hex : color.contrast
        canvas.spell(
            digit, centerX: x, baseline: y + item.shape.digitDrop * r + cap / 2, cap: cap, ink: ink,
            in: index)
    }

    // MARK: Dots

    struct Dots {
        let count: Int
        let color: SynthesisColor
        /// The one place of them all, or nil where they are scattered.
        let place: Int?

        var noun: String { "small \(color.name) dot\(count == 1 ? "" : "s")" }

        func ask(_ draft: inout SynthesisDraft) {
            draft.ask(
                .smallCount, "dots", ["How many small dots are there?", "Count the small dots."],
                "\(count)", asks: "dots", isRequired: true)
            draft.ask(.color, "dots", ["What color are the dots?"], color.name, asks: "dotcolor")
            guard let place else { return }
            draft.ask(
                .position, "dots", ["Where are the small dots?"], SynthesisPlace.names[place],
                asks: "dotplace")
        }
    }

    /// One to six dots in a free place, each too small to be told apart in a snapshot.
    static func gatherDots(
        on canvas: inout SynthesisCanvas, free: [Int], _ random: inout SynthesisRandom
    ) -> Dots? {
        guard random.chance(0.6), !free.isEmpty else { return nil }
        let place = random.pick(free)
        let dots = Dots(
            count: random.integer(1...6), color: random.pick(SynthesisColor.named), place: place)
        let radius = canvas.long * random.number(0.011...0.014)
        let (cellWidth, cellHeight) = (canvas.width / 3, canvas.height / 3)
        // In a three by three grid of slots, so that they never touch.
        let step = min(min(cellWidth, cellHeight) / 3.2, radius * random.number(3.4...4.6))
        let x0 = cellWidth * (Double(place % 3) + 0.5)
        let y0 = cellHeight * (Double(place / 3) + 0.5)
        let half = step * 1.4 + radius
        let group = canvas.note(
            .group, .init(x0 - half, y0 - half, x0 + half, y0 + half), "\(dots.count) \(dots.noun)")
        let color = dots.color.varied(&random)
        for slot in random.shuffled(Array(0..<9)).prefix(dots.count) {
            let x = x0 + step * (Double(slot % 3) - 1) + random.number(-0.4...0.4) * radius
            let y = y0 + step * (Double(slot / 3) - 1) + random.number(-0.4...0.4) * radius
            dot(dots.color, color, x, y, radius, in: group, on: &canvas)
        }
        return dots
    }

    /// One to six dots anywhere off the shapes, each in its own cell of an eight by eight grid.
    static func scatterDots(
        on canvas: inout SynthesisCanvas, off items: [Item], _ random: inout SynthesisRandom
    ) -> Dots {
        let color = random.pick(SynthesisColor.named)
        let painted = color.varied(&random)
        let radius = canvas.long * random.number(0.011...0.014)
        let (cellWidth, cellHeight) = (canvas.width / 8, canvas.height / 8)
        let wanted = random.integer(1...6)
        var count = 0
        for cell in random.shuffled(Array(0..<64)) where count < wanted {
            let x = cellWidth * (Double(cell % 8) + 0.5 + random.number(-0.2...0.2))
            let y = cellHeight * (Double(cell / 8) + 0.5 + random.number(-0.2...0.2))
            let box = Synthesis.Box(x - radius, y - radius, x + radius, y + radius)
            let isFree = !items.contains { $0.box.grown(by: radius * 0.7).overlaps(box) }
            guard isFree else { continue }
            dot(color, painted, x, y, radius, in: nil, on: &canvas)
            count += 1
        }
        return Dots(count: count, color: color, place: nil)
    }

    private static func dot(
        _ named: SynthesisColor, _ painted: SynthesisColor, _ x: Double, _ y: Double,
        _ radius: Double, in group: Int?, on canvas: inout SynthesisCanvas
    ) {
        canvas.ellipse(x, y, radius, radius, .fill(painted.hex))
        canvas.note(
            .dot, .init(x - radius, y - radius, x + radius, y + radius), "\(named.name) dot",
            in: group)
    }

    // MARK: Caption

    static func caption(_ items: [Item], _ dots: Dots?) -> String {
        let parts = items.sorted { $0.place < $1.place }.map { item in
            let digit = item.digit.map { " with the digit \($0)" } ?? ""
            return "\(item.color.article) \(item.name)\(digit) \(SynthesisPlace.phrase(item.place))"
        }
        var caption = sentence(parts)
        if let dots {
            let here = dots.place.map { " " + SynthesisPlace.phrase($0) } ?? ""
            caption += " \(dots.count) \(dots.noun)\(here)."
        }
        return caption
    }

    /// The parts as one sentence: `A, b and c.`
    static func sentence(_ parts: [String]) -> String {
        let last = parts.last ?? ""
        let list =
            parts.count > 1 ? parts.dropLast().joined(separator: ", ") + " and " + last : last
        return list.prefix(1).uppercased() + list.dropFirst() + "."
    }

    // MARK: Background

    private static func paintBackground(
        on canvas: inout SynthesisCanvas, _ random: inout SynthesisRandom
    ) {
        let (first, last) = (SynthesisColor.backdrop(&random), SynthesisColor.backdrop(&random))
        let fill = canvas.gradient(first.hex, last.hex, dx: random.number(0...1), dy: 1)
        canvas.rectangle(.init(0, 0, canvas.width, canvas.height), .fill(fill))
        switch random.integer(0...4) {
        case 0:
            for _ in 0..<7 {
                let r = canvas.long * random.number(0.08...0.3)
                canvas.ellipse(
                    random.number(0...canvas.width), random.number(0...canvas.height), r, r,
                    .fill("#ffffff", opacity: random.number(0.1...0.35)))
            }
        case 1:
            let step = canvas.long * random.number(0.05...0.09)
            var data = ""
            for x in stride(from: step / 2 - canvas.height, to: canvas.width, by: step) {
                data += SynthesisCanvas.path(
                    [(x, 0), (x + canvas.height, canvas.height)], closed: false)
            }
            canvas.path(data, .stroke("#ffffff", step * 0.3, opacity: 0.25))
        case 2:
            for level in 1...4 {
                let y = canvas.height * (0.2 * Double(level) + random.number(-0.05...0.05))
                let bend = canvas.height * random.number(-0.16...0.16)
                canvas.hill(
                    from: y, through: y + bend, y - bend, to: y,
                    .fill(level.isMultiple(of: 2) ? first.hex : "#ffffff", opacity: 0.3))
            }
        case 3:
            let side = canvas.long * random.number(0.07...0.13)
            var data = ""
            for (row, y) in stride(from: 0, to: canvas.height, by: side).enumerated() {
                let offset = row.isMultiple(of: 2) ? 0 : side
                for x in stride(from: offset, to: canvas.width, by: side * 2) {
                    data += SynthesisCanvas.path(
                        [(x, y), (x + side, y), (x + side, y + side), (x, y + side)], closed: true)
                }
            }
            canvas.path(data, .fill("#ffffff", opacity: random.number(0.12...0.25)))
        default:
            break
        }
    }
}
