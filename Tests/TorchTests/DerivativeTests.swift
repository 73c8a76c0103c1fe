import Testing

@testable import Torch

/// One operation with the shapes and the range of its inputs.
struct DerivativeCase: Sendable, CustomTestStringConvertible {
    let name: String
    let shapes: [[Int]]
    let range: ClosedRange<Double>
    let body: @Sendable ([Tensor]) -> Tensor

    init(
        _ name: String, _ shapes: [[Int]], in range: ClosedRange<Double> = -1.5...1.5,
        _ body: @escaping @Sendable ([Tensor]) -> Tensor
    ) {
        self.name = name
        self.shapes = shapes
        self.range = range
        self.body = body
    }

    var testDescription: String { name }
}

private func ids(_ values: [Int]) -> Tensor { Tensor(values, shape: [values.count]) }

private let unary: [DerivativeCase] = [
    .init("negate", [[5]]) { -$0[0] },
    .init("exp", [[5]]) { $0[0].exp() },
    .init("log", [[5]], in: 0.3...2) { $0[0].log() },
    .init("sqrt", [[5]], in: 0.3...2) { $0[0].sqrt() },
    .init("rsqrt", [[5]], in: 0.3...2) { $0[0].rsqrt() },
    .init("reciprocal", [[5]], in: 0.3...2) { $0[0].reciprocal() },
    .init("tanh", [[5]]) { $0[0].tanh() },
    .init("sigmoid", [[5]]) { $0[0].sigmoid() },
    .init("sin", [[5]]) { $0[0].sin() },
    .init("cos", [[5]]) { $0[0].cos() },
    .init("abs, positive", [[5]], in: 0.1...2) { $0[0].abs() },
    .init("abs, negative", [[5]], in: -2 ... -0.1) { $0[0].abs() },
    .init("square", [[5]]) { $0[0].square() },
    .init("relu, positive", [[5]], in: 0.1...2) { $0[0].relu() },
    .init("relu, negative", [[5]], in: -2 ... -0.1) { $0[0].relu() },
    .init("silu", [[5]]) { $0[0].silu() },
    .init("quickGELU", [[5]]) { $0[0].quickGELU() },
    .init("gelu", [[5]]) { $0[0].gelu() },
    .init("gelu tanh", [[5]]) { $0[0].gelu(tanh: true) },
    .init("erf", [[5]]) { $0[0].erf() },
    .init("softplus", [[5]]) { $0[0].softplus() },
    .init("logSigmoid", [[5]]) { $0[0].logSigmoid() },
    .init("pow number", [[5]], in: 0.3...2) { $0[0].pow(2.5) },
    .init("clamped inside", [[5]]) { $0[0].clamped(min: -2, max: 2) },
    .init("clamped outside", [[5]], in: 3...4) { $0[0].clamped(min: -2, max: 2) },
]

private let binary: [DerivativeCase] = [
    .init("add", [[2, 3], [3]]) { $0[0] + $0[1] },
    .init("subtract", [[2, 3], [2, 1]]) { $0[0] - $0[1] },
    .init("multiply", [[2, 3], [3]]) { $0[0] * $0[1] },
    .init("divide", [[2, 3], [2, 3]], in: 0.4...2) { $0[0] / $0[1] },
    .init("numbers on the right", [[4]]) { ($0[0] + 2) * 3 - 1.5 + $0[0] / 4 },
    .init("numbers on the left", [[4]], in: 0.4...2) { 2 + 3 * $0[0] + (1 - $0[0]) + 2 / $0[0] },
    .init("pow tensor", [[4], [4]], in: 0.4...2) { $0[0].pow($0[1]) },
    .init("maximum", [[6], [6]]) { $0[0].maximum($0[1]) },
    .init("minimum", [[6], [6]]) { $0[0].minimum($0[1]) },
    .init("select", [[4], [4]]) {
        Tensor.select(where: Tensor([true, false, false, true], shape: [4]), $0[0], $0[1])
    },
    .init("filled", [[2, 2]]) {
        $0[0].filled(where: Tensor([true, false, false, true], shape: [2, 2]), with: 7)
    },
]

private let reductions: [DerivativeCase] = [
    .init("sum", [[2, 3]]) { $0[0].sum() },
    .init("sum axis", [[2, 3]]) { $0[0].sum(axis: -1) },
    .init("sum axes", [[2, 3, 2]]) { $0[0].sum(axes: [0, 2], keepingAxes: true) },
    .init("mean", [[2, 3]]) { $0[0].mean() },
    .init("mean axis", [[2, 3]]) { $0[0].mean(axis: 0, keepingAxis: true) },
    .init("mean axes", [[2, 3, 2]]) { $0[0].mean(axes: [1, 2]) },
    .init("variance", [[2, 4]]) { $0[0].variance(axis: 1) },
    .init("variance biased", [[2, 4]]) { $0[0].variance(axis: 0, unbiased: false) },
    .init("max of all", [[2, 4]]) { $0[0].max() },
    .init("min of all", [[2, 4]]) { $0[0].min() },
    .init("max axis", [[2, 4]]) { $0[0].max(axis: 1).values },
    .init("min axis", [[2, 4]]) { $0[0].min(axis: 0).values },
    .init("norm", [[2, 4]]) { $0[0].norm() },
    .init("cumulativeSum", [[2, 4]]) { $0[0].cumulativeSum(axis: 1) },
    .init("topK", [[2, 5]]) { $0[0].topK(2).values },
    .init("sorted", [[2, 5]]) { $0[0].sorted(axis: 1, descending: true).values },
]

private let shapes: [DerivativeCase] = [
    .init("reshaped", [[2, 6]]) { $0[0].reshaped([3, -1]) },
    .init("transposed", [[2, 3]]) { $0[0].transposed(0, 1) },
    .init("permuted", [[2, 3, 2]]) { $0[0].permuted([2, 0, 1]) },
    .init("expanded", [[2, 1]]) { $0[0].expanded(to: [3, 2, 4]) },
    .init("unsqueezed", [[2, 3]]) { $0[0].unsqueezed(1) },
    .init("squeezed", [[2, 1, 3]]) { $0[0].squeezed(1) },
    .init("flattened", [[2, 3, 2]]) { $0[0].flattened(from: 1) },
    .init("concatenated", [[2, 3], [2, 1]]) { Tensor.concatenated($0, axis: 1) },
    .init("stacked", [[2, 3], [2, 3]]) { Tensor.stacked($0, axis: -1) },
    .init("split", [[5, 2]]) {
        let p = $0[0].split(sizes: [2, 3], axis: 0)
        return p[1] * 2
    },
    .init("chunked", [[2, 6]]) {
        let p = $0[0].chunked(2, axis: 1)
        return p[0] * p[1]
    },
    .init("subscript", [[3, 4, 5]]) { $0[0][.all, -1, 1..<4] },
    .init("subscript, ellipsis and new axis", [[3, 4, 5]]) { $0[0][1..., .newAxis, .ellipsis, 2] },
    .init("narrowed", [[3, 4]]) { $0[0].narrowed(axis: 1, start: 1, length: 2) },
    .init("selecting", [[4, 3]]) { $0[0].selecting(ids([3, 0, 3]), axis: 0) },
    .init("gathered", [[2, 3]]) {
        $0[0].gathered(Tensor([2, 0, 1, 1], shape: [2, 2]), axis: 1)
    },
    .init("indexAdding", [[3, 2], [4, 2]]) {
        $0[0].indexAdding(ids([0, 2, 0, 1]), axis: 0, $0[1])
    },
    .init("replacingRows", [[4, 2], [2, 2]]) { $0[0].replacingRows(ids([3, 1]), with: $0[1]) },
    .init("rows", [[4, 3]]) { $0[0].rows(at: Tensor([1, 3, 1, 0], shape: [2, 2])) },
    .init("repeated", [[2, 3]]) { $0[0].repeated(2, axis: 1) },
    .init("repeated by counts", [[3, 2]]) { $0[0].repeated(by: ids([2, 0, 1]), axis: 0) },
    .init("padded", [[2, 3]]) { $0[0].padded([1, 2, 0, 1], value: 3) },
    .init("flipped", [[2, 3]]) { $0[0].flipped(axis: 1) },
    .init("rolled", [[2, 3]]) { $0[0].rolled(1, axis: 1) },
    .init("lowerTriangle", [[3, 3]]) { $0[0].lowerTriangle() },
    .init("upperTriangle", [[3, 3]]) { $0[0].upperTriangle(diagonal: 1) },
    .init("to and back", [[3]]) { $0[0].to(.float64).contiguous().cloned() },
]

private let layers: [DerivativeCase] = [
    .init("matmul", [[2, 3], [3, 4]]) { $0[0].matmul($0[1]) },
    .init("matmul, batched", [[2, 2, 3], [3, 2]]) { $0[0].matmul($0[1]) },
    .init("linear", [[2, 3], [4, 3], [4]]) { $0[0].linear($0[1], bias: $0[2]) },
    .init("linear without bias", [[2, 2, 3], [4, 3]]) { $0[0].linear($0[1]) },
    .init("softmax", [[2, 4]]) { $0[0].softmax(axis: -1) },
    .init("logSoftmax", [[2, 4]]) { $0[0].logSoftmax(axis: 0) },
    .init("layerNorm", [[2, 5], [5], [5]]) {
        $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5)
    },
    .init("rmsNorm", [[2, 5], [5]]) { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-6) },
    .init("rmsNorm, many rows", [[40, 3], [3]]) { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-6) },
    .init("rmsNorm of any axes", [[3, 4], [3]]) {
        $0[0].transposed(0, 1).rmsNorm(weight: $0[1], epsilon: 0.1)
    },
    .init("rmsNorm without weight", [[2, 5]]) { $0[0].rmsNorm(weight: nil, epsilon: 1e-6) },
    .init("groupNorm", [[2, 4, 3], [4], [4]]) {
        $0[0].groupNorm(groups: 2, weight: $0[1], bias: $0[2], epsilon: 1e-5)
    },
    .init("conv2d", [[1, 2, 5, 4], [3, 2, 3, 3], [3]]) {
        $0[0].conv2d($0[1], bias: $0[2], stride: 2, padding: 1)
    },
    .init("upsampledNearest", [[1, 2, 2, 3]]) { $0[0].upsampledNearest() },
    .init("resizedBicubic", [[1, 1, 3, 4]]) { $0[0].resizedBicubic(height: 5, width: 3) },
    .init("resizedBilinear", [[1, 1, 3, 4]]) { $0[0].resizedBilinear(height: 5, width: 6) },
    .init("attention", [[1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 5, 4]]) {
        Tensor.attention(query: $0[0], key: $0[1], value: $0[2])
    },
    .init("siluAttention", [[1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 5, 3]]) {
        Tensor.siluAttention(query: $0[0], key: $0[1], value: $0[2], factor: 0.7)
    },
    .init("siluAttention, keys as values", [[2, 1, 3, 4], [2, 1, 5, 4]]) {
        Tensor.siluAttention(query: $0[0], key: $0[1], value: $0[1])
    },
    .init("attention, causal", [[1, 2, 4, 2], [1, 2, 4, 2], [1, 2, 4, 2]]) {
        Tensor.attention(query: $0[0], key: $0[1], value: $0[2], isCausal: true, scale: 0.3)
    },
    .init("attention, grouped", [[1, 4, 3, 2], [1, 2, 3, 2], [1, 2, 3, 2]]) {
        Tensor.attention(query: $0[0], key: $0[1], value: $0[2], isCausal: true)
    },
    .init("attention, masked", [[1, 2, 2, 2], [1, 2, 3, 2], [1, 2, 3, 2]]) {
        let mask = Tensor([true, false, true, false, true, true], shape: [2, 3])
        return Tensor.attention(query: $0[0], key: $0[1], value: $0[2], mask: mask)
    },
    .init("attention, added bias", [[1, 2, 2, 2], [1, 2, 3, 2], [1, 2, 3, 2]]) {
        let bias = Tensor([0.5, -1.0, 0, 0.25, 2, -3], shape: [2, 3])
        return Tensor.attention(query: $0[0], key: $0[1], value: $0[2], mask: bias)
    },
    .init("crossEntropy", [[3, 4]]) {
        Tensor.crossEntropy(logits: $0[0], targets: ids([1, -100, 3]))
    },
    .init("crossEntropy, sum", [[3, 4]]) {
        Tensor.crossEntropy(logits: $0[0], targets: ids([1, 0, 3]), reduction: .sum)
    },
    .init("crossEntropy, each", [[3, 4]]) {
        Tensor.crossEntropy(logits: $0[0], targets: ids([1, 0, -100]), reduction: .none)
    },
    .init("rotated, of any axes and table per sample", [[2, 3, 2, 4]]) {
        let angles = Tensor.arange(24, dtype: .float64).reshaped([2, 1, 3, 4])
        return $0[0].transposed(1, 2).rotated(cosines: angles.cos(), sines: angles.sin())
    },
    .init("rotated, three axes", [[2, 3, 4]]) {
        let angles = Tensor.arange(12, dtype: .float64).reshaped([3, 4])
        return $0[0].rotated(cosines: angles.cos(), sines: angles.sin())
    },
    .init("rotated", [[1, 2, 3, 4]]) {
        let angles = Tensor.arange(12, dtype: .float64).reshaped([3, 4])
        return $0[0].rotated(cosines: angles.cos(), sines: angles.sin())
    },
]

@Suite struct DerivativeTests {
    @Test(arguments: unary + binary + reductions + shapes + layers)
    func backwardEqualsFiniteDifferences(_ test: DerivativeCase) {
        let generator = Generator(seed: 3)
        let inputs = test.shapes.map { shape in
            let span = test.range.upperBound - test.range.lowerBound
            let values = Tensor.uniform(shape, dtype: .float64, generator: generator) * span
            return (values + test.range.lowerBound).detached()
        }
        for input in inputs { input.requiresGradient = true }
        let output = test.body(inputs)
        let cotangent = Tensor.normal(output.shape, dtype: .float64, generator: generator)
        (output * cotangent).sum().backward()

        func value(_ inputs: [Tensor]) -> Double {
            withoutGradients { (test.body(inputs) * cotangent).sum().item() }
        }
        let step = 1e-6
        for (index, input) in inputs.enumerated() {
            guard let gradient = input.gradient else {
                Issue.record("\(test.name): input \(index) has no gradient")
                continue
            }
            let values = input.detached().doubles()
            let differences = values.indices.map { element in
                let ends = [step, -step].map { delta in
                    var moved = values
                    moved[element] += delta
                    var all = inputs
                    all[index] = Tensor(doubles: moved, shape: input.shape)
                    return value(all)
                }
                return (ends[0] - ends[1]) / (2 * step)
            }
            expectClose(
                gradient, Tensor(doubles: differences, shape: input.shape), absolute: 2e-7,
                relative: 1e-6,
                "\(test.name), input \(index)")
        }
    }
}
