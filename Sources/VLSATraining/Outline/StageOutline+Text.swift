import Foundation
import Torch
import VLSA

extension StageOutline {
    /// The stage for people: the resolved plan, its parts, the work of a step and the memory it takes.
    ///
    /// - Parameters:
    ///   - available: bytes to compare a process' memory with; nil where nothing is known of the device.
    ///   - processes: that train together.
    public func text(available: Int?, processes: Int = 1) throws -> String {
        // A section that the file leaves out is the model's own.
        var resolved = plan
        resolved.sections = model.configuration.sections
        var lines = ["# \(plan.name), resolved", try resolved.yaml(), "# parts"]
        lines.append(TrainableTable.text(optimizer.groups, store: model.store))
        lines += workLines() + [""]
        lines += memoryLines(available: available, processes: processes)
        lines += notes.isEmpty ? [] : [""]
        lines += notes.map { "note: \($0)" }
        return lines.joined(separator: "\n")
    }

    private func workLines() -> [String] {
        let visual = model.visualTokenCount
        let length = extent.lengths[0]
        var rows = [["part", "tokens", "forward", "backward", "activations"]]
        for part in work {
            rows.append([
                part.part, part.tokens, operationText(part.forward),
                part.backward == 0 ? "–" : operationText(part.backward),
                byteText(part.activationBytes),
            ])
        }
        let steps =
            switch plan.length {
            case .steps(let steps):
                "; \(steps) steps: \(operationText(stepOperations * Double(steps)))"
            case .epochs: ""
            }
        return [
            "# one sample at most: a snapshot and \(extent.tiles) tiles, \(length) tokens "
                + "(\(visual) visual, \(length - visual) of text)",
            alignedColumns(rows).joined(separator: "\n"),
            "a step of \(plan.batch.samples) samples: \(operationText(stepOperations))\(steps)",
            workFormula,
        ]
    }

    private func memoryLines(available: Int?, processes: Int) -> [String] {
        let memory = memory(processes: processes)
        let totalMemory = memory.reduce(0) { $0 + $1.bytes }
        var rows = memory.map { [$0.name, byteText($0.bytes)] }
        rows.append(["together", byteText(totalMemory)])
        var lines = [
            "# memory on \(plan.device)\(processes > 1 ? " of each of \(processes) processes" : ""), "
                + "\(plan.dtype.rawValue), \(min(plan.batch.micro, plan.batch.samples / processes)) samples at once; "
                + "activations are an estimate", alignedColumns(rows).joined(separator: "\n"),
        ]
        if let available {
            let fits = totalMemory <= available
            lines.append(
                (fits ? "fits: " : "DOES NOT FIT: ")
                    + "\(byteText(totalMemory)) of \(byteText(available))"
                    + (fits
                        ? ""
                        : "; train fewer parts, lower batch.micro or data.maxLength, or use a "
                            + "smaller dtype"))
        } else {
            lines.append(
                "\(plan.device) is not on this machine; --memory compares with a size in GiB")
        }
        return lines
    }
}
