/// Scenes in which each thing that is asked for is the only one of its sort.
extension SynthesisScene {
    static func drawUnbound(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        let draw = random.number(0...1)
        return draw < 0.45
            ? drawSingle(on: &canvas, &draft, &random)
            : draw < 0.7
                ? drawPair(on: &canvas, &draft, &random) : drawCrowd(on: &canvas, &draft, &random)
    }

    // MARK: One shape

    private static func drawSingle(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        let place = random.integer(0...8)
        let radius = canvas.long * random.number(0.06...0.175)
        let item = Item(
            shape: random.pick(SynthesisShape.allCases), color: random.pick(SynthesisColor.named),
            place: place, x: coordinate(place % 3, canvas.width, radius, &random),
            y: coordinate(place / 3, canvas.height, radius, &random), radius: radius, digit: nil)
        Self.draw(item, isShaded: random.chance(0.5), on: &canvas, &random)
        draft.ask(.color, "only", ["What color is the shape?"], item.color.name, asks: "color")
        draft.ask(.shape, "only", ["What shape is it?"], item.shape.rawValue, asks: "shape")
        draft.ask(
            .position, "only", ["Where is the shape?"], SynthesisPlace.names[place], asks: "place")
        let dots =
            random.chance(0.5) ? scatterDots(on: &canvas, off: [item], &random) : nil
        dots?.ask(&draft)
        return caption([item], dots)
    }

    /// A centre in one of three bands, whether one thinks of thirds or of three, two and three
    /// eighths: clear of the edges and of the bounds between the bands.
    private static func coordinate(
        _ band: Int, _ length: Double, _ radius: Double, _ random: inout SynthesisRandom
    ) -> Double {
        guard band != 1 else { return length * random.number(0.42...0.58) }
        let distance = random.number(min(radius * 1.08, length * 0.3)...length * 0.3)
        return band == 0 ? distance : length - distance
    }

    // MARK: Two shapes

    private static func drawPair(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        let isLevel = random.chance(0.5)
        let colors = random.shuffled(SynthesisColor.named)
        let shapes = random.shuffled(SynthesisShape.allCases)
        let isShaded = random.chance(0.5)
        // Along the axis at a quarter and three quarters; across it near the middle.
        let length = isLevel ? canvas.width : canvas.height
        let across = isLevel ? canvas.height : canvas.width
        let most = min(canvas.long * 0.15, min(length * 0.2, across * 0.35))
        let places = isLevel ? [3, 5] : [1, 7]
        let items = places.indices.map { end in
            let along = length * (end == 0 ? 0.25 : 0.75) + length * random.number(-0.04...0.04)
            let aside = across / 2 + min(length, across) * random.number(-0.08...0.08)
            return Item(
                shape: shapes[end], color: colors[end], place: places[end],
                x: isLevel ? along : aside, y: isLevel ? aside : along,
                radius: most * random.number(0.6...1), digit: nil)
        }
        for item in items {
            Self.draw(item, isShaded: isShaded, on: &canvas, &random)
            let here = SynthesisPlace.phrase(item.place)
            draft.ask(
                .relation, "shape", ["What shape is \(here)?"], item.shape.rawValue,
                asks: "shape\(item.place)")
            draft.ask(
                .relation, "color", ["What color is the shape \(here)?"], item.color.name,
                asks: "color\(item.place)")
        }
        return caption(items, nil)
    }

    // MARK: Many shapes

    private static func drawCrowd(
        on canvas: inout SynthesisCanvas, _ draft: inout SynthesisDraft,
        _ random: inout SynthesisRandom
    ) -> String {
        let count = random.integer(2...7)
        let (cellWidth, cellHeight) = (canvas.width / 3, canvas.height / 3)
        let isShaded = random.chance(0.5)
        let items = random.shuffled(Array(0..<9)).prefix(count).map { place in
            Item(
                shape: random.pick(SynthesisShape.allCases),
                color: random.pick(SynthesisColor.named), place: place,
                x: cellWidth * (Double(place % 3) + 0.5 + random.number(-0.2...0.2)),
                y: cellHeight * (Double(place / 3) + 0.5 + random.number(-0.2...0.2)),
                radius: min(
                    canvas.long * random.number(0.045...0.065), min(cellWidth, cellHeight) * 0.28),
                digit: nil)
        }
        for item in items { Self.draw(item, isShaded: isShaded, on: &canvas, &random) }
        draft.ask(
            .count, "all", ["How many shapes are there?", "Count the shapes."], "\(count)",
            asks: "total")
        let dots = random.chance(0.5) ? scatterDots(on: &canvas, off: items, &random) : nil
        dots?.ask(&draft)
        return caption(items, dots)
    }
}
