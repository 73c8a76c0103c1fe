import Foundation

/// One of the colours that questions name, as it is drawn.
struct SynthesisColor: Equatable {
    let name: String
    let red: Int
    let green: Int
    let blue: Int

    /// Eight colours that stay apart at any size.
    static let named = [
        SynthesisColor("red", 222, 38, 44), SynthesisColor("orange", 247, 132, 24),
        SynthesisColor("yellow", 250, 210, 40), SynthesisColor("green", 38, 160, 72),
        SynthesisColor("blue", 32, 98, 220), SynthesisColor("purple", 128, 48, 168),
        SynthesisColor("pink", 250, 140, 192), SynthesisColor("black", 34, 36, 42),
    ]

    static let ink = SynthesisColor("ink", 38, 42, 52)
    static let white = SynthesisColor("white", 255, 255, 255)

    init(_ name: String, _ red: Int, _ green: Int, _ blue: Int) {
        (self.name, self.red, self.green, self.blue) = (name, red, green, blue)
    }

    var hex: String {
        "#"
            + [red, green, blue].map { value in
                let digits = String(min(255, max(0, value)), radix: 16)
                return digits.count < 2 ? "0" + digits : digits
            }.joined()
    }

    /// The article before the colour's name.
    var article: String { name == "orange" ? "an" : "a" }

    /// The colour of legible text on this one.
    var contrast: String {
        299 * red + 587 * green + 114 * blue > 140_000 ? Self.ink.hex : "#ffffff"
    }

    /// `share` of `other` mixed in, 0...1.
    func mixed(_ share: Double, _ other: SynthesisColor) -> SynthesisColor {
        func mix(_ a: Int, _ b: Int) -> Int { Int((Double(a) + share * Double(b - a)).rounded()) }
        return SynthesisColor(
            name, mix(red, other.red), mix(green, other.green), mix(blue, other.blue))
    }

    /// The same colour, a shade off.
    func varied(_ random: inout SynthesisRandom) -> SynthesisColor {
        SynthesisColor(
            name, red + random.integer(-9...9), green + random.integer(-9...9),
            blue + random.integer(-9...9))
    }

    /// A tint for the backgrounds of scenes, light or of middling depth, none of the named colours.
    static func backdrop(_ random: inout SynthesisRandom) -> SynthesisColor {
        guard random.chance(0.45) else { return pastel(&random) }
        let tints = [
            (190, 202, 216), (212, 202, 184), (184, 204, 194), (206, 194, 208), (176, 186, 198),
            (200, 200, 200), (214, 192, 182), (170, 196, 200), (196, 190, 170), (188, 188, 212),
        ]
        let (r, g, b) = random.pick(tints)
        return SynthesisColor("background", r, g, b).varied(&random)
    }

    /// A light tint for backgrounds, none of the named colours.
    static func pastel(_ random: inout SynthesisRandom) -> SynthesisColor {
        let tints = [
            (236, 243, 250), (247, 241, 228), (233, 245, 236), (245, 236, 244), (240, 240, 240),
            (228, 236, 240), (250, 244, 236), (238, 236, 250), (226, 240, 240), (244, 238, 230),
        ]
        let (r, g, b) = random.pick(tints)
        return SynthesisColor("background", r, g, b).varied(&random)
            .mixed(random.number(0...0.14), SynthesisColor("shade", 140, 150, 165))
    }
}

/// The shapes that questions name.
enum SynthesisShape: String, CaseIterable {
    case circle, square, triangle, star, cross, ring, heart

    /// Draws the shape about (`x`, `y`); no part is further than `radius` from there.
    func draw(
        on canvas: inout SynthesisCanvas, x: Double, y: Double, radius: Double,
        color: SynthesisColor, turn: Double, isShaded: Bool
    ) {
        let edge = color.mixed(0.35, SynthesisColor("shade", 0, 0, 0)).hex
        let fill =
            isShaded
            ? canvas.gradient(
                color.mixed(0.22, .white).hex,
                color.mixed(0.12, SynthesisColor("shade", 0, 0, 0)).hex, dx: 0.4, dy: 1)
            : color.hex
        let drop = radius * 0.07
        let width = max(1, radius * 0.05)
        func paint(_ canvas: inout SynthesisCanvas, _ dx: Double, _ paint: SynthesisCanvas.Paint) {
            let (x, y) = (x + dx, y + dx)
            switch self {
            case .circle:
                canvas.ellipse(x, y, radius * 0.93, radius * 0.93, paint)
            case .ring:
                canvas.path(Self.ring(x, y, radius * 0.95, radius * 0.52), paint)
            case .heart:
                canvas.path(Self.heart(x, y, radius), paint)
            case .square, .triangle, .star, .cross:
                let points = corners.map { corner in
                    (
                        x + radius * (corner.0 * cos(turn) - corner.1 * sin(turn)),
                        y + radius * (corner.0 * sin(turn) + corner.1 * cos(turn))
                    )
                }
                canvas.line(points, closed: true, paint)
            }
        }
        paint(&canvas, drop, .fill("#000000", opacity: 0.16))
        paint(&canvas, 0, .init(fill: fill, stroke: edge, strokeWidth: width))
    }

    var plural: String { self == .cross ? "crosses" : rawValue + "s" }

    /// How far a figure may turn and still be called by its name, in radians.
    var turnLimit: Double {
        switch self {
        case .square, .cross: 0.2
        case .triangle, .star: 0.22
        case .circle, .ring, .heart: 0
        }
    }

    /// Where on the figure a digit sits best, below its centre in radii.
    var digitDrop: Double { self == .triangle ? 0.22 : self == .heart ? -0.12 : 0 }

    private var corners: [(Double, Double)] {
        switch self {
        case .square: [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
        case .triangle: [(0, -0.95), (0.92, 0.72), (-0.92, 0.72)]
        case .star:
            (0..<10).map { place in
                let angle = Double(place) * .pi / 5 - .pi / 2
                let length = place.isMultiple(of: 2) ? 1.0 : 0.46
                return (length * cos(angle), length * sin(angle))
            }
        case .cross:
            [
                (-0.32, -0.94), (0.32, -0.94), (0.32, -0.32), (0.94, -0.32), (0.94, 0.32),
                (0.32, 0.32), (0.32, 0.94), (-0.32, 0.94), (-0.32, 0.32), (-0.94, 0.32),
                (-0.94, -0.32), (-0.32, -0.32),
            ]
        case .circle, .ring, .heart: []
        }
    }

    private static func ring(_ x: Double, _ y: Double, _ outer: Double, _ inner: Double) -> String {
        func circle(_ r: Double, sweep: Int) -> String {
            let t = SynthesisCanvas.text
            let arc = "A\(t(r)) \(t(r)) 0 1 \(sweep) "
            return "M\(t(x - r)) \(t(y))\(arc)\(t(x + r)) \(t(y))\(arc)\(t(x - r)) \(t(y))Z"
        }
        return circle(outer, sweep: 1) + circle(inner, sweep: 0)
    }

    private static func heart(_ x: Double, _ y: Double, _ r: Double) -> String {
        func p(_ dx: Double, _ dy: Double) -> String {
            "\(SynthesisCanvas.text(x + dx * r)) \(SynthesisCanvas.text(y + dy * r))"
        }
        return "M\(p(0, 0.9))C\(p(-0.55, 0.45)) \(p(-1, 0.12)) \(p(-0.95, -0.34))"
            + "C\(p(-0.9, -0.92)) \(p(-0.2, -0.98)) \(p(0, -0.42))"
            + "C\(p(0.2, -0.98)) \(p(0.9, -0.92)) \(p(0.95, -0.34))"
            + "C\(p(1, 0.12)) \(p(0.55, 0.45)) \(p(0, 0.9))Z"
    }
}
