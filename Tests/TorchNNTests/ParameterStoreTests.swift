import Foundation
import Testing
import Torch

@testable import TorchNN

@Suite struct ParameterStoreTests {
    private func file(
        _ tensors: [(String, Tensor)], _ body: (SafetensorsFile) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/model.safetensors"
            try SafetensorsFile.write(tensors, to: path)
            try body(try SafetensorsFile(path: path))
        }
    }

    private func normal(_ shape: [Int], _ seed: UInt64) -> Tensor {
        .normal(shape, generator: Generator(seed: seed))
    }

    @Test func initialValuesDependOnSeedAndNameAlone() throws {
        let (one, two, other) = (
            ParameterStore(seed: 5), ParameterStore(seed: 5), ParameterStore(seed: 6)
        )
        _ = try Linear(4, 3, in: one.scope["a"])
        _ = try Linear(4, 3, in: one.scope["b"])
        _ = try Linear(4, 3, in: two.scope["b"])
        _ = try Linear(4, 3, in: two.scope["a"])
        _ = try Linear(4, 3, in: other.scope["a"])
        #expect(one.names == ["a.bias", "a.weight", "b.bias", "b.weight"])
        for name in one.names { #expect(one[name]?.bytes() == two[name]?.bytes()) }
        #expect(one["a.weight"]?.bytes() != one["b.weight"]?.bytes())
        #expect(one["a.weight"]?.bytes() != other["a.weight"]?.bytes())
        #expect(one.count(under: "a") == 15 && one.count() == 30)
    }

    @Test func nameSeedsAreFixedForever() {
        // Changing these would change every run that starts from a seed.
        #expect(
            seed(for: "vision.patch.weight", run: 7) == seed(for: "vision.patch.weight", run: 7))
        #expect(seed(for: "", run: 0) == 0xF52A_15E9_A9B5_E89B)
        #expect(seed(for: "a", run: 1) != seed(for: "b", run: 1))
        #expect(seed(for: "a", run: 1) != seed(for: "a", run: 2))
    }

    @Test func initialValuesHaveTheirDistribution() throws {
        let scope = ParameterStore(seed: 1).scope
        let normal = try scope.parameter("n", shape: [100, 100], initial: .normal(deviation: 0.02))
        #expect(abs(normal.variance(axis: 0).mean().item().squareRoot() - 0.02) < 1e-3)
        let even = try scope.parameter("f", shape: [100, 25, 4], initial: .fanIn)
        #expect(even.abs().max().item() <= 0.1 && even.abs().max().item() > 0.099)
        #expect(abs(even.mean().item()) < 0.003)
        #expect(try scope.parameter("o", shape: [2], initial: .ones).floats() == [1, 1])
        #expect(try scope.parameter("c", shape: [2], initial: .constant(3)).floats() == [3, 3])
        let table = try scope.parameter("t", shape: [3], initial: .tensor { Tensor.arange(3) })
        #expect(table.floats() == [0, 1, 2])
        #expect(throws: ParameterError.self) {
            try scope.parameter("bad", shape: [2], initial: .tensor { Tensor.arange(3) })
        }
    }

    @Test(arguments: [DType.float32, .float16, .bfloat16, .float64], [DType.float32, .bfloat16])
    func filesOfEveryPrecisionAreCast(_ stored: DType, _ wanted: DType) throws {
        let values = normal([4, 3], 1).to(stored)
        try file([("x.weight", values)]) { file in
            let store = ParameterStore(dtype: wanted, seed: 0)
            try store.load([file], prefix: "part")
            let weight = try store.scope["part"]["x"].parameter(
                "weight", shape: [4, 3], initial: .zeros)
            #expect(weight.dtype == wanted)
            #expect(weight.bytes() == values.to(wanted).bytes())
            try store.checkComplete()
            #expect(store.sources == ["part.x.weight": file.path])
        }
    }

    @Test func aMissingNameIsReportedWithTheNearest() throws {
        try file([("layers.0.q_proj.weight", .zeros([2])), ("norm.weight", .zeros([2]))]) { file in
            let store = ParameterStore(seed: 0)
            try store.load([file], prefix: "language.")
            let error = ParameterError.missing(
                name: "language.layers.0.q_prj.weight", source: file.path,
                nearest: "language.layers.0.q_proj.weight")
            #expect(throws: error) {
                try store.scope["language"]["layers"][0]["q_prj"].parameter(
                    "weight", shape: [2], initial: .zeros)
            }
            #expect("\(error)".contains("language.layers.0.q_proj.weight"))
            // Outside of what the checkpoint covers, initial values are used.
            #expect(try store.scope["head"].parameter("w", shape: [1], initial: .ones).item() == 1)
        }
    }

    @Test func misshapenDuplicateAndUnclaimedNamesAreErrors() throws {
        try file([("a", .zeros([2, 3])), ("b", .zeros([2])), ("ids", .arange(3))]) { file in
            let store = ParameterStore(seed: 0)
            try store.load([file])
            #expect(
                throws: ParameterError.misshapen(
                    name: "a", source: file.path, found: [2, 3], expected: [3, 2])
            ) { try store.scope.parameter("a", shape: [3, 2], initial: .zeros) }
            #expect(
                throws: ParameterError.wrongType(name: "ids", source: file.path, dtype: "int64")
            ) {
                try store.scope.parameter("ids", shape: [3], initial: .zeros)
            }
            _ = try store.scope.parameter("a", shape: [2, 3], initial: .zeros)
            #expect(throws: ParameterError.duplicate(name: "a", source: file.path)) {
                try store.scope.parameter("a", shape: [2, 3], initial: .zeros)
            }
            #expect(throws: ParameterError.duplicate(name: "ids", source: file.path)) {
                try store.load([file])
            }
            #expect(
                throws: ParameterError.unclaimed(
                    names: ["b", "ids"], source: file.path, nearest: "a")
            ) { try store.checkComplete() }
            store.ignore(["i*s", "b"])
            try store.checkComplete()
        }
    }

    @Test func loadingRenamesIgnoresAndLeavesOptionalNamesToTheirInitialValues() throws {
        let tensors: [(String, Tensor)] = [
            ("model.x", normal([2], 1)), ("other.y", .zeros([2])),
            ("model.rotary_emb.inv_freq", .zeros([2])),
        ]
        try file(tensors) { file in
            let store = ParameterStore(seed: 0)
            try store.load(
                [file], prefix: "m",
                renaming: { $0.hasPrefix("model.") ? String($0.dropFirst(6)) : nil },
                ignoring: ["*.inv_freq"], optional: ["m.lora.*"])
            let x = try store.scope["m"].parameter("x", shape: [2], initial: .zeros)
            #expect(x.floats() == tensors[0].1.floats())
            #expect(
                try store.scope["m"]["lora"].parameter("a", shape: [1], initial: .ones).item() == 1)
            #expect(store.scope["m"]["rotary_emb"].offers("inv_freq"))
            try store.checkComplete()
        }
    }

    @Test func offersMayBeMadeFromOtherLayouts() throws {
        let store = ParameterStore(seed: 0)
        let fused = Tensor.arange(6, dtype: .float32).reshaped([3, 2])
        for (index, name) in ["q", "k", "v"].enumerated() {
            try store.offer(name, fused[index])
        }
        store.cover("", source: "fused")
        #expect(try store.scope.parameter("k", shape: [2], initial: .zeros).floats() == [2, 3])
        #expect(throws: ParameterError.self) { try store.checkComplete() }
    }

    @Test func tiedWeightsAreOneTensorUnderTwoNames() throws {
        try file([("embed.weight", normal([3, 2], 1)), ("head.weight", normal([3, 2], 2))]) {
            file in
            let store = ParameterStore(seed: 0)
            try store.load([file])
            let embedding = try Embedding(3, 2, in: store.scope["embed"])
            let head = try store.scope["head"].tied("weight", to: "embed.weight")
            #expect(head === embedding.weight && store["head.weight"] === head)
            #expect(store.names == ["embed.weight"])
            try store.checkComplete()
            #expect(throws: ParameterError.unknownTie(name: "z", target: "y")) {
                try store.scope.tied("z", to: "y")
            }
            store.train(["embed"])
            (embedding(Tensor([0], shape: [1])).sum() + Tensor.ones([1, 2]).linear(head).sum())
                .backward()
            #expect(try #require(head.gradient).floats() == [2, 2, 1, 1, 1, 1])
        }
    }

    @Test func trainingSelectsExactlyTheStatedPrefixes() throws {
        let store = ParameterStore(seed: 0)
        for name in ["vision", "visionary", "head"] { _ = try Linear(2, 2, in: store.scope[name]) }
        _ = try store.scope["vision"].buffer("positions", shape: [2], initial: .zeros)
        #expect(store.train(["vision", "head.bias", "nothing"]) == ["nothing"])
        #expect(store.trainable.map(\.name) == ["head.bias", "vision.bias", "vision.weight"])
        let late = try Linear(2, 2, in: store.scope["vision"]["late"])
        #expect(late.weight.requiresGradient)
        #expect(store.train([]) == [] && store.trainable.isEmpty)
        #expect(store.train([""]) == [] && store.trainable.count == store.names.count - 1)
    }

    @Test func aFrozenTensorIsUnchangedByAStep() throws {
        let store = ParameterStore(seed: 3)
        let (a, b) = (
            try Linear(3, 3, in: store.scope["a"]), try Linear(3, 2, in: store.scope["b"])
        )
        store.train(["b"])
        let before = store.tensors().map { $0.tensor.bytes() }
        b(a(normal([4, 3], 2))).square().sum().backward()
        AdamW(groups: [
            ParameterGroup(name: "b", parameters: store.trainable, rate: 0.1, decay: 0.1)
        ])
        .step()
        let after = store.tensors().map { $0.tensor.bytes() }
        #expect(zip(before, after).map(==) == [true, true, false, false])
        store.clearGradients()
        #expect(store.trainable.allSatisfy { $0.tensor.gradient == nil })
    }

    @Test func savingAPrefixLoadsBackEqual() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/part.safetensors"
            let store = ParameterStore(dtype: .bfloat16, seed: 3)
            _ = try Linear(3, 2, in: store.scope["part"]["x"])
            _ = try Linear(3, 2, in: store.scope["other"])
            try store.save(to: path, prefix: "part", renaming: { "model." + $0 })
            let file = try SafetensorsFile(path: path)
            #expect(file.names.sorted() == ["model.x.bias", "model.x.weight"])
            let second = ParameterStore(dtype: .bfloat16, seed: 99)
            try second.load([file], prefix: "part", renaming: { String($0.dropFirst(6)) })
            _ = try Linear(3, 2, in: second.scope["part"]["x"])
            try second.checkComplete()
            for (name, tensor) in second.tensors() {
                #expect(store[name]?.bytes() == tensor.bytes())
            }
            try store.save(to: path, prefix: "part.", dtype: .float32)
            #expect(try SafetensorsFile(path: path).dtype(of: "x.bias") == .float32)
        }
    }

    @Test func patternsMatchWholeNames() {
        #expect(NamePattern("a.*.b").matches("a.x.y.b") && !NamePattern("a.*.b").matches("a.b"))
        #expect(NamePattern("*").matches("") && NamePattern("x").matches("x"))
        #expect(!NamePattern("x").matches("xy") && NamePattern("*x*y*").matches("axbyc"))
        #expect(!NamePattern("*x*x*").matches("axb") && NamePattern("ab*b").matches("abb"))
        #expect(!NamePattern("ab*b").matches("ab"))
    }

    @Test func layersComputeWhatTheirNamesSay() throws {
        let scope = ParameterStore(seed: 8).scope
        let x = normal([2, 6], 1)
        let linear = try Linear(6, 3, in: scope["linear"])
        expectClose(
            linear(x), x.matmul(linear.weight.transposed(0, 1)) + (try #require(linear.bias)),
            absolute: 1e-6)
        let conv = try Conv2d(2, 3, kernel: 2, stride: 2, bias: false, in: scope["conv"])
        let picture = normal([1, 2, 4, 6], 2)
        #expect(conv(picture).shape == [1, 3, 2, 3] && conv.bias == nil)
        let patch = picture[0, .all, 0..<2, 2..<4].flattened().matmul(conv.weight[1].flattened())
        expectClose(conv(picture)[0, 1, 0, 1], patch, absolute: 1e-6)
        #expect(try RMSNorm(6, epsilon: 1e-6, in: scope["rms"])(x).shape == [2, 6])
        let plain = try LayerNorm(6, epsilon: 1e-5, affine: false, in: scope["plain"])
        #expect(plain.weight == nil && abs(plain(x).mean().item()) < 1e-6)
        #expect(try GroupNorm(2, 6, epsilon: 1e-6, in: scope["group"])(x).shape == [2, 6])
        let table = try Embedding(5, 4, in: scope["table"])
        #expect(table(Tensor([3], shape: [1])).floats() == table.weight[3].floats())
    }
}

@Suite struct ShapesAloneStoreTests {
    private func files(_ body: (SafetensorsFile) throws -> Void) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/model.safetensors"
            try SafetensorsFile.write(
                [
                    ("weight", .ones([3, 4], dtype: .float16)), ("bias", .ones([2])),
                    ("extra", .ones([1])),
                ], to: path)
            try body(try SafetensorsFile(path: path))
        }
    }

    @Test func namesShapesAndTypesWithoutValues() throws {
        let store = ParameterStore(dtype: .bfloat16, device: .meta, seed: 1)
        let layer = try Linear(1 << 20, 1 << 20, in: store.scope["huge"])  // 2 TB, were it real
        #expect(layer.weight.shape == [1 << 20, 1 << 20] && layer.weight.dtype == .bfloat16)
        #expect("\(layer.weight)" == "Tensor([1048576, 1048576], bfloat16, meta)")
        store.train(["huge.weight"])
        #expect(store.trainable.map(\.name) == ["huge.weight"])
        let optimizer = AdamW(groups: [
            ParameterGroup(name: "all", parameters: store.trainable, rate: 1, decay: 0)
        ])
        // What makes the master of the weight, two moments in fp32, and a counter.
        #expect(optimizer.state.reduce(0) { $0 + $1.1.byteCount } == (10 << 40) + 8)
    }

    /// What is held keeps its values; what is frozen is not copied for that.
    @Test func aHeldStoreIsSavedAsItWas() throws {
        try withTemporaryFolder { folder in
            let file = folder + "/a.safetensors"
            let store = ParameterStore(seed: 1)
            let layer = try Linear(3, 2, in: store.scope["layer"])
            store.train(["layer.weight"])
            let before = layer.weight.floats()
            let held = HeldValues()
            let saved = store.saved(holding: held)
            held.settle()
            #expect(held.copiedBytes == 24)
            layer.weight.detached().fill(7)
            try held.writing { try saved.save(to: file) }
            let read = try SafetensorsFile(path: file)
            #expect(try read.tensor("layer.weight").floats() == before)
            #expect(try read.tensor("layer.bias").bytes() == layer.bias?.bytes())
        }
    }

    @Test func everyFaultIsCollected() throws {
        try files { file in
            let store = ParameterStore(collectingFaultsAs: .float32)
            try store.load([file])
            _ = try Linear(4, 3, in: store.scope)
            _ = try store.scope.parameter("scale", shape: [1], initial: .ones)
            try store.checkComplete()
            let texts = store.faults.map { "\($0)" }
            #expect(texts.count == 3)
            #expect(texts[0].contains("\"bias\" has shape [2], the model needs [3]"))
            #expect(texts[1].contains("no tensor for the parameter \"scale\""))
            #expect(texts[2].contains("no parameter for \"extra\""))
            #expect(store.storedType(of: "weight") == .float16)
            #expect(try store.storedTensor("weight")?.floats() == Array(repeating: 1, count: 12))
            #expect(store.storedType(of: "scale") == nil)
        }
    }

    @Test func withoutCollectingTheFirstFaultThrows() throws {
        try files { file in
            let store = ParameterStore(device: .meta, seed: 1)
            try store.load([file])
            #expect(throws: ParameterError.self) { try Linear(4, 3, in: store.scope) }
        }
    }
}
