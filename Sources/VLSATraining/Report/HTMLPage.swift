import Foundation

/// A self-contained HTML page: no script, no link outside, pictures inside the file.
public struct HTMLPage {
    let title: String
    var body: [String] = []

    public init(title: String) { self.title = title }

    /// Adds ready-made HTML.
    public mutating func add(_ html: String) { body.append(html) }

    public mutating func heading(_ text: String) { add("<h2>\(escaped(text))</h2>") }

    public mutating func paragraph(_ text: String) { add("<p>\(escaped(text))</p>") }

    /// A table; the first column is left-aligned, the others right-aligned.
    public mutating func table(header: [String], rows: [[String]], caption: String) {
        var html = "<div class=\"scroll\"><table><caption>\(escaped(caption))</caption><thead><tr>"
        html += header.map { "<th scope=\"col\">\(escaped($0))</th>" }.joined()
        html += "</tr></thead><tbody>"
        for row in rows {
            html += "<tr>"
            for (index, cell) in row.enumerated() {
                html +=
                    index == 0
                    ? "<th scope=\"row\">\(escaped(cell))</th>" : "<td>\(escaped(cell))</td>"
            }
            html += "</tr>"
        }
        add(html + "</tbody></table></div>")
    }

    /// An `<img>` that carries its bytes.
    public static func image(_ bytes: [UInt8], type: String, alternative: String, width: Int? = nil)
        -> String
    {
        let data = Data(bytes).base64EncodedString()
        let size = width.map { " width=\"\($0)\"" } ?? ""
        return
            "<img alt=\"\(escaped(alternative))\"\(size) src=\"data:image/\(type);base64,\(data)\">"
    }

    public var html: String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(escaped(title))</title>
        <style>
        :root { color-scheme: light dark; --line: #d8d8de; --soft: #f5f5f8; --ink: #1d1d22; --dim: #6a6a76;
          --paper: #fff; --good: #1a7f4b; --bad: #b3362b; }
        @media (prefers-color-scheme: dark) { :root { --line: #3a3a44; --soft: #24242b; --ink: #ececf1;
          --dim: #a0a0ad; --paper: #18181d; --good: #58c48c; --bad: #ec7a6e; } }
        body { margin: 0 auto; max-width: 1120px; padding: 24px; color: var(--ink); background: var(--paper);
          font: 16px/1.5 system-ui, sans-serif; }
        h1 { font-size: 1.7rem; margin: 0 0 4px; } h2 { font-size: 1.2rem; margin: 36px 0 8px; }
        p { max-width: 75ch; margin: 6px 0 12px; } .dim { color: var(--dim); }
        img { max-width: 100%; height: auto; display: block; border-radius: 4px; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
        caption { text-align: left; color: var(--dim); font-size: .9rem; padding-bottom: 6px; }
        th, td { padding: 5px 14px; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; }
        th:first-child { text-align: left; } thead th { font-weight: 600; } .scroll { overflow-x: auto; }
        .row { display: flex; flex-wrap: wrap; gap: 16px; } .row > figure { flex: 1 1 180px; }
        .charts { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
        figure { margin: 0; min-width: 0; } figcaption { color: var(--dim); font-size: .85rem; margin-top: 4px; }
        .chart { width: 100%; height: auto; color: var(--ink); background: var(--soft); border-radius: 6px; }
        .chart text { fill: currentColor; font: 11px system-ui, sans-serif; }
        .chart .chart-title { font-size: 13px; font-weight: 600; } .chart .tick { fill: var(--dim); }
        .chart .grid { stroke: var(--line); stroke-width: 1; }
        .card { display: grid; grid-template-columns: minmax(200px, 300px) 1fr; gap: 18px; margin: 14px 0;
          padding: 14px; background: var(--soft); border-radius: 8px; }
        @media (max-width: 640px) { .card { grid-template-columns: 1fr; } }
        .card dl { margin: 0; } dt { margin-top: 6px; } dd { margin: 0 0 0 1em; font-weight: 600; }
        .right { color: var(--good); } .wrong { color: var(--bad); }
        .tiles { position: relative; } .tiles svg { position: absolute; inset: 0; width: 100%; height: 100%; }
        </style></head><body>
        <h1>\(escaped(title))</h1>
        \(body.joined(separator: "\n"))
        </body></html>

        """
    }
}
