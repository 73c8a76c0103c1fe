import GoldenSupport
import Testing

@testable import Torch

/// The operations of the family `ops`: values and derivatives of the Python reference in fp32.
@Suite(.enabled(if: GoldenFolder.contains("ops"))) struct OperationGoldenTests {
    private static let operations: [String: @Sendable ([Tensor]) -> Tensor] = [
        "quick_gelu": { $0[0].quickGELU() },
        "gelu": { $0[0].gelu() },
        "gelu_pytorch_tanh": { $0[0].gelu(tanh: true) },
        "silu": { $0[0].silu() },
        "softmax": { $0[0].softmax(axis: -1) },
        "layer_norm": {
            $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5, width: $0[1].count)
        },
        "group_norm": { $0[0].groupNorm(groups: 3, weight: $0[1], bias: $0[2], epsilon: 1e-6) },
        "rms_norm": { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-6) },
        "linear": { $0[0].linear($0[1], bias: $0[2]) },
        "conv3x3_pad1": { $0[0].conv2d($0[1], bias: $0[2], padding: 1) },
        "conv3x3_stride2_pad_bottom_right": {
            $0[0].padded([0, 1, 0, 1]).conv2d($0[1], bias: $0[2], stride: 2)
        },
        "conv_patch": { $0[0].conv2d($0[1], stride: $0[1].shape[3]) },
        "upsample_nearest2": { $0[0].upsampledNearest() },
        "embedding": { $0[1].rows(at: $0[0]) },
        "causal_attention": {
            Tensor.attention(query: $0[0], key: $0[1], value: $0[2], isCausal: true)
        },
    ]

    private static let names: [String] = {
        let file = try? SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let all = file?.names.compactMap { $0.split(separator: ".").first.map(String.init) } ?? []
        return Set(all).subtracting(["cross_entropy"]).sorted()
    }()

    /// The operation of a name in the file; sizes may be part of it.
    private func operation(_ name: String) throws -> @Sendable ([Tensor]) -> Tensor {
        if let sizes = name.wholeMatch(of: /bicubic_[0-9]+x[0-9]+_to_([0-9]+)x([0-9]+)/) {
            let (height, width) = (try #require(Int(sizes.1)), try #require(Int(sizes.2)))
            return { $0[0].resizedBicubic(height: height, width: width) }
        }
        let stem = name.replacing(/^conv_patch[0-9]+$/, with: "conv_patch")
        return try #require(Self.operations[stem], "no operation is called \(name)")
    }

    @Test(arguments: names)
    func matchesTheReference(_ name: String) throws {
        let file = try SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let operation = try operation(name)
        var inputs: [Tensor] = []
        while file.contains("\(name).in.\(inputs.count)") {
            let input = try file.tensor("\(name).in.\(inputs.count)").cloned()
            input.requiresGradient = input.dtype.isFloatingPoint
            inputs.append(input)
        }
        let output = operation(inputs)
        expectGolden(
            "ops", output, try file.tensor("\(name).out"), absolute: 1e-5, relative: 1e-5, name)
        (output * (try file.tensor("\(name).in.cotangent"))).sum().backward()
        for (index, input) in inputs.enumerated() where input.requiresGradient {
            let gradient = try #require(input.gradient)
            let expected = try file.tensor("\(name).grad.\(index)")
            expectGolden(
                "ops", gradient, expected, absolute: 2e-5 * (1 + expected.abs().max().item()),
                "\(name).grad.\(index)")
        }
    }

    @Test(.enabled(if: GoldenFolder.isOwn)) func everyOperationIsCompared() {
        #expect(Self.names.count == 17)
    }

    @Test func maskedCrossEntropyMatchesTheReference() throws {
        let file = try SafetensorsFile(path: fixture("ops/golden.safetensors"))
        let logits = try file.tensor("cross_entropy.in.logits").cloned()
        logits.requiresGradient = true
        let loss = Tensor.crossEntropy(
            logits: logits, targets: try file.tensor("cross_entropy.in.labels"))
        expectGolden("ops", loss, try file.tensor("cross_entropy.out"), relative: 1e-5)
        loss.backward()
        expectGolden(
            "ops", try #require(logits.gradient), try file.tensor("cross_entropy.grad.logits"),
            absolute: 1e-6)
    }
}
