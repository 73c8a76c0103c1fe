import Testing

@testable import Torch

/// The operations of Fixtures/ops: values and derivatives of the Python reference in fp32.
@Suite struct GoldenOperationTests {
    private static let operations: [String: @Sendable ([Tensor]) -> Tensor] = [
        "quick_gelu": { $0[0].quickGELU() },
        "gelu": { $0[0].gelu() },
        "gelu_pytorch_tanh": { $0[0].gelu(tanh: true) },
        "silu": { $0[0].silu() },
        "softmax": { $0[0].softmax(axis: -1) },
        "layer_norm": { $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5, width: 11) },
        "group_norm": { $0[0].groupNorm(groups: 3, weight: $0[1], bias: $0[2], epsilon: 1e-6) },
        "rms_norm": { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-6) },
        "linear": { $0[0].linear($0[1], bias: $0[2]) },
        "conv3x3_pad1": { $0[0].conv2d($0[1], bias: $0[2], padding: 1) },
        "conv3x3_stride2_pad_bottom_right": {
            $0[0].padded([0, 1, 0, 1]).conv2d($0[1], bias: $0[2], stride: 2)
        },
        "conv_patch4": { $0[0].conv2d($0[1], stride: 4) },
        "upsample_nearest2": { $0[0].upsampledNearest() },
        "bicubic_4x4_to_7x5": { $0[0].resizedBicubic(height: 7, width: 5) },
        "bicubic_6x6_to_4x9": { $0[0].resizedBicubic(height: 4, width: 9) },
        "embedding": { $0[1].rows(at: $0[0]) },
        "causal_attention": {
            Tensor.attention(query: $0[0], key: $0[1], value: $0[2], isCausal: true)
        },
    ]

    @Test(arguments: operations.keys.sorted())
    func matchesTheReference(_ name: String) throws {
        let file = try SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let operation = try #require(Self.operations[name])
        var inputs: [Tensor] = []
        while file.contains("\(name).in.\(inputs.count)") {
            let input = try file.tensor("\(name).in.\(inputs.count)").cloned()
            input.requiresGradient = input.dtype.isFloatingPoint
            inputs.append(input)
        }
        let output = operation(inputs)
        expectClose(output, try file.tensor("\(name).out"), absolute: 1e-5, relative: 1e-5, name)
        (output * (try file.tensor("\(name).in.cotangent"))).sum().backward()
        for (index, input) in inputs.enumerated() where input.requiresGradient {
            let gradient = try #require(input.gradient)
            let expected = try file.tensor("\(name).grad.\(index)")
            expectClose(
                gradient, expected, absolute: 2e-5 * (1 + expected.abs().max().item()),
                "\(name).grad.\(index)")
        }
    }

    @Test func everyOperationOfTheFixtureIsCompared() throws {
        let file = try SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let names = Set(file.names.compactMap { $0.split(separator: ".").first.map(String.init) })
        #expect(names == Set(Self.operations.keys).union(["cross_entropy"]))
    }

    @Test func maskedCrossEntropyMatchesTheReference() throws {
        let file = try SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let logits = try file.tensor("cross_entropy.in.logits").cloned()
        logits.requiresGradient = true
        let loss = Tensor.crossEntropy(
            logits: logits, targets: try file.tensor("cross_entropy.in.labels"))
        expectClose(loss, try file.tensor("cross_entropy.out"), relative: 1e-5)
        loss.backward()
        expectClose(
            try #require(logits.gradient), try file.tensor("cross_entropy.grad.logits"),
            absolute: 1e-6)
    }
}
