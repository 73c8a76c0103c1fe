import Foundation
import Synchronization

/// The largest differences from the reference that a test run met, family by family.
///
/// Written when the process ends, one line a family, to the file that `VLSA_GOLDEN_REPORT` names;
/// without it nothing is written.
public enum GoldenReport {
    private struct Row {
        var count = 0
        var outside = 0
        var absolute = 0.0
        var relative = 0.0
    }

    private static let rows: Mutex<[String: Row]> = {
        atexit { GoldenReport.write() }
        return Mutex([:])
    }()

    /// Adds one comparison.
    ///
    /// - Parameters:
    ///   - absolute: the largest difference of two elements.
    ///   - largest: the largest absolute value expected, to which the difference is put in
    ///     relation. Tensors that stay below 0.001, such as gradients that are zero but for
    ///     rounding, have none.
    ///   - isWithin: whether the comparison's tolerance holds.
    public static func record(
        _ family: String, absolute: Double, largest: Double, isWithin: Bool
    ) {
        let relative = largest < 1e-3 ? 0 : absolute / largest
        rows.withLock { rows in
            var row = rows[family] ?? Row()
            row.count += 1
            row.outside += isWithin ? 0 : 1
            // max(_:_:) passes over NaN, which is the worst there is.
            row.absolute = absolute.isNaN ? .infinity : max(row.absolute, absolute)
            row.relative = relative.isNaN ? .infinity : max(row.relative, relative)
            rows[family] = row
        }
    }

    /// Adds a comparison of things that must be equal (ids, bytes, text, errors).
    public static func record(_ family: String, equal: Bool) {
        record(family, absolute: equal ? 0 : .infinity, largest: 1, isWithin: equal)
    }

    /// Adds a comparison of numbers, element by element; NaN equals NaN.
    public static func record(
        _ family: String, _ found: [Double], _ expected: [Double], absolute: Double = 0,
        relative: Double = 0
    ) {
        guard found.count == expected.count else { return record(family, equal: false) }
        let pairs = zip(found, expected).filter { $0 != $1 && !($0.isNaN && $1.isNaN) }
        let off = pairs.map { abs($0 - $1) }.max() ?? 0
        let size = expected.filter(\.isFinite).map(abs).max() ?? 0
        record(
            family, absolute: off, largest: size,
            isWithin: pairs.allSatisfy { abs($0 - $1) <= absolute + relative * abs($1) })
    }

    private static func write() {
        guard let path = ProcessInfo.processInfo.environment["VLSA_GOLDEN_REPORT"] else { return }
        let rows = rows.withLock { $0 }
        guard !rows.isEmpty else { return }
        var lines = rows.map { family, row in
            let name = family.padding(
                toLength: max(28, family.count), withPad: " ", startingAt: 0)
            return name
                + String(
                    format: " absolute %8.2e  relative %8.2e  in %d comparisons", row.absolute,
                    row.relative, row.count)
                + (row.outside == 0 ? "" : ", \(row.outside) OUT OF TOLERANCE")
        }
        for folder in GoldenFolder.folders()
        where !rows.keys.contains(where: { $0 == folder || $0.hasPrefix(folder + "/") }) {
            lines.append("\(folder): NOT COMPARED, no test here knows this family")
        }
        let text = lines.sorted().joined(separator: "\n") + "\n"
        try? text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
