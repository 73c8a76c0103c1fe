/// Scenes of many shapes, of which questions pick one by what is said of it.
extension SynthesisScene {
    static func drawMany(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        // A picture is either about its total, uniform in 1...6, or about the size of one group of
        // a colour or shape, uniform in 1...4. Asking for both would tilt the answers.
        let group = Group(&random)
        let items = compose(canvas, group, &random)
        let isShaded = random.chance(0.5)
        for item in items { draw(item, isShaded: isShaded, on: &canvas, &random) }
        let places = Set(items.map(\.place))
        let dots = gatherDots(on: &canvas, free: (0..<9).filter { !places.contains($0) }, &random)

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
}
