import Foundation

// Figures as people read them, for tables on a terminal.

/// Rows as lines with their columns in line: the first column to the left, the others to the right.
public func alignedColumns(_ rows: [[String]]) -> [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
        rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
        let line = row.enumerated().map { column, cell in
            let space = String(repeating: " ", count: widths[column] - cell.count)
            return column == 0 ? cell + space : space + cell
        }.joined(separator: "  ")
        return String(line.reversed().drop { $0 == " " }.reversed())
    }
}

/// `1234567` as `1,234,567`.
public func groupedDigits(_ count: Int) -> String {
    var digits = String(count)
    var index = digits.count - 3
    while index > 0 {
        digits.insert(",", at: digits.index(digits.startIndex, offsetBy: index))
        index -= 3
    }
    return digits
}

/// `1536` as `1.5 KiB`.
public func byteText(_ count: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var (value, unit) = (Double(count), 0)
    while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
    return (unit == 0 ? "\(count) " : String(format: "%.1f ", value)) + units[unit]
}

/// `1.5e12` as `1.5 TFLOP`: floating-point operations.
public func operationText(_ count: Double) -> String {
    let units = ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP"]
    var (value, unit) = (count, 0)
    while value >= 1000, unit < units.count - 1 { (value, unit) = (value / 1000, unit + 1) }
    return String(format: "%.3g ", value) + units[unit]
}
