import AnyRes

/// Pictures with captions in rows, as one picture to look at.
public struct PictureSheet: Sendable {
    /// A picture and what it shows.
    public struct Panel: Sendable {
        public let pixels: Pixels
        public let caption: String
        /// Pixels that the picture and its caption get; a narrow picture leaves its caption room.
        var width: Int { max(pixels.width, 96) }

        public init(_ pixels: Pixels, _ caption: String) {
            self.pixels = pixels
            self.caption = caption
        }
    }

    /// Stands above the rows.
    public let title: String
    /// From top to bottom, each from left to right.
    public let rows: [[Panel]]
    /// Stands under the rows.
    public let note: String

    public init(title: String, rows: [[Panel]], note: String = "") {
        self.title = title
        self.rows = rows
        self.note = note
    }

    private static let margin = 24
    private static let gap = 16
    private static let lineHeight = 18
    /// Width of a character of the caption's font, generously.
    private static let characterWidth = 7.4

    /// The sheet: panels on white, a title above, a caption below each.
    ///
    /// - Throws: ``PictureError`` where the drawing fails or has more than 100 million pixels.
    public func pixels() throws -> Pixels {
        let margin = Self.margin
        let inner =
            rows.map { row in
                row.reduce((row.count - 1) * Self.gap) { $0 + $1.width }
            }.max() ?? 0
        let width = max(inner, 320) + 2 * margin
        var texts: [(x: Int, y: Int, size: Int, colour: String, text: String)] = []
        var places: [(panel: Panel, x: Int, y: Int)] = []
        var y = margin
        for line in lines(title, width: width - 2 * margin, size: 18) {
            texts.append((margin, y + 18, 18, "#1d1d22", line))
            y += 26
        }
        y += 6
        for row in rows {
            let height = row.map(\.pixels.height).max() ?? 0
            var x = margin
            var deepest = y + height
            for panel in row {
                places.append((panel, x, y + height - panel.pixels.height))
                var below = y + height + Self.lineHeight
                for line in lines(panel.caption, width: panel.width, size: 13) {
                    texts.append((x, below, 13, "#3d3d46", line))
                    below += Self.lineHeight
                }
                deepest = max(deepest, below)
                x += panel.width + Self.gap
            }
            y = deepest + Self.gap / 2
        }
        for line in lines(note, width: width - 2 * margin, size: 13) {
            texts.append((margin, y + 12, 13, "#6a6a76", line))
            y += Self.lineHeight
        }
        let height = y + margin
        let drawn = texts.map { text in
            "<text x=\"\(text.x)\" y=\"\(text.y)\" font-size=\"\(text.size)\" fill=\"\(text.colour)\">"
                + "\(escaped(text.text))</text>"
        }.joined(separator: "\n")
        var sheet = try renderSVG(
            """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" \
            font-family="DejaVu Sans, sans-serif">\(drawn)</svg>
            """)
        for place in places { sheet.paste(place.panel.pixels, x: place.x, y: place.y) }
        return sheet
    }

    /// The words of a text in lines that fit into `width` pixels; one too long is cut into several.
    func lines(_ text: String, width: Int, size: Int) -> [String] {
        let limit = max(1, Int(Double(width) / (Self.characterWidth * Double(size) / 13)))
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= limit {
                lines[lines.count - 1] = last + " " + word
            } else {
                var rest = Substring(word)
                while rest.count > limit {
                    lines.append(String(rest.prefix(limit)))
                    rest = rest.dropFirst(limit)
                }
                lines.append(String(rest))
            }
        }
        return lines
    }

    private func escaped(_ text: String) -> String {
        // XML 1.0 has no control characters, not even escaped.
        String(text.map { $0.unicodeScalars.allSatisfy { $0.value >= 32 } ? $0 : " " })
            .replacing("&", with: "&amp;").replacing("<", with: "&lt;")
            .replacing(">", with: "&gt;")
    }
}

extension Pixels {
    /// Copies another picture over this one, in place; what lies outside is left away.
    mutating func paste(_ other: Pixels, x: Int, y: Int) {
        let columns = max(0, -x)..<max(max(0, -x), min(other.width, width - x))
        for row in max(0, -y)..<max(max(0, -y), min(other.height, height - y)) {
            let source = (row * other.width + columns.lowerBound) * 3
            let target = ((y + row) * width + x + columns.lowerBound) * 3
            let count = columns.count * 3
            bytes.replaceSubrange(
                target..<target + count, with: other.bytes[source..<source + count])
        }
    }

    /// The largest copy that fits into a square of `side` pixels.
    func fitted(into side: Int) -> Pixels {
        let scale = Double(side) / Double(max(width, height))
        return resized(
            self, width: max(1, Int((Double(width) * scale).rounded())),
            height: max(1, Int((Double(height) * scale).rounded())))
    }

    /// This with the border of a rectangle drawn, `thickness` pixels inwards; parts outside are left away.
    func outlining(_ rect: PictureRect, colour: [UInt8], thickness: Int = 2) -> Pixels {
        var result = self
        let left = Int(rect.x.rounded())
        let top = Int(rect.y.rounded())
        let right = max(left + 1, Int((rect.x + rect.width).rounded()))
        let bottom = max(top + 1, Int((rect.y + rect.height).rounded()))
        func fill(_ columns: Range<Int>, _ rows: Range<Int>) {
            for y in rows.clamped(to: 0..<height) {
                for x in columns.clamped(to: 0..<width) {
                    for channel in 0..<3 {
                        result.bytes[(y * width + x) * 3 + channel] = colour[channel]
                    }
                }
            }
        }
        let inwards = min(thickness, right - left, bottom - top)
        fill(left..<right, top..<top + inwards)
        fill(left..<right, bottom - inwards..<bottom)
        fill(left..<left + inwards, top..<bottom)
        fill(right - inwards..<right, top..<bottom)
        return result
    }
}
