import Foundation
import Testing

@testable import VLSATraining

struct TinySections: Codable, Equatable, Sendable {
    struct Picture: Codable, Equatable, Sendable { var tile: Int }
    var picture: Picture?
}

private typealias Plan = StagePlan<TinySections>

private let example = """
    name: tiny
    seed: 18446744073709551615
    dtype: bfloat16
    model:
      vision: ../vision
      language: /abs/language
    data:
      records: [train.json, {path: more.jsonl, sampling: "random:50%"}]
      images: images
      validation: held.json
    picture: {tile: 112}
    train: [perceiver, language.model]
    optimizer: {rate: 1e-3, rates: {language: 2e-5, language.model.layers.0: 1e-6}, decay: 0.1}
    batch: {samples: 16, micro: 4}
    epochs: 0.5
    """

private func plan(_ text: String, _ overrides: [String] = []) throws -> Plan {
    try StrictYAML(text: text, file: "s.yaml", folder: "/stages", overrides: overrides).decode()
}

@Suite struct StagePlanTests {
    @Test func readsAndResolves() throws {
        let plan = try plan(example)
        #expect(plan.seed == .max)
        #expect(
            plan.model
                == .parts(
                    PartPaths(vision: PlanPath("/vision"), language: PlanPath("/abs/language"))))
        #expect(
            plan.data?.records == [
                RecordSource(path: PlanPath("/stages/train.json")),
                RecordSource(path: PlanPath("/stages/more.jsonl"), strategy: .random(.percent(50))),
            ])
        #expect(plan.data?.validation == [RecordSource(path: PlanPath("/stages/held.json"))])
        #expect(plan.sections.picture?.tile == 112)
        #expect(plan.schedule == SchedulePlan(kind: .cosine, warmup: 0.03))
        #expect(plan.loop.steps(examples: 100) == 4)
    }

    @Test func theResolvedPlanReadsBackEqual() throws {
        var texts = [example, example + "\n"]
        texts.append(
            example.replacingOccurrences(of: "epochs: 0.5", with: "steps: 7")
                .replacingOccurrences(of: "name: tiny", with: "name: 'true: [x'"))
        for text in texts {
            let first = try plan(text)
            let again = try plan(try first.yaml())
            #expect(again == first)
            #expect(try again.yaml() == first.yaml())
            #expect(try first.yaml().contains("  rate: 0.001\n"))
        }
    }

    @Test func aFolderMayStandForTheModel() throws {
        let text = example.replacingOccurrences(
            of: "model:\n  vision: ../vision\n  language: /abs/language",
            with: "model: ../runs/a/model")
        #expect(try plan(text).model == .folder(PlanPath("/runs/a/model")))
    }

    @Test func ratesAndDecaysGoByTheLongestPrefix() throws {
        let optimizer = try plan(example).optimizer
        #expect(optimizer.rate(of: "perceiver.norm.weight") == 1e-3)
        #expect(optimizer.rate(of: "language.model.norm.weight") == 2e-5)
        #expect(optimizer.rate(of: "language.model.layers.0.weight") == 1e-6)
        #expect(optimizer.rate(of: "language.model.layers.01.weight") == 2e-5)
        #expect(optimizer.decay(of: "perceiver.q.weight", rank: 2) == 0.1)
        #expect(optimizer.decay(of: "perceiver.q.bias", rank: 1) == 0)
    }

    @Test func warmupIsAShareOrANumberOfSteps() {
        #expect(SchedulePlan(warmup: 0.03).warmupSteps(of: 101) == 4)
        #expect(SchedulePlan(warmup: 5).warmupSteps(of: 100) == 5)
        #expect(SchedulePlan(warmup: 500).warmupSteps(of: 100) == 100)
        #expect(SchedulePlan(warmup: 0).warmupSteps(of: 100) == 0)
    }

    @Test(arguments: [
        (["steps=3"], "\"epochs\": stands beside steps; write one of the two"),
        (["train=[]"], "\"train\": names no part, so nothing would be trained"),
        (["train=[perceiver, perceiver]"], "\"train\": names a part twice"),
        (["batch.micro=17"], "\"batch.micro\": must lie between 1 and samples (16)"),
        (["optimizer.betas=[0.9]"], "\"optimizer.betas\": must be two numbers"),
        (["optimizer.rates.denoiser=1"], "rates names \"denoiser\", which is not trained"),
        (["device=gpu"], "\"device\": must be cpu, cuda or cuda:N"),
        (["dtype=float8"], "\"float8\" is none of float32, bfloat16, float16"),
        (["schedule.kind=cosin"], "did you mean \"cosine\"?"),
        (["data.records=[{sampling: all}]"], "the key \"data.records.0.path\" is missing"),
        (["data.records=[{path: a, sampling: half}]"], "\"data.records.0.sampling\": must be all"),
        (["data.workers=0"], "\"data.workers\": must lie between 1 and 256"),
        (["model.vison=x"], "unknown key \"model.vison\"; did you mean \"vision\"?"),
        (["picture.til=3"], "unknown key \"picture.til\"; did you mean \"tile\"?"),
        (["optimiser.rate=3"], "unknown key \"optimiser\"; did you mean \"optimizer\"?"),
        (["log.every=0"], "\"log.every\": must be 1 or more"),
    ])
    func mistakesAreFoundWhileReading(overrides: [String], expected: String) {
        let error = #expect(throws: StrictYAMLError.self) { try plan(example, overrides) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.contains(expected), "\(text)")
        #expect(error?.exitCode == 64)
    }

    @Test func missingFilesAreNamedByKey() throws {
        let error = #expect(throws: PlanError.self) { try plan(example).checkPaths() }
        #expect(error == .missingFile(key: "model.vision", path: "/vision"))
    }
}
