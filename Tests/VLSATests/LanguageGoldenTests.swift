import Foundation
import GoldenSupport
import Testing
import Torch
import TorchNN

@testable import VLSA

/// Decoders against the reference: hidden states, logits, masked loss, gradients, greedy text.
@Suite struct LanguageGoldenTests {
    static let families = GoldenFolder.families("llama", "qwen2", "mistral")

    private func open(_ fixture: GoldenFixture) throws -> (LanguageModel, ParameterStore) {
        let store = ParameterStore(seed: 1)
        let model = try fixture.folder().languageModel(into: store, at: "language")
        try store.checkComplete()
        return (model, store)
    }

    @Test("hidden states, logits, loss and gradients", arguments: GoldenFixture.forms(families))
    func matchesReference(_ fixture: GoldenFixture) throws {
        let (model, store) = try open(fixture)
        store.train(["language"])
        let golden = try fixture.values()
        let mask = try golden("in.attention_mask").to(.float32).unsqueezed(-1)
        let embeddings = model.embed(try golden("in.input_ids"))
        for (index, state) in model.hiddenStates(embeddings).enumerated()
        where golden.has("out.hidden_states.\(index)") {
            try golden.expect(state * mask, "out.hidden_states.\(index)")
        }
        let hidden = model(embeddings)
        try golden.expect(model.logits(hidden) * mask, "out.logits")
        let loss = model.loss(hidden, labels: try golden.rows("in.labels"))
        try golden.expectLoss(loss.mean, "out.loss")
        loss.mean.backward()
        try golden.expectGradients(in: store) { "language." + $0 }
    }

    @Test("greedy text with a cache", arguments: GoldenFixture.forms(families))
    func continuesAsTheReference(_ fixture: GoldenFixture) throws {
        let (model, _) = try open(fixture)
        let golden = try fixture.values()
        let expected = try golden.rows("out.gen.tokens")
        let prompt = model.embed(try golden("in.gen.input_ids"))
        let made = model.generate(prompt, limit: expected[0].count, stopIDs: [])
        try golden.expectEqual(made.flatMap { $0 }, "out.gen.tokens")
    }

    @Test("step by step logits, cached and not", arguments: families)
    func cacheChangesNothing(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (model, _) = try open(fixture)
        let golden = try fixture.values()
        let tokens = try golden.rows("out.gen.tokens")[0]
        let expected = try golden("out.gen.logits")
        var ids = try golden.rows("in.gen.input_ids")[0]
        let cache = KeyValueCache(room: 4)
        for (step, token) in tokens.enumerated() {
            let all = model.embed(Tensor(ids, shape: [1, ids.count]))
            let plain = model.logits(model(all)[.all, -1, .all])
            let new = step == 0 ? all : all.narrowed(axis: 1, start: ids.count - 1, length: 1)
            let cached = model.logits(model(new, cache: cache)[.all, -1, .all])
            let wanted = expected[.all, step, .all]
            golden.expect(plain, equals: wanted, "plain step \(step)")
            golden.expect(cached, equals: wanted, "cached step \(step)")
            ids.append(token)
        }
        #expect(cache.length == ids.count - 1)
    }

    @Test("a prompt in two pieces equals the whole", arguments: families)
    func continuesACachedPrompt(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (model, _) = try open(fixture)
        let ids = try fixture.values()("in.input_ids").narrowed(axis: 0, start: 0, length: 1)
        let embeddings = model.embed(ids)
        let whole = model(embeddings)
        let cache = KeyValueCache()
        let count = ids.shape[1]
        let first = model(embeddings.narrowed(axis: 1, start: 0, length: 5), cache: cache)
        let rest = model(
            embeddings.narrowed(axis: 1, start: 5, length: count - 5), cache: cache)
        expectClose(Tensor.concatenated([first, rest], axis: 1), whole)
    }

    @Test("prompts padded on the left", arguments: families)
    func takesPaddingInFront(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (model, _) = try open(fixture)
        let golden = try fixture.values()
        let pads = try golden.rows("in.gen_batch.attention_mask").map { row in
            row.prefix { $0 == 0 }.count
        }
        let expected = try golden.rows("out.gen_batch.tokens")
        let made = model.generate(
            model.embed(try golden("in.gen_batch.input_ids")), layout: .leftPadded(pads),
            limit: expected[0].count, stopIDs: [])
        try golden.expectEqual(made.flatMap { $0 }, "out.gen_batch.tokens")
    }

    @Test(
        "stop tokens of generation_config.json",
        arguments: families.holding("out.gen_eos.tokens"))
    func stopsAtAnyStopToken(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (model, _) = try open(fixture)
        let golden = try fixture.values()
        let generation = try fixture.folder().generation()
        let limit = try golden.rows("out.gen.tokens")[0].count
        var streamed: [Int] = []
        let made = model.generate(
            model.embed(try golden("in.gen.input_ids")), limit: limit,
            stopIDs: Set(generation.stopIDs),
            onToken: { _, id in
                streamed.append(id)
                return true
            })
        try golden.expectEqual(made.flatMap { $0 }, "out.gen_eos.tokens")
        #expect(streamed == made[0])
    }

    @Test("packed sequences equal single ones", arguments: families)
    func packedEqualsSingle(_ family: String) throws {
        let fixture = GoldenFixture(family)
        let (model, _) = try open(fixture)
        let ids = try fixture.values()("in.input_ids")
        let lengths = [9, 3, ids.shape[1]]
        let pieces = lengths.map { length in
            model.embed(ids.narrowed(axis: 0, start: 0, length: 1))
                .narrowed(axis: 1, start: 0, length: length)
        }
        let packed = model(Tensor.concatenated(pieces, axis: 1), layout: .packed(lengths))
        let single = Tensor.concatenated(pieces.map { model($0) }, axis: 1)
        expectClose(packed, single, within: 1e-5)
    }

    @Test(
        "both forms of the configuration say the same",
        arguments: families.filter { GoldenFixture.forms([$0]).count == 2 })
    func readsBothForms(_ family: String) throws {
        let five = try GoldenFixture(family, .five).folder()
            .configuration(LanguageConfiguration.self)
        let four = try GoldenFixture(family, .four).folder()
            .configuration(LanguageConfiguration.self)
        #expect(five == four)
    }

    @Test("saved and loaded", arguments: families)
    func roundTrips(_ family: String) throws {
        let (model, store) = try open(GoldenFixture(family))
        let folder = try TemporaryFolder.make()
        try saveFolder(model.configuration, part: "language", of: store, to: folder)
        let again = ParameterStore(seed: 5)
        let loaded = try CheckpointFolder(folder).languageModel(into: again, at: "language")
        try again.checkComplete()
        #expect(loaded.configuration == model.configuration)
        let ids = try GoldenFixture(family).values()("in.input_ids")
        expectClose(loaded(loaded.embed(ids)), model(model.embed(ids)), within: 0)
    }

    @Test(
        "rotary tables of the real configurations",
        arguments: try RotaryCase.all().keys.sorted())
    func rotaryTables(_ name: String) throws {
        let golden = try GoldenFixture("rope").values()
        let cases = try RotaryCase.all()
        let configuration = try #require(cases[name])
        let table = RotaryTable(
            headWidth: configuration.headWidth, theta: configuration.theta,
            scaling: configuration.scaling)
        let expected = try golden("\(name).out.inv_freq")
        golden.expect(
            table.frequencies / expected, equals: expected.onesLike(), "\(name) frequencies",
            within: 1e-6)
        let (cosines, sines) = table(positions: try golden("\(name).in.positions"))
        try golden.expect(cosines.squeezed(1), "\(name).out.cos")
        try golden.expect(sines.squeezed(1), "\(name).out.sin")
        try golden.expect(
            applyRotary(try golden("\(name).in.q"), cosines, sines), "\(name).out.q_rotated")
    }

    @Test("filters of sampling", .enabled(if: GoldenFolder.contains("sampling")))
    func samplingFilters() throws {
        let golden = try GoldenFixture("sampling").values()
        let logits = try golden("in.logits")
        let history = try golden.rows("in.input_ids")
        let width = logits.shape[1]
        for name in golden.names(matching: /(.+)\.out\.probabilities/) {
            let sampler = try Self.sampler(name)
            let expected = try golden("\(name).out.probabilities")
            let made = (0..<logits.shape[0]).flatMap { row in
                sampler.probabilities(logits[row, .all].floats(), history: history[row])
            }
            golden.expect(
                Tensor(made.map(Float.init), shape: [made.count / width, width]),
                equals: expected, name, within: 1e-5)
            try golden.expectEqual(made.map { $0 > 0 ? 1 : 0 }, "\(name).out.kept")
        }
    }

    /// The filters that a name such as `repetition1.2_top_k10` lists.
    private static func sampler(_ name: String) throws -> TokenSampler {
        var sampler = TokenSampler(generator: nil)
        for filter in name.matches(of: /([a-z_]+?)([0-9.]+)/) {
            let value = try #require(Double(filter.2))
            switch filter.1.drop(while: { $0 == "_" }) {
            case "temperature": sampler.temperature = value
            case "top_k": sampler.topK = Int(value)
            case "top_p": sampler.topP = value
            case "min_p": sampler.minP = value
            case "repetition": sampler.repetitionPenalty = value
            default: Issue.record("no sampling filter is called \(filter.1)")
            }
        }
        return sampler
    }

    @Test func drawsFollowTheSeed() {
        let logits = Tensor.normal([2, 12], generator: Generator(seed: 4))
        func draw(_ seed: UInt64) -> [[Int]] {
            let sampler = TokenSampler(temperature: 2, generator: Generator(seed: seed))
            return (0..<20).map { _ in sampler(logits, history: [[], []]) }
        }
        #expect(draw(1) == draw(1))
        #expect(draw(1) != draw(2))
    }
}

/// A case of `rope/cases.json`, read as a decoder's configuration.
private enum RotaryCase {
    static func all() throws -> [String: LanguageConfiguration] {
        struct Case: Decodable {
            let configuration: LanguageConfiguration

            init(from decoder: any Decoder) throws {
                configuration = try LanguageConfiguration(from: decoder)
            }
        }
        let path = GoldenFolder.path + "/rope/cases.json"
        guard let data = FileManager.default.contents(atPath: path) else { return [:] }
        return try JSONDecoder().decode([String: Case].self, from: data).mapValues(\.configuration)
    }
}
