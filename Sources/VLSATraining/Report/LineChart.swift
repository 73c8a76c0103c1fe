import Foundation

/// A line chart as an SVG element: one panel, any number of named series, linear axes with round ticks.
public struct LineChart {
    /// One line of a chart; points are in order of x.
    public struct Series {
        public let name: String
        public let color: String
        public let points: [(x: Double, y: Double)]

        public init(name: String, color: String, points: [(x: Double, y: Double)]) {
            self.name = name
            self.color = color
            self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
        }
    }

    public let title: String
    public let xLabel: String
    public let series: [Series]

    public init(title: String, xLabel: String, series: [Series]) {
        self.title = title
        self.xLabel = xLabel
        self.series = series.filter { !$0.points.isEmpty }
    }

    /// Ticks at 1, 2 or 5 times a power of ten, about `count` of them over the range.
    static func ticks(from low: Double, to high: Double, count: Int) -> [Double] {
        guard high > low else { return [low] }
        let raw = (high - low) / Double(count)
        let power = pow(10, floor(log10(raw)))
        let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= raw } ?? 10 * power
        return stride(from: (low / step).rounded(.up) * step, through: high + step * 1e-9, by: step)
            .map { $0 }
    }

    /// The chart as one `<svg>` element, `width` by `height` units; colours follow the page's `currentColor`.
    public func svg(width: Double = 380, height: Double = 230) -> String {
        let points = series.flatMap(\.points)
        guard let left = points.map(\.x).min(), let right = points.map(\.x).max() else { return "" }
        let top = points.map(\.y).max() ?? 1
        let low = min(0, points.map(\.y).min() ?? 0)
        let (marginLeft, marginRight, marginTop, marginBottom) = (44.0, 12.0, 30.0, 48.0)
        let plotWidth = width - marginLeft - marginRight
        let plotHeight = height - marginTop - marginBottom
        func x(_ value: Double) -> Double {
            marginLeft + (right > left ? (value - left) / (right - left) : 0.5) * plotWidth
        }
        func y(_ value: Double) -> Double {
            marginTop + plotHeight - (top > low ? (value - low) / (top - low) : 0.5) * plotHeight
        }
        func number(_ value: Double) -> String { String(format: "%.1f", value) }
        func label(_ value: Double) -> String { String(format: "%g", value) }

        var parts: [String] = [
            "<svg viewBox=\"0 0 \(number(width)) \(number(height))\" role=\"img\" class=\"chart\">",
            "<title>\(escaped(title))</title>",
            "<text x=\"\(number(marginLeft))\" y=\"16\" class=\"chart-title\">\(escaped(title))</text>",
        ]
        for tick in LineChart.ticks(from: low, to: top, count: 4) {
            parts.append(
                "<line x1=\"\(number(marginLeft))\" x2=\"\(number(width - marginRight))\" "
                    + "y1=\"\(number(y(tick)))\" y2=\"\(number(y(tick)))\" class=\"grid\"/>"
                    + "<text x=\"\(number(marginLeft - 6))\" y=\"\(number(y(tick) + 4))\" "
                    + "text-anchor=\"end\" class=\"tick\">\(label(tick))</text>")
        }
        for tick in LineChart.ticks(from: left, to: right, count: 5) {
            parts.append(
                "<text x=\"\(number(x(tick)))\" y=\"\(number(marginTop + plotHeight + 14))\" "
                    + "text-anchor=\"middle\" class=\"tick\">\(label(tick))</text>")
        }
        var legend = marginLeft
        for line in series {
            let path = line.points.map { "\(number(x($0.x))),\(number(y($0.y)))" }
                .joined(separator: " ")
            parts.append(
                "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(line.color)\" "
                    + "stroke-width=\"1.8\" stroke-linejoin=\"round\"/>")
            let base = height - 8
            parts.append(
                "<rect x=\"\(number(legend))\" y=\"\(number(base - 9))\" width=\"10\" height=\"10\" "
                    + "fill=\"\(line.color)\"/><text x=\"\(number(legend + 14))\" y=\"\(number(base))\" "
                    + "class=\"tick\">\(escaped(line.name))</text>")
            legend += 26 + Double(line.name.count) * 6.5
        }
        parts.append(
            "<text x=\"\(number(width - marginRight))\" y=\"\(number(height - 8))\" "
                + "text-anchor=\"end\" class=\"tick\">\(escaped(xLabel))</text></svg>")
        return parts.joined(separator: "\n")
    }
}

/// Text for an HTML or SVG document.
func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default: result.append(character)
        }
    }
    return result
}
