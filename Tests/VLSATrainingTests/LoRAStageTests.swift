import Foundation
import Testing
import Torch
import VLSA

@testable import VLSATraining

private struct Crash: Error {}

private final class Crasher: TrainingObserver {
    typealias Model = VLSAModel
    func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws {
        if report.step == 3 { throw Crash() }
    }
}

private let quiet = RunOptions(resume: true, progress: .silent, watchesSignals: false)

@Suite struct LoRAStageTests {
    private let overrides = [
        "lora={rank: 2, alpha: 4, dropout: 0.2, targets: [language.*.q_proj, v_proj]}",
        "train=[projector]", "optimizer.rates={language: 5e-3}", "steps=4",
        "gradientCheckpointing=[language]", "batch={samples: 3, packed: true, tokens: 90}",
    ]

    /// Adapters, dropout, packing and checkpointing together: crashed and resumed to the bit, the base untouched.
    @Test func aStageTrainsAdaptersAndResumesToTheBit() throws {
        let files = try StageFiles()
        let plan = try files.plan(overrides)
        #expect(try StrictYAML(text: plan.yaml(), file: "plan").decode() == plan)
        _ = try trainStage(plan, run: files.path + "/whole", options: quiet)
        #expect(throws: Crash.self) {
            try trainStage(
                plan, run: files.path + "/broken", options: quiet, observers: [Crasher()])
        }
        _ = try trainStage(plan, run: files.path + "/broken", options: quiet)
        let whole = try files.expectSameModel("/whole", "/broken")

        let adapters = "adapters/language/adapter_model.safetensors"
        #expect(whole[adapters] != nil)
        let base = try SafetensorsFile(path: files.path + "/language/model.safetensors")
        let trained = try SafetensorsFile(
            path: files.path + "/whole/model/language/model.safetensors")
        #expect(base.names.sorted() == trained.names.sorted())
        for name in base.names {
            #expect(try base.tensor(name).bytes() == trained.tensor(name).bytes(), "\(name)")
        }
        let table = try String(contentsOfFile: files.path + "/whole/trainable.txt", encoding: .utf8)
        #expect(table.contains("language lora") && table.contains("0.005"), "\(table)")

        // Trained on by the next stage.
        _ = try trainStage(
            try files.plan(["model=\(files.path)/whole/model"] + overrides),
            run: files.path + "/next", options: quiet)
        let next = try files.contents("/next/model")
        #expect(next.keys.sorted() == whole.keys.sorted())
        let changed = next.keys.filter { next[$0] != whole[$0] }.sorted()
        // `v_proj` alone names the tower's layers too.
        let vision = "adapters/vision/adapter_model.safetensors"
        #expect(changed == [adapters, vision, "model.safetensors"])
    }

    @Test(arguments: [
        (["lora.rank=0"], "rank"), (["lora.dropout=1"], "dropout"),
        (["lora.targets=[]"], "targets"),
        (["lora.targts=[q_proj]"], "targets"),
        (["lora.targets=[q_prj]"], "model: lora.targets: no linear layer matches \"q_prj\""),
        (
            ["train=[language]"],
            "lora: language.model.layers.0.self_attn.q_proj gets an adapter, but train:"
        ),
        (["optimizer.rates={denoiser: 1}"], "optimizer.rates: nothing that is trained"),
        (["batch={samples: 3, tokens: 90}"], "packed"),
        (["batch={samples: 3, micro: 2, packed: true, tokens: 90}"], "micro"),
        (["gradientCheckpointing=[lnguage]"], "language"),
    ])
    func wrongKeysAreFoundBeforeDataIsRead(_ changes: [String], expected: String) throws {
        let files = try StageFiles()
        try Data("[{".utf8).write(to: URL(fileURLWithPath: files.path + "/train.json"))
        let error = #expect(throws: (any Error).self) {
            try trainStage(
                try files.plan(overrides + changes), run: files.path + "/run", options: quiet)
        }
        #expect(error.map { "\($0)".contains(expected) } == true, "\(error as Any)")
        #expect((error as? any ExitCoded)?.exitCode == 64)
        #expect(!FileManager.default.fileExists(atPath: files.path + "/run"))
    }
}
