/// An SVG drawing under construction, with the regions that its parts occupy. Units are pixels.
struct SynthesisCanvas {
    typealias Box = Synthesis.Box

    let width: Double
    let height: Double
    /// The longer side, to which the sizes of things are relative.
    var long: Double { max(width, height) }
    private(set) var regions: [Synthesis.Region] = []
    private var definitions = ""
    private var body = ""
    private var gradientCount = 0

    init(width: Int, height: Int) {
        (self.width, self.height) = (Double(width), Double(height))
        body.reserveCapacity(16_384)
    }

    var svg: String {
        let size = "\(Int(width))\" height=\"\(Int(height))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(size)">\
            <defs>\(definitions)</defs>\
            <g font-family="DejaVu Sans">\(body)</g></svg>
            """
    }

    /// One decimal place, without the locale and cost of a formatter.
    static func text(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        let magnitude = abs(tenths)
        let sign = tenths < 0 ? "-" : ""
        return magnitude % 10 == 0
            ? "\(sign)\(magnitude / 10)" : "\(sign)\(magnitude / 10).\(magnitude % 10)"
    }

    private func t(_ value: Double) -> String { Self.text(value) }

    // MARK: Regions

    /// Notes a region and gives its index, for the parts of it to name as their parent.
    @discardableResult
    mutating func note(
        _ kind: Synthesis.Region.Kind, _ box: Box, _ caption: String, in parent: Int? = nil
    ) -> Int {
        let clipped = Box(
            max(0, box.x0), max(0, box.y0), min(width, box.x1), min(height, box.y1))
        regions.append(.init(kind: kind, box: clipped, caption: caption, parent: parent))
        return regions.count - 1
    }

    // MARK: Forms

    /// How a form is painted.
    struct Paint {
        var fill = "none"
        var stroke: String?
        var strokeWidth = 0.0
        var opacity = 1.0

        static func fill(_ fill: String, opacity: Double = 1) -> Paint {
            Paint(fill: fill, opacity: opacity)
        }

        static func stroke(_ stroke: String, _ width: Double, opacity: Double = 1) -> Paint {
            Paint(stroke: stroke, strokeWidth: width, opacity: opacity)
        }

        var attributes: String {
            var text = " fill=\"\(fill)\""
            if let stroke {
                text +=
                    " stroke=\"\(stroke)\" stroke-width=\"\(SynthesisCanvas.text(strokeWidth))\""
                text += " stroke-linejoin=\"round\" stroke-linecap=\"round\""
            }
            if opacity < 1 {
                let hundredths = Int((opacity * 100).rounded())
                text += " opacity=\"0.\(hundredths < 10 ? "0" : "")\(hundredths)\""
            }
            return text
        }
    }

    mutating func rectangle(_ box: Box, radius: Double = 0, _ paint: Paint) {
        body += "<rect x=\"\(t(box.x0))\" y=\"\(t(box.y0))\" width=\"\(t(box.width))\""
        body += " height=\"\(t(box.height))\""
        if radius > 0 { body += " rx=\"\(t(radius))\"" }
        body += "\(paint.attributes)/>"
    }

    mutating func ellipse(_ x: Double, _ y: Double, _ rx: Double, _ ry: Double, _ paint: Paint) {
        body += "<ellipse cx=\"\(t(x))\" cy=\"\(t(y))\" rx=\"\(t(rx))\" ry=\"\(t(ry))\""
        body += "\(paint.attributes)/>"
    }

    mutating func path(_ data: String, _ paint: Paint) {
        body += "<path d=\"\(data)\"\(paint.attributes)/>"
    }

    mutating func line(_ points: [(Double, Double)], closed: Bool = false, _ paint: Paint) {
        path(Self.path(points, closed: closed), paint)
    }

    /// Fills everything beneath a curve from the left edge to the right.
    mutating func hill(
        from y0: Double, through y1: Double, _ y2: Double, to y3: Double, _ paint: Paint
    ) {
        path(
            "M0 \(t(y0))C\(t(width / 3)) \(t(y1)) \(t(width * 2 / 3)) \(t(y2)) \(t(width)) \(t(y3))"
                + "L\(t(width)) \(t(height))L0 \(t(height))Z", paint)
    }

    static func path(_ points: [(Double, Double)], closed: Bool) -> String {
        var data = ""
        for (index, point) in points.enumerated() {
            data += "\(index == 0 ? "M" : "L")\(text(point.0)) \(text(point.1))"
        }
        return closed ? data + "Z" : data
    }

    /// A fill that runs from `first` to `last` along the vector (`dx`, `dy`) of the box it fills.
    mutating func gradient(_ first: String, _ last: String, dx: Double, dy: Double) -> String {
        gradientCount += 1
        let name = "g\(gradientCount)"
        definitions += "<linearGradient id=\"\(name)\" x1=\"0\" y1=\"0\" x2=\"\(t(dx))\""
        definitions += " y2=\"\(t(dy))\"><stop offset=\"0\" stop-color=\"\(first)\"/>"
        definitions += "<stop offset=\"1\" stop-color=\"\(last)\"/></linearGradient>"
        return "url(#\(name))"
    }

    // MARK: Text

    enum Anchor: String { case start, middle, end }

    /// Draws text whose capitals are `cap` pixels high on the line `baseline`; gives its box.
    @discardableResult
    mutating func write(
        _ string: String, x: Double, baseline: Double, cap: Double, bold: Bool = false,
        anchor: Anchor = .start, ink: String
    ) -> Box {
        let size = cap / FontMetrics.capHeight
        body += "<text x=\"\(t(x))\" y=\"\(t(baseline))\" font-size=\"\(t(size))\" fill=\"\(ink)\""
        if bold { body += " font-weight=\"bold\"" }
        if anchor != .start { body += " text-anchor=\"\(anchor.rawValue)\"" }
        body += ">\(string)</text>"
        let width = Self.width(of: string, cap: cap, bold: bold)
        let left =
            switch anchor {
            case .start: x
            case .middle: x - width / 2
            case .end: x - width
            }
        return Box(left, baseline - cap, left + width, baseline)
    }

    /// The width that `write` takes, in pixels.
    static func width(of string: String, cap: Double, bold: Bool = false) -> Double {
        FontMetrics.width(string, bold: bold) * cap / FontMetrics.capHeight
    }

    /// The width that `spell` takes, in pixels.
    static func spelledWidth(_ string: String, cap: Double) -> Double {
        Double(string.count) * cap * spelledAdvance
    }

    /// A spelled glyph takes as much width as its height and a little more: about one patch.
    private static let spelledAdvance = 1.08

    /// Draws a number in bold, evenly spaced glyphs, and notes it and each glyph as a region; one
    /// that nothing asks for, such as an axis numeral, is better not noted.
    @discardableResult
    mutating func spell(
        _ string: String, centerX: Double, baseline: Double, cap: Double, ink: String,
        in parent: Int? = nil, isNoted: Bool = true
    ) -> Box {
        let advance = cap * Self.spelledAdvance
        let width = Self.spelledWidth(string, cap: cap)
        let box = Box(centerX - width / 2, baseline - cap, centerX + width / 2, baseline)
        let index = isNoted && string.count > 1 ? note(.text, box, string, in: parent) : parent
        for (place, glyph) in string.enumerated() {
            let x = box.x0 + (Double(place) + 0.5) * advance
            write(
                String(glyph), x: x, baseline: baseline, cap: cap, bold: true, anchor: .middle,
                ink: ink)
            guard isNoted else { continue }
            note(
                .glyph, Box(x - advance / 2, baseline - cap, x + advance / 2, baseline),
                String(glyph), in: index)
        }
        return box
    }
}

/// Advance widths of DejaVu Sans in thousandths of an em, from space to tilde.
private enum FontMetrics {
    /// Height of capitals and digits in em.
    static let capHeight = 0.729

    static func width(_ string: String, bold: Bool) -> Double {
        let table = bold ? self.bold : regular
        return string.unicodeScalars.reduce(0) { sum, scalar in
            let index = Int(scalar.value) - 32
            return sum + Double(table.indices.contains(index) ? table[index] : 600) / 1000
        }
    }

    private static let regular = [
        318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636,
        636, 636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698,
        770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732,
        684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635,
        634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,
        525, 636, 337, 636, 838,
    ]

    private static let bold = [
        348, 456, 521, 838, 696, 1002, 872, 306, 457, 457, 523, 838, 380, 415, 380, 365, 696, 696,
        696, 696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 580, 1000, 774, 762, 734,
        830, 683, 683, 821, 837, 372, 372, 775, 637, 995, 837, 850, 733, 850, 770, 720, 682, 812,
        774, 1103, 771, 724, 725, 457, 365, 457, 838, 500, 500, 675, 716, 593, 716, 678, 435, 716,
        712, 343, 343, 665, 343, 1042, 712, 687, 716, 716, 493, 595, 478, 712, 652, 924, 645, 652,
        582, 712, 365, 712, 838,
    ]
}
