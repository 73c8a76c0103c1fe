import Foundation
import Torch

/// Means over the steps since the last line of metrics.
struct MetricWindow {
    private var reports: [StepReport] = []

    mutating func add(_ report: StepReport) { reports.append(report) }

    var last: StepReport? { reports.last }

    private func mean(_ value: (StepReport) -> Double) -> Double {
        reports.isEmpty ? 0 : reports.reduce(0) { $0 + value($1) } / Double(reports.count)
    }

    /// Time of all steps together.
    var seconds: Double { reports.reduce(0) { $0 + $1.seconds } }

    private func perSecond(_ value: (StepReport) -> Int) -> Double {
        seconds > 0 ? Double(reports.reduce(0) { $0 + value($1) }) / seconds : 0
    }

    /// Share of the time spent waiting for data, 0...1.
    var waiting: Double {
        seconds > 0 ? reports.reduce(0) { $0 + $1.waited } / seconds : 0
    }

    /// The model's operations a second; nil where they are not known.
    private var operationsPerSecond: Double? {
        let known = reports.compactMap(\.operations)
        return known.isEmpty || seconds <= 0 ? nil : known.reduce(0, +) / seconds
    }

    private var losses: [(name: String, value: Double)] { means(\.losses) }

    /// Means by name, in the order of first appearance, over the steps that have the name.
    private func means(_ values: (StepReport) -> [(name: String, value: Double)])
        -> [(name: String, value: Double)]
    {
        var order: [String] = []
        var sums: [String: (sum: Double, count: Int)] = [:]
        for (name, value) in reports.flatMap(values) {
            if sums[name] == nil { order.append(name) }
            sums[name, default: (0, 0)].sum += value
            sums[name, default: (0, 0)].count += 1
        }
        return order.map { name in
            (name, sums[name].map { $0.sum / Double($0.count) } ?? 0)
        }
    }

    var values: [(name: String, value: Double)] {
        var values = [(name: "loss", value: mean(\.loss))]
        values += losses.map { (name: "loss/\($0.name)", value: $0.value) }
        values += means(\.weights).map { (name: "weight/\($0.name)", value: $0.value) }
        values += means(\.measures)
        values += [
            ("gradientNorm", mean(\.gradientNorm)), ("samplesPerSecond", perSecond(\.samples)),
            ("tokensPerSecond", perSecond(\.tokens)), ("dataWait", waiting),
        ]
        if let rate = operationsPerSecond { values.append(("modelFLOPPerSecond", rate)) }
        return values
    }

    var notes: String {
        var parts = [
            MetricWindow.text(mean(\.loss), losses),
            String(
                format: "%.1f samples/s · %.0f tokens/s", perSecond(\.samples),
                perSecond(\.tokens)),
        ]
        if let rate = operationsPerSecond { parts.append(MetricWindow.rate(rate)) }
        parts.append(String(format: "data %.0f%%", waiting * 100))
        parts.append("\(TorchRuntime.residentBytes >> 20) MiB")
        return parts.joined(separator: " · ")
    }

    /// Operations a second with a prefix: `1.52 TFLOP/s`.
    static func rate(_ value: Double) -> String {
        let (scale, prefix) =
            value >= 1e12 ? (1e12, "T") : value >= 1e9 ? (1e9, "G") : (1e6, "M")
        return String(format: "%.2f %@FLOP/s", value / scale, prefix)
    }

    static func text(_ total: Double, _ losses: [(name: String, value: Double)]) -> String {
        let parts = losses.map { String(format: "%@ %.4f", $0.name, $0.value) }
        return String(format: "loss %.4f", total)
            + (parts.count > 1 ? " (\(parts.joined(separator: ", ")))" : "")
    }
}
