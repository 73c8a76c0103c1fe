import Foundation

/// Big shapes in a three by three grid of places, some with a digit on them, and small dots.
enum SynthesisScene {
    private struct Item {
        let shape: SynthesisShape
        let color: SynthesisColor
        let place: Int
        let x: Double
        let y: Double
        let radius: Double
        let digit: String?

        var name: String { "\(color.name) \(shape.rawValue)" }
    }

    static func draw(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        paintBackground(on: &canvas, &random)
        // A picture is either about its total, uniform in 1...6, or about the size of one group of
        // a colour or shape, uniform in 1...4. Asking for both would tilt the answers.
        let group = Group(&random)
        let items = compose(canvas, group, &random)
        let isShaded = random.chance(0.5)
        for item in items { draw(item, isShaded: isShaded, on: &canvas, &random) }
        let places = Set(items.map(\.place))
        let dots = scatterDots(on: &canvas, free: (0..<9).filter { !places.contains($0) }, &random)

        group.ask(&draft, isRequired: random.chance(0.8))
        askShapes(items, &draft)
        askRelation(items, &draft, &random)
        if let dots { dots.ask(&draft) }
        return caption(items, dots)
    }

    // MARK: Composition

    private struct Group {
        let color: SynthesisColor?
        let shape: SynthesisShape?
        let size: Int
        let total: Int

        init(_ random: inout SynthesisRandom) {
            let kind = random.integer(0...3)
            color = kind == 2 ? random.pick(SynthesisColor.named) : nil
            shape = kind == 3 ? random.pick(SynthesisShape.allCases) : nil
            size = random.integer(1...4)
            total = kind < 2 ? random.integer(1...6) : random.integer(max(2, size)...6)
        }

        func ask(_ draft: inout SynthesisDraft, isRequired: Bool) {
            if let color {
                draft.ask(
                    .count, "color", ["How many \(color.name) shapes are there?"], "\(size)",
                    asks: "group", isRequired: isRequired)
            } else if let shape {
                draft.ask(
                    .count, "shape", ["How many \(shape.plural) are there?"], "\(size)",
                    asks: "group", isRequired: isRequired)
            } else {
                draft.ask(
                    .count, "all", ["How many shapes are there?", "Count the shapes."], "\(total)",
                    asks: "total", isRequired: isRequired)
            }
        }
    }

    private static func compose(
        _ canvas: SynthesisCanvas, _ group: Group, _ random: inout SynthesisRandom
    ) -> [Item] {
        let hasDigits = random.chance(0.5)
        let (cellWidth, cellHeight) = (canvas.width / 3, canvas.height / 3)
        let limit = min(cellWidth, cellHeight) * 0.46
        return random.shuffled(Array(0..<9)).prefix(group.total).enumerated().map { index, place in
            let isMember = index < group.size
            let color = random.pick(
                SynthesisColor.named.filter {
                    group.color == nil || ($0 == group.color) == isMember
                })
            let shape = random.pick(
                SynthesisShape.allCases.filter {
                    group.shape == nil || ($0 == group.shape) == isMember
                })
            let size = random.number(hasDigits ? 0.058...0.075 : 0.045...0.075)
            let radius = min(limit, canvas.long * size)
            // Near enough to its cell's centre that the place is never in doubt.
            let slackX = min(cellWidth / 2 - radius * 1.08, cellWidth * 0.22)
            let slackY = min(cellHeight / 2 - radius * 1.08, cellHeight * 0.22)
            return Item(
                shape: shape, color: color, place: place,
                x: cellWidth * (Double(place % 3) + 0.5) + random.number(-1...1) * slackX,
                y: cellHeight * (Double(place / 3) + 0.5) + random.number(-1...1) * slackY,
                radius: radius, digit: hasDigits ? "\(random.integer(0...9))" : nil)
        }
    }

    private static func draw(
        _ item: Item, isShaded: Bool, on canvas: inout SynthesisCanvas,
        _ random: inout SynthesisRandom
    ) {
        let color = item.color.varied(&random)
        let turn = random.number(-1...1) * item.shape.turnLimit
        item.shape.draw(
            on: &canvas, x: item.x, y: item.y, radius: item.radius, color: color, turn: turn,
            isShaded: isShaded)
        let (x, y, r) = (item.x, item.y, item.radius)
        let index = canvas.note(.shape, .init(x - r, y - r, x + r, y + r), item.name)
        guard let digit = item.digit else { return }
        let cap = min(canvas.long * random.number(0.034...0.042), r * 0.66)
        let ink = item.shape == .ring ? SynthesisColor.ink.hex : color.contrast
        canvas.spell(
            digit, centerX: x, baseline: y + item.shape.digitDrop * r + cap / 2, cap: cap, ink: ink,
            in: index)
    }

    // MARK: Dots

    private struct Dots {
        let count: Int
        let color: SynthesisColor
        let place: Int

        var noun: String { "small \(color.name) dot\(count == 1 ? "" : "s")" }

        func ask(_ draft: inout SynthesisDraft) {
            draft.ask(
                .smallCount, "dots", ["How many small dots are there?", "Count the small dots."],
                "\(count)", asks: "dots", isRequired: true)
            draft.ask(
                .color, "dots", ["What color are the small dots?"], color.name, asks: "dotcolor")
            draft.ask(
                .position, "dots", ["Where are the small dots?"], SynthesisPlace.names[place],
                asks: "dotplace")
        }
    }

    /// One to six dots in a free place, each too small to be told apart in a snapshot.
    private static func scatterDots(
        on canvas: inout SynthesisCanvas, free: [Int], _ random: inout SynthesisRandom
    ) -> Dots? {
        guard random.chance(0.6), !free.isEmpty else { return nil }
        let dots = Dots(
            count: random.integer(1...6), color: random.pick(SynthesisColor.named),
            place: random.pick(free))
        let radius = canvas.long * random.number(0.011...0.014)
        let (cellWidth, cellHeight) = (canvas.width / 3, canvas.height / 3)
        // In a three by three grid of slots, so that they never touch.
        let step = min(min(cellWidth, cellHeight) / 3.2, radius * random.number(3.4...4.6))
        let x0 = cellWidth * (Double(dots.place % 3) + 0.5)
        let y0 = cellHeight * (Double(dots.place / 3) + 0.5)
        let half = step * 1.4 + radius
        let group = canvas.note(
            .group, .init(x0 - half, y0 - half, x0 + half, y0 + half), "\(dots.count) \(dots.noun)")
        let color = dots.color.varied(&random)
        for slot in random.shuffled(Array(0..<9)).prefix(dots.count) {
            let x = x0 + step * (Double(slot % 3) - 1) + random.number(-0.4...0.4) * radius
            let y = y0 + step * (Double(slot / 3) - 1) + random.number(-0.4...0.4) * radius
            canvas.ellipse(x, y, radius, radius, .fill(color.hex))
            canvas.note(
                .dot, .init(x - radius, y - radius, x + radius, y + radius),
                "\(dots.color.name) dot", in: group)
        }
        return dots
    }

    // MARK: Questions

    private static func askShapes(_ items: [Item], _ draft: inout SynthesisDraft) {
        for (index, item) in items.enumerated() {
            let (color, shape, place) = ("c\(index)", "s\(index)", "p\(index)")
            let (a, b) = (item.color.name, item.shape.rawValue)
            let here = SynthesisPlace.phrase(item.place)
            let others = items.filter { $0.place != item.place }
            if !others.contains(where: { $0.shape == item.shape }) {
                draft.ask(
                    .color, "shape", ["What color is the \(b)?"], a, asks: color, reveals: [shape])
            }
            if !others.contains(where: { $0.color == item.color }) {
                draft.ask(
                    .shape, "color", ["What shape is \(a)?"], b, asks: shape, reveals: [color])
            }
            draft.ask(
                .color, "place", ["What color is the shape \(here)?"], a, asks: color,
                reveals: [place])
            draft.ask(.shape, "place", ["What shape is \(here)?"], b, asks: shape, reveals: [place])
            guard !others.contains(where: { $0.name == item.name }) else { continue }
            draft.ask(
                .position, "shape", ["Where is the \(item.name)?"],
                SynthesisPlace.names[item.place], asks: place, reveals: [color, shape])
            if let digit = item.digit {
                draft.ask(
                    .digit, "shape", ["What digit is on the \(item.name)?"], digit,
                    asks: "d\(index)", reveals: [color, shape])
            }
        }
    }

    /// Asks on which side of one shape another is: each of the four sides as often.
    private static func askRelation(
        _ items: [Item], _ draft: inout SynthesisDraft, _ random: inout SynthesisRandom
    ) {
        let single = items.indices.filter { index in
            items.indices.allSatisfy { $0 == index || items[$0].name != items[index].name }
        }
        var pairs: [String: [(Int, Int)]] = [:]
        for i in single {
            for j in single where i != j {
                let (dx, dy) = (items[i].x - items[j].x, items[i].y - items[j].y)
                if abs(dx) > 2 * abs(dy) {
                    pairs[dx < 0 ? "left" : "right", default: []].append((i, j))
                } else if abs(dy) > 2 * abs(dx) {
                    pairs[dy < 0 ? "above" : "below", default: []].append((i, j))
                }
            }
        }
        // Either pairs of one axis or of both are there; the axis is drawn first, then the side.
        let axes = [["left", "right"], ["above", "below"]].filter { pairs[$0[0]] != nil }
        guard !axes.isEmpty else { return }
        let side = random.pick(random.pick(axes))
        guard let (i, j) = pairs[side].map({ random.pick($0) }) else { return }
        draft.ask(
            .relation, "side",
            ["Where is the \(items[i].name) relative to the \(items[j].name)?"],
            side, asks: "side", reveals: ["c\(i)", "s\(i)", "c\(j)", "s\(j)"],
            isRequired: random.chance(0.7))
    }

    private static func caption(_ items: [Item], _ dots: Dots?) -> String {
        let parts = items.sorted { $0.place < $1.place }.map { item in
            let digit = item.digit.map { " with the digit \($0)" } ?? ""
            return "\(item.color.article) \(item.name)\(digit) \(SynthesisPlace.phrase(item.place))"
        }
        var caption = sentence(parts)
        if let dots {
            caption +=
                " \(dots.count) \(dots.noun) \(SynthesisPlace.phrase(dots.place))."
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
        let (first, last) = (SynthesisColor.pastel(&random), SynthesisColor.pastel(&random))
        let fill = canvas.gradient(first.hex, last.hex, dx: random.number(0...1), dy: 1)
        canvas.rectangle(.init(0, 0, canvas.width, canvas.height), .fill(fill))
        switch random.integer(0...3) {
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
        default:
            break
        }
    }
}
