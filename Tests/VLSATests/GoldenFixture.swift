import Foundation
import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// A family of ``GoldenFolder``: a checkpoint and what the Python reference makes of it.
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

    /// The families, each with every form of configuration it has.
    static func forms(_ families: [String]) -> [GoldenFixture] {
        families.flatMap { family in
            Form.allCases.filter { GoldenFolder.contains("\(family)/\($0.rawValue)") }
                .map { GoldenFixture(family, $0) }
        }
    }

    var path: String { GoldenFolder.path + "/" + family }

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
        GoldenValues(
            family: family, file: try SafetensorsFile(path: path + "/golden.safetensors"))
    }
}

extension [String] {
    /// The families whose results hold a tensor of this name.
    func holding(_ name: String) -> [String] {
        filter { (try? GoldenFixture($0).values().has(name)) == true }
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

/// Named tensors of a `golden.safetensors`, and comparisons with them, which are reported.
struct GoldenValues {
    let family: String
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

    /// The distinct first groups of `pattern` in the tensors' names, in order.
    func names(matching pattern: Regex<(Substring, Substring)>) -> [String] {
        Set(file.names.compactMap { $0.wholeMatch(of: pattern).map { String($0.1) } }).sorted()
    }

    /// Holds a tensor against the reference's of this name: equal shapes, and no element further off
    /// than `tolerance`.
    func expect(
        _ actual: Tensor, _ name: String, within tolerance: Double = 1e-4,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        expect(
            actual, equals: try self(name), name, within: tolerance,
            sourceLocation: sourceLocation)
    }

    /// The same for a part of a tensor.
    func expect(
        _ actual: Tensor, equals expected: Tensor, _ label: String,
        within tolerance: Double = 1e-4, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let off = difference(actual, expected)
        GoldenReport.record(
            family, absolute: off, largest: largest(expected), isWithin: off <= tolerance)
        expectClose(
            actual, expected, within: tolerance, "\(family), \(label)",
            sourceLocation: sourceLocation)
    }

    /// Holds a loss against the reference's: relative 1e-5.
    func expectLoss(
        _ actual: Tensor, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try self(name)
        expect(
            actual.reshaped(expected.shape), equals: expected, name,
            within: 1e-5 * abs(expected.item()), sourceLocation: sourceLocation)
    }

    /// Holds integers (tokens, indices) against the reference's.
    func expectEqual(
        _ actual: [Int], _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try self(name).ints()
        GoldenReport.record(family, equal: actual == expected)
        #expect(actual == expected, "\(family), \(name)", sourceLocation: sourceLocation)
    }

    /// Holds a gradient against the reference's: `2e-4 (1 + largest absolute value expected)`.
    private func expectGradient(
        _ actual: Tensor, equals expected: Tensor, _ label: String, sourceLocation: SourceLocation
    ) {
        expect(
            actual, equals: expected, label, within: 2e-4 * (1 + largest(expected)),
            sourceLocation: sourceLocation)
    }

    /// Holds the gradient of an input against `grad.in.name`.
    func expectGradient(
        of input: Tensor, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        expectGradient(
            try #require(input.gradient, sourceLocation: sourceLocation),
            equals: try self("grad.in.\(name)"), "gradient of \(name)",
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
                    largest(expected) == 0, "\(tensor) is not in the model",
                    sourceLocation: sourceLocation)
                continue
            }
            let gradient = found.gradient ?? found.detached().zerosLike()
            expectGradient(
                isNorm ? gradient.norm() : gradient, equals: expected, name,
                sourceLocation: sourceLocation)
            checked += 1
        }
        #expect(checked > 0, "no gradients to compare", sourceLocation: sourceLocation)
    }
}

private func largest(_ tensor: Tensor) -> Double {
    tensor.count == 0 ? 0 : tensor.detached().to(.float64).abs().max().item()
}

/// The largest difference of two elements; infinite for other shapes.
private func difference(_ actual: Tensor, _ expected: Tensor) -> Double {
    guard actual.shape == expected.shape else { return .infinity }
    guard actual.count > 0 else { return 0 }
    return (actual.detached().to(.float64) - expected.detached().to(.float64)).abs().max().item()
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
    let off = difference(actual, expected)
    #expect(off <= tolerance, "\(label): off by \(off)", sourceLocation: sourceLocation)
}
