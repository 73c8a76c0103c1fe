import Testing
import Torch

@testable import TorchNN

@Suite struct JoinedLinearTests {
    private func layers(_ store: ParameterStore, bias: Bool = true) throws -> [Linear] {
        try [("q", 5), ("k", 3), ("v", 3)].map { name, width in
            try Linear(4, width, bias: bias, in: store.scope["a"][name])
        }
    }

    private func input() -> Tensor {
        let x = Tensor.normal([2, 6, 4], generator: Generator(seed: 7))
        x.requiresGradient = true
        return x
    }

    /// One product gives what each layer gives alone, and so do its derivatives.
    @Test(arguments: [true, false])
    func equalsTheLayersAlone(bias: Bool) throws {
        let (alone, together) = (ParameterStore(seed: 1), ParameterStore(seed: 1))
        let separate = try layers(alone, bias: bias)
        let joined = JoinedLinear(try layers(together, bias: bias), in: together.scope)
        alone.train([""])
        together.train([""])
        #expect(Tensor.lieTogether(joined.layers.map(\.weight)))
        #expect(!Tensor.lieTogether(separate.map(\.weight)))
        let (x, y) = (input(), input())
        let (a, b) = (separate.map { $0(x) }, joined(y))
        func loss(_ outputs: [Tensor]) -> Tensor {
            outputs.map { $0.square().sum() }.reduce(Tensor(0)) { $0 + $1 }
        }
        for (a, b) in zip(a, b) { #expect((a - b).abs().max().item() < 1e-6) }
        loss(a).backward()
        loss(b).backward()
        for (name, tensor) in alone.tensors() {
            let expected = try #require(tensor.gradient)
            let found = try #require(together[name]?.gradient)
            #expect((expected - found).abs().max().item() < 1e-4, "\(name)")
        }
        let (dx, dy) = (try #require(x.gradient), try #require(y.gradient))
        #expect((dx - dy).abs().max().item() < 1e-4)
    }

    @Test func valuesStayWhenMemoryMoves() throws {
        let store = ParameterStore(seed: 1)
        _ = JoinedLinear(try layers(store), in: store.scope)
        let before = store.tensors().map { $0.tensor.floats() }
        store.train(["a"])
        #expect(store.tensors().map { $0.tensor.floats() } == before)
        #expect(store.saved(holding: HeldValues()).tensors().map { $0.tensor.floats() } == before)
    }

    /// A frozen layer among trained ones gets no derivative, and an update reaches each layer's own name.
    @Test func eachLayerIsFrozenByItself() throws {
        let store = ParameterStore(seed: 1)
        let joined = JoinedLinear(try layers(store), in: store.scope)
        store.train(["a.k"])
        joined(input()).map { $0.sum() }.reduce(Tensor(0)) { $0 + $1 }.backward()
        for (name, tensor) in store.tensors() {
            #expect((tensor.gradient != nil) == name.hasPrefix("a.k"), "\(name)")
        }
        let weight = try #require(store["a.k.weight"])
        let others = store.tensors().filter { !$0.name.hasPrefix("a.k") }
        let before = others.map { $0.tensor.floats() }
        weight.fill(2)
        let x = input().detached()
        let expected = x.sum(axis: -1, keepingAxis: true) * 2
        let bias = try #require(store["a.k.bias"])
        #expect((joined(x)[1] - bias - expected).abs().max().item() < 1e-5)
        #expect(others.map { $0.tensor.floats() } == before)
    }

    /// A model that only answers leaves its weights where they are, in a mapped file for instance.
    @Test func nothingMovesWithoutTraining() throws {
        let store = ParameterStore(seed: 1)
        let joined = JoinedLinear(try layers(store), in: store.scope)
        #expect(!Tensor.lieTogether(joined.layers.map(\.weight)))
        let x = input()
        for (layer, output) in zip(joined.layers, joined(x)) {
            #expect(layer(x).floats() == output.floats())
        }
    }

    @Test func adaptersAreAddedToTheirOwnLayer() throws {
        let store = ParameterStore(seed: 1)
        store.adapt(LoRAConfiguration(rank: 2, alpha: 4, targets: ["q"]))
        let joined = JoinedLinear(try layers(store), in: store.scope)
        try #require(store["a.q.lora_B.weight"]).fill(0.3)
        store.train([], adapters: true)
        let x = input()
        for (layer, output) in zip(joined.layers, joined(x)) {
            #expect((layer(x) - output).abs().max().item() < 1e-5)
        }
    }
}
