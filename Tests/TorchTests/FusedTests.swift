import CTorch
import Testing

@testable import Torch

/// The fused operations against their composed forms in fp64, on every kind of processor that this one can be.
@Suite(.serialized) struct FusedTests {
    static let kinds = [CT_PORTABLE, CT_AVX2, CT_AVX512, CT_MATRIX_UNIT]

    /// One operation twice: fused on the given type, composed on fp64.
    struct Form: Sendable, CustomTestStringConvertible {
        let name: String
        let shapes: [[Int]]
        let fused: @Sendable ([Tensor]) -> Tensor
        let composed: @Sendable ([Tensor]) -> Tensor
        var testDescription: String { name }
    }

    private static func plain(_ function: Tensor.Nonlinearity, _ x: Tensor) -> Tensor {
        switch function {
        case .silu: x * x.sigmoid()
        case .quickGELU: x * (x * 1.702).sigmoid()
        case .gelu: x * ((x / 2.0.squareRoot()).erf() + 1) * 0.5
        case .geluTanh: x * (((x + x.pow(3) * 0.044715) * 0.7978845608).tanh() + 1) * 0.5
        }
    }

    private static let functions: [Tensor.Nonlinearity] = [.silu, .quickGELU, .gelu, .geluTanh]

    /// Odd widths leave a rest beside the sixteen values that are taken at once; 90 rows are several chunks.
    static let forms: [Form] =
        functions.flatMap { function in
            [
                Form(name: "activated \(function)", shapes: [[90, 37]]) {
                    $0[0].activated(function)
                } composed: {
                    plain(function, $0[0])
                },
                Form(name: "activated \(function) with bias", shapes: [[2, 90, 37], [37]]) {
                    $0[0].activated(function, bias: $0[1])
                } composed: {
                    plain(function, $0[0] + $0[1])
                },
                Form(name: "gated \(function)", shapes: [[90, 37], [90, 37]]) {
                    Tensor.gated(function, gate: $0[0], up: $0[1])
                } composed: {
                    plain(function, $0[0]) * $0[1]
                },
                Form(name: "gatedHalves \(function)", shapes: [[3, 30, 74]]) {
                    $0[0].gatedHalves(function)
                } composed: {
                    let halves = $0[0].chunked(2, axis: -1)
                    return plain(function, halves[0]) * halves[1]
                },
            ]
        } + [
            // Of a layer's input, what it was made from is kept.
            Form(name: "linear of activated", shapes: [[2, 90, 37], [37], [11, 37], [11]]) {
                $0[0].activated(.gelu, bias: $0[1]).linear($0[2] / 8, bias: $0[3])
            } composed: {
                plain(.gelu, $0[0] + $0[1]).linear($0[2] / 8, bias: $0[3])
            },
            Form(name: "linear of gatedHalves", shapes: [[3, 30, 74], [11, 37]]) {
                $0[0].gatedHalves(.silu).linear($0[1] / 8)
            } composed: {
                let halves = $0[0].chunked(2, axis: -1)
                return (plain(.silu, halves[0]) * halves[1]).linear($0[1] / 8)
            },
            Form(name: "linear of layerNorm", shapes: [[3, 70, 37], [37], [37], [11, 37]]) {
                $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5).linear($0[3] / 8)
            } composed: {
                (centred($0[0], 1e-5) * $0[1] + $0[2]).linear($0[3] / 8)
            },
            Form(
                name: "linear of modulatedNorm",
                shapes: [[3, 70, 37], [3, 1, 37], [3, 1, 37], [11, 37]]
            ) {
                $0[0].modulatedNorm(scale: $0[1], shift: $0[2], epsilon: 1e-6).linear($0[3] / 8)
            } composed: {
                (centred($0[0], 1e-6) * ($0[1] + 1) + $0[2]).linear($0[3] / 8)
            },
            Form(name: "linear of rmsNorm", shapes: [[3, 70, 37], [37], [11, 37]]) {
                $0[0].rmsNorm(weight: $0[1], epsilon: 1e-5).linear($0[2] / 8)
            } composed: {
                ($0[0] * ($0[0].square().mean(axis: -1, keepingAxis: true) + 1e-5).rsqrt() * $0[1])
                    .linear($0[2] / 8)
            },
            Form(name: "layerNorm", shapes: [[3, 70, 37], [37], [37]]) {
                $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5)
            } composed: {
                centred($0[0], 1e-5) * $0[1] + $0[2]
            },
            Form(name: "layerNorm without weights", shapes: [[70, 48]]) {
                $0[0].layerNorm(weight: nil, bias: nil, epsilon: 1e-5)
            } composed: {
                centred($0[0], 1e-5)
            },
            Form(name: "modulatedNorm", shapes: [[3, 70, 37], [3, 1, 37], [3, 1, 37]]) {
                $0[0].modulatedNorm(scale: $0[1], shift: $0[2], epsilon: 1e-6)
            } composed: {
                centred($0[0], 1e-6) * ($0[1] + 1) + $0[2]
            },
            Form(name: "rmsNorm", shapes: [[3, 70, 37], [37]]) {
                $0[0].rmsNorm(weight: $0[1], epsilon: 1e-5)
            } composed: {
                $0[0] * ($0[0].square().mean(axis: -1, keepingAxis: true) + 1e-5).rsqrt() * $0[1]
            },
            Form(name: "rotated", shapes: [[2, 40, 3, 22]]) {
                let (cosines, sines) = angles($0[0].dtype)
                return $0[0].transposed(1, 2).rotated(cosines: cosines, sines: sines)
            } composed: {
                let (cosines, sines) = angles($0[0].dtype)
                let x = $0[0].transposed(1, 2)
                let halves = x.chunked(2, axis: -1)
                return x * cosines
                    + Tensor.concatenated([-halves[1], halves[0]], axis: -1) * sines
            },
            Form(name: "linearCrossEntropy, all words at once", shapes: [[60, 9], [130, 9]]) {
                Tensor.linearCrossEntropy(
                    hidden: $0[0], weight: $0[1], targets: targets(60, 130)) / 10
            } composed: {
                Tensor.crossEntropy(
                    logits: $0[0].linear($0[1]), targets: targets(60, 130), reduction: .sum) / 10
            },
            // 9,000 rows by 1,500 words are two parts of the vocabulary.
            Form(name: "linearCrossEntropy", shapes: [[9000, 4], [1500, 4]]) {
                Tensor.linearCrossEntropy(
                    hidden: $0[0], weight: $0[1], targets: targets(9000, 1500)) / 100
            } composed: {
                Tensor.crossEntropy(
                    logits: $0[0].linear($0[1]), targets: targets(9000, 1500), reduction: .sum)
                    / 100
            },
        ]

    private static func centred(_ x: Tensor, _ epsilon: Double) -> Tensor {
        let moved = x - x.mean(axis: -1, keepingAxis: true)
        return moved * (moved.square().mean(axis: -1, keepingAxis: true) + epsilon).rsqrt()
    }

    private static func angles(_ dtype: DType) -> (Tensor, Tensor) {
        let half = Tensor.uniform([40, 11], dtype: .float32, generator: Generator(seed: 5)) * 6
        let both = Tensor.concatenated([half, half], axis: -1)
        // Tables of bf16's values in every type, so that only the operation is compared.
        return (both.cos().to(.bfloat16).to(dtype), both.sin().to(.bfloat16).to(dtype))
    }

    private static func targets(_ count: Int, _ words: Int) -> Tensor {
        let ids = (0..<count).map { $0 % 7 == 3 ? -100 : ($0 * 7919) % words }
        return Tensor(ids, shape: [count])
    }

    /// Within 2e-5 (fp32) or 1.6e-2, twice bf16's step (bf16), of the largest value; derivatives too.
    @Test(arguments: forms, [DType.float32, .bfloat16])
    func fusedEqualsComposed(_ form: Form, _ dtype: DType) throws {
        defer { ct_limit_instructions(CT_MATRIX_UNIT) }
        for kind in Self.kinds {
            ct_limit_instructions(kind)
            let generator = Generator(seed: 2)
            let narrow = form.shapes.map {
                (Tensor.normal($0, dtype: .float32, generator: generator) * 1.5).to(dtype)
            }
            let wide = narrow.map { $0.to(.float64) }
            for tensor in narrow + wide { tensor.requiresGradient = true }
            let (found, expected) = (form.fused(narrow), form.composed(wide))
            let cotangent = Tensor.normal(
                expected.shape, dtype: .float32, generator: generator
            ).to(dtype)
            (found * cotangent.to(found.dtype)).sum().backward()
            (expected * cotangent.to(.float64)).sum().backward()
            let tolerance = dtype == .bfloat16 ? 1.6e-2 : 2e-5
            let pairs =
                [(found.detached(), expected.detached())]
                + (try zip(narrow, wide).map {
                    (try #require($0.gradient), try #require($1.gradient))
                })
            for (index, (a, b)) in pairs.enumerated() {
                expectClose(
                    a, b, absolute: tolerance * max(1, b.abs().max().item()),
                    "\(form.name) \(dtype) kind \(kind.rawValue) tensor \(index)")
            }
        }
    }

    @Test func frozenInputsGetNoGradient() {
        let (x, w) = (Tensor.ones([4, 16]), Tensor.ones([16]))
        w.requiresGradient = true
        x.layerNorm(weight: w, bias: nil, epsilon: 1e-5).sum().backward()
        #expect(w.gradient != nil && x.gradient == nil)
        let (h, head) = (Tensor.ones([4, 16]), Tensor.ones([8, 16]))
        h.requiresGradient = true
        Tensor.linearCrossEntropy(
            hidden: h, weight: head, targets: Tensor([0, 1, 2, 3], shape: [4])
        )
        .backward()
        #expect(h.gradient != nil && head.gradient == nil)
    }

    /// Whatever is frozen of a layer, the others get the derivatives that they have when all learn.
    @Test func aLayerOfWhatIsMadeAgainPassesWhatIsWanted() throws {
        let generator = Generator(seed: 8)
        let values = [[2, 40, 16], [16], [5, 16], [5]].map {
            Tensor.normal($0, dtype: .float32, generator: generator)
        }
        func gradients(_ wanted: [Bool]) -> [Tensor?] {
            let parts = values.map { $0.cloned() }
            for (part, wanted) in zip(parts, wanted) { part.requiresGradient = wanted }
            parts[0].activated(.silu, bias: parts[1]).linear(parts[2], bias: parts[3]).square()
                .sum().backward()
            return parts.map(\.gradient)
        }
        let all = gradients([true, true, true, true])
        for pattern in 1..<15 {
            let wanted = (0..<4).map { pattern >> $0 & 1 == 1 }
            for (index, gradient) in gradients(wanted).enumerated() {
                #expect((gradient != nil) == wanted[index])
                if let gradient { expectClose(gradient, try #require(all[index]), absolute: 1e-3) }
            }
        }
    }

    /// A layer keeps its weight and what its input was made from, not the input; unless that was changed since.
    @Test func whatCanBeMadeAgainIsNotKept() async {
        await #expect(processExitsWith: .success) {
            let (x, w) = (Tensor.ones([4096, 1024]), Tensor.ones([16, 1024]))
            for tensor in [x, w] { tensor.requiresGradient = true }
            for make in [
                { x.activated(.gelu) }, { x.layerNorm(weight: nil, bias: nil, epsilon: 1e-5) },
                { x.rmsNorm(weight: w.rows(at: Tensor([0], shape: [])), epsilon: 1e-5) },
            ] {
                let before = TorchRuntime.hostMemory.used
                let y = make().linear(w)
                precondition(TorchRuntime.hostMemory.used - before < x.byteCount / 4)
                y.sum().backward()
            }
            let changed = x.activated(.gelu)
            changed.detached().fill(3)
            w.gradient = nil
            changed.linear(w).sum().backward()
            precondition(w.gradient?.floats().allSatisfy { $0 == 3 * 4096 } == true)
        }
    }

    @Test func theSameTensorTwiceGetsBothDerivatives() throws {
        let x = Tensor.normal([4, 16], dtype: .float32, generator: Generator(seed: 1))
        let y = x.cloned()
        for tensor in [x, y] { tensor.requiresGradient = true }
        Tensor.gated(.silu, gate: x, up: x).sum().backward()
        (y * y.sigmoid() * y).sum().backward()
        expectClose(try #require(x.gradient), try #require(y.gradient), absolute: 1e-5)
    }

    @Test func notANumberStaysOne() {
        for dtype in [DType.float32, .bfloat16] {
            let x = Tensor([Float.nan, 1], shape: [2]).to(dtype)
            for function in Self.functions {
                #expect(x.activated(function).to(.float32).floats()[0].isNaN)
            }
        }
    }

    @Test func misshapenTensorsTrap() async {
        await #expect(processExitsWith: .failure) {
            _ = Tensor.zeros([2, 3]).activated(.silu, bias: .zeros([2]))
        }
        await #expect(processExitsWith: .failure) { _ = Tensor.zeros([2, 3]).gatedHalves(.silu) }
        await #expect(processExitsWith: .failure) {
            _ = Tensor.linearCrossEntropy(
                hidden: .zeros([1, 2]), weight: .zeros([3, 2]), targets: Tensor([3], shape: [1]))
        }
    }
}
