import Testing
import Torch
import TorchNN

@testable import VLSA

/// Weights and inputs that any language can make from their names alone: 32-bit FNV-1a of the name,
/// plus the element's index, mixed, as a number in -0.5..<0.5.
enum GoldenFill {
    static func hash(_ name: String) -> UInt32 {
        name.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
    }

    private static func mixed(_ value: UInt32) -> UInt32 {
        var x = value
        x ^= x >> 16
        x = x &* 0x7FEB_352D
        x ^= x >> 15
        x = x &* 0x846C_A68B
        return x ^ (x >> 16)
    }

    static func unit(_ name: String, _ index: Int) -> Double {
        Double(mixed(hash(name) &+ UInt32(index))) / 4_294_967_296 - 0.5
    }

    static func tensor(_ name: String, _ shape: [Int]) -> Tensor {
        let count = shape.reduce(1, *)
        let scale: (Double) -> Double =
            if name == "golden.image" || name.hasSuffix("quantize.embedding.weight") {
                { 2 * $0 }
            } else if name.hasPrefix("golden.") {
                { 2 * 3.0.squareRoot() * $0 }
            } else if shape.count >= 2 {
                { 2 * 3.0.squareRoot() * $0 / (Double(count) / Double(shape[0])).squareRoot() }
            } else if name.hasSuffix(".weight") {
                { 1 + 0.5 * $0 }
            } else {
                { 0.5 * $0 }
            }
        return Tensor((0..<count).map { Float(scale(unit(name, $0))) }, shape: shape)
    }

    /// Offers the fill for every parameter that `build` asks for, but those in `keeping`.
    static func fill<Model>(
        keeping: Set<String> = [], _ build: (ParameterScope) throws -> Model
    ) throws -> (model: Model, store: ParameterStore) {
        let plan = ParameterStore(seed: 0)
        _ = try build(plan.scope)
        let store = ParameterStore(seed: 0)
        for (name, parameter) in plan.tensors() where !keeping.contains(name) {
            try store.offer(name, tensor(name, parameter.shape))
        }
        let model = try build(store.scope)
        try store.checkComplete()
        return (model, store)
    }
}

/// A tensor's sum, mean magnitude, first and last elements.
func expectSummary(
    _ tensor: Tensor, sum: Double, magnitude: Double? = nil, first: [Double] = [],
    last: Double? = nil, within tolerance: Double = 1e-4,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let values = tensor.detached().reshaped([-1]).doubles()
    let actual = values.reduce(0, +)
    #expect(
        abs(actual - sum) < max(1e-3, tolerance), "sum \(actual)", sourceLocation: sourceLocation)
    if let magnitude {
        let actual = values.reduce(0) { $0 + abs($1) } / Double(values.count)
        #expect(
            abs(actual - magnitude) < tolerance, "magnitude \(actual)",
            sourceLocation: sourceLocation)
    }
    for (index, value) in first.enumerated() {
        #expect(
            abs(values[index] - value) < tolerance, "element \(index) is \(values[index])",
            sourceLocation: sourceLocation)
    }
    if let last, let end = values.last {
        #expect(abs(end - last) < tolerance, "last is \(end)", sourceLocation: sourceLocation)
    }
}
