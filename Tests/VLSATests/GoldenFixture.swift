import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// A folder of `Tests/Fixtures`: a checkpoint and what the Python reference makes of it.
struct GoldenFixture: CustomTestStringConvertible {
    /// Which of the two forms of `config.json`.
    enum Form: String, CaseIterable {
        case five = "config.json"
        case four = "config.v4.json"
    }

    let family: String
    let form: Form

    init(_ family: String, _ form: Form = .five) {
        self.family = family
        self.form = form
    }

    var testDescription: String { form == .five ? family : "\(family), configuration of 4.x" }

    static func both(_ families: [String]) -> [GoldenFixture] {
        families.flatMap { family in Form.allCases.map { GoldenFixture(family, $0) } }
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures").path

    var path: String { Self.root + "/" + family }

    /// The folder; with the older configuration, a copy that has it as `config.json`.
    func folder() throws -> CheckpointFolder {
        guard form == .four else { return try CheckpointFolder(path) }
        let files = FileManager.default
        let copy = try TemporaryFolder.make()
        for name in try files.contentsOfDirectory(atPath: path)
        where !name.hasPrefix("config") && name != "golden.safetensors" {
            try files.createSymbolicLink(
                atPath: copy + "/" + name, withDestinationPath: path + "/" + name)
        }
        try files.copyItem(atPath: path + "/" + form.rawValue, toPath: copy + "/config.json")
        return try CheckpointFolder(copy)
    }

    /// The reference's inputs and outputs.
    func values() throws -> GoldenValues {
        GoldenValues(file: try SafetensorsFile(path: path + "/golden.safetensors"))
    }
}

/// Folders that vanish when the tests end.
enum TemporaryFolder {
    private static let root: String = {
        atexit { try? FileManager.default.removeItem(atPath: TemporaryFolder.root) }
        return NSTemporaryDirectory() + "vlsa-tests-" + UUID().uuidString
    }()

    static func make() throws -> String {
        let path = root + "/" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

/// Named tensors of a `golden.safetensors`.
struct GoldenValues {
    let file: SafetensorsFile

    func callAsFunction(_ name: String) throws -> Tensor { try file.tensor(name).cloned() }

    func has(_ name: String) -> Bool { file.contains(name) }

    func number(_ name: String) throws -> Double { try self(name).item() }

    /// A matrix of integers by rows.
    func rows(_ name: String) throws -> [[Int]] {
        let tensor = try self(name)
        let (values, width) = (tensor.ints(), tensor.shape[1])
        return (0..<tensor.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }
    }

    /// Holds the gradient of an input against `grad.in.name`.
    func expectGradient(
        of input: Tensor, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try self("grad.in.\(name)")
        expectClose(
            try #require(input.gradient, sourceLocation: sourceLocation), expected,
            within: 2e-4 * (1 + expected.abs().max().item()), "gradient of \(name)",
            sourceLocation: sourceLocation)
    }

    /// Holds every `grad.X` and `gradnorm.X` against the gradients in `store`.
    ///
    /// - Parameter place: the store's name of a checkpoint's tensor; nil for one that the part does
    ///   not have, whose gradient must then be none.
    func expectGradients(
        in store: ParameterStore, place: (String) -> String?,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var checked = 0
        for name in file.names {
            let isNorm = name.hasPrefix("gradnorm.")
            guard isNorm || (name.hasPrefix("grad.") && !name.hasPrefix("grad.in.")) else {
                continue
            }
            let expected = try self(name)
            let tensor = String(name.drop { $0 != "." }.dropFirst())
            guard let found = place(tensor).flatMap({ store[$0] }) else {
                #expect(
                    expected.abs().max().item() == 0, "\(tensor) is not in the model",
                    sourceLocation: sourceLocation)
                continue
            }
            let gradient = found.gradient ?? found.detached().zerosLike()
            let actual = isNorm ? gradient.norm() : gradient
            expectClose(
                actual, expected, within: 2e-4 * (1 + expected.abs().max().item()), name,
                sourceLocation: sourceLocation)
            checked += 1
        }
        #expect(checked > 0, "no gradients to compare", sourceLocation: sourceLocation)
    }
}

/// Equal shapes, and no element further off than `tolerance`.
func expectClose(
    _ actual: Tensor, _ expected: Tensor, within tolerance: Double = 1e-4, _ label: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard actual.shape == expected.shape else {
        Issue.record(
            "\(label): shape \(actual.shape), expected \(expected.shape)",
            sourceLocation: sourceLocation)
        return
    }
    guard actual.count > 0 else { return }
    let difference = (actual.detached().to(.float64) - expected.detached().to(.float64)).abs().max()
        .item()
    #expect(
        difference <= tolerance, "\(label): off by \(difference)", sourceLocation: sourceLocation)
}

/// A loss within a relative 1e-5.
func expectLoss(
    _ actual: Tensor, _ expected: Double, sourceLocation: SourceLocation = #_sourceLocation
) {
    let difference = abs(actual.item() - expected)
    #expect(
        difference <= 1e-5 * max(1, abs(expected)), "loss \(actual.item()), expected \(expected)",
        sourceLocation: sourceLocation)
}
