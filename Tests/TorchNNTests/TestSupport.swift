import Foundation
import GoldenSupport
import Testing

@testable import Torch

/// A file of the reference's results.
func fixture(_ path: String) -> String { GoldenFolder.path + "/" + path }

/// A folder of its own, removed after `body`.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("torchnn-tests-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
}

/// The fp32 master of a weight, as an optimizer's state has it.
func masterOf(_ weight: Tensor, _ state: [String: Tensor], _ name: String) -> Tensor {
    if let remainder = state["\(name).remainder"] {
        let bits = weight.detached().to(.float32).bitCast(to: .int32)
        return (bits + remainder.to(.int32)).bitCast(to: .float32)
    }
    return state["\(name).master"] ?? weight.detached()
}

/// Equal shapes, and every element within `absolute + relative * |expected|`.
func expectClose(
    _ found: Tensor, _ expected: Tensor, absolute: Double = 0, relative: Double = 0,
    _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    guard found.shape == expected.shape else {
        Issue.record(
            "\(what): shape \(found.shape), expected \(expected.shape)",
            sourceLocation: sourceLocation)
        return
    }
    for (index, (a, b)) in zip(found.doubles(), expected.doubles()).enumerated() {
        if abs(a - b) <= absolute + relative * abs(b) { continue }
        Issue.record("\(what) [\(index)]: \(a), expected \(b)", sourceLocation: sourceLocation)
        return
    }
}

/// ``expectClose(_:_:absolute:relative:_:sourceLocation:)`` with the reference's value, reported under
/// the family's name.
func expectGolden(
    _ family: String, _ found: Tensor, _ expected: Tensor, absolute: Double = 0,
    relative: Double = 0, _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    GoldenReport.record(
        family, found.doubles(), expected.doubles(), absolute: absolute, relative: relative)
    expectClose(
        found, expected, absolute: absolute, relative: relative, "\(family), \(what)",
        sourceLocation: sourceLocation)
}
