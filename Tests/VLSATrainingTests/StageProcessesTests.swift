import Foundation
import GoldenSupport
import Testing
import VLSA

@testable import VLSATraining

/// Whole stages by two processes: files, pictures, augmentation, both losses.
@Suite struct StageProcessesTests {
    private struct Line: Decodable {
        let kind: String
        let step: Int
        let loss: Double
        let text: Double
        let visual: Double?
        let gradientNorm: Double?
        let samples: Double?

        enum CodingKeys: String, CodingKey {
            case kind, step, loss, gradientNorm, samples
            case text = "loss/text"
            case visual = "loss/visual"
        }

        var numbers: [Double] {
            [Double(step), loss, text, visual ?? 0, gradientNorm ?? 0, samples ?? 0]
        }
    }

    private func lines(_ run: String) throws -> [Line] {
        let text = try String(contentsOfFile: run + "/metrics.jsonl", encoding: .utf8)
        return try text.split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }
    }

    private func trainInTwo(_ path: String, _ overrides: [String], run: String) async {
        let port = freePort()
        await withTaskGroup(of: Void.self) { group in
            for rank in 0..<2 {
                group.addTask {
                    await #expect(processExitsWith: .success) {
                        [
                            path = path as String, overrides = overrides as [String],
                            run = run as String, rank = rank as Int, port = port as UInt16
                        ] in
                        let launch = try ProcessLaunch(environment(rank: rank, size: 2, port: port))
                        let options = RunOptions(
                            resume: true, progress: .silent, watchesSignals: false, launch: launch)
                        _ = try trainStage(
                            try StageFiles.plan(at: path, overrides), run: run, options: options)
                    }
                }
            }
        }
    }

    /// Losses, norms and rejected records of a stage by two processes are those of one. One of eight records has
    /// a broken picture, two have none; samples are accumulated or packed, the weights fp32 or bf16, the
    /// adapters low-rank.
    @Test(arguments: [
        ["batch={samples: 4, micro: 1}"],
        ["batch={samples: 4, packed: true, tokens: 90}", "processes.zero=2"],
        [
            "batch={samples: 2}", "processes.zero=1",
            "train=[perceiver, projector, epigone, language]",
        ],
        ["batch={samples: 4, micro: 2}", "dtype=bfloat16", "processes.zero=2"],
        [
            "batch={samples: 4, packed: true}", "processes.zero=1", "objective.balance=uncertainty",
            "train=[perceiver, epigone, balance]", "lora={rank: 2, targets: [language.*.q_proj]}",
        ],
        // One sample each: a process with text alone beside one with a picture.
        ["ross", "batch={samples: 2}", "processes.zero=2"], ["asvr", "batch={samples: 2}"],
        ["asvr", "batch={samples: 4, packed: true}", "processes.zero=1"],
    ])
    func twoProcessesTrainAStageAsOne(overrides: [String]) async throws {
        let files = try StageFiles()
        let kind = ObjectiveKind(rawValue: overrides[0])
        let objective = kind.map { StageFiles.objective($0, at: files.path) } ?? []
        let overrides =
            objective + overrides.dropFirst(objective.isEmpty ? 0 : 1) + [
                "log={every: 1, pictures: 1}", "data.workers=2", "steps=4",
            ]
        let (one, two) = (files.path + "/one", files.path + "/two")
        await trainInTwo(files.path, overrides, run: two)
        _ = try trainStage(
            try files.plan(overrides), run: one,
            options: RunOptions(progress: .silent, watchesSignals: false))
        let (a, b) = (try lines(one), try lines(two))
        #expect(a.count == b.count && a.count == 6)
        let isHalf = overrides.contains("dtype=bfloat16")
        for (a, b) in zip(a, b) {
            #expect(a.kind == b.kind)
            let difference = zip(a.numbers, b.numbers).map { abs($0 - $1) }.max() ?? 1
            #expect(difference < (isHalf ? 0.02 : 1e-5), "\(a) \(b)")
        }
        func rejected(_ run: String) throws -> [Rejected] {
            try String(contentsOfFile: run + "/rejected.jsonl", encoding: .utf8)
                .split(separator: "\n").map {
                    try JSONDecoder().decode(Rejected.self, from: Data($0.utf8))
                }
        }
        #expect(try rejected(two) == rejected(one))
        #expect(try rejected(two).map(\.id) == ["r4"])
        // One set of pictures, drawn by the first process from all validation records.
        #expect(
            try AtomicFiles.files(beneath: two + "/pictures")
                == AtomicFiles.files(beneath: one + "/pictures"))
        let states = try [one, two].map { try RunFolder($0).checkpoints.load(step: 4) }
        #expect(states[0].position == states[1].position && states[0].samples == states[1].samples)
        #expect(states[0].tokens == states[1].tokens)
    }

    /// Both processes write and read one folder of latents, which changes nothing.
    @Test func twoProcessesShareALatentCache() async throws {
        let files = try StageFiles()
        let overrides = ["batch={samples: 4, micro: 1}", "log={every: 1, pictures: 0}", "steps=4"]
        let cache = "data.latentCache=\(files.path)/latent-cache"
        await trainInTwo(files.path, overrides, run: files.path + "/plain")
        for name in ["filled", "read"] {
            await trainInTwo(files.path, overrides + [cache], run: files.path + "/" + name)
            #expect(
                try files.contents("/\(name)/model") == files.contents("/plain/model"), "\(name)")
        }
        #expect(try AtomicFiles.files(beneath: files.path + "/latent-cache").count > 2)
    }

    private struct Rejected: Decodable, Equatable {
        let id: String
        let index: Int
        let kind: String
    }

    /// A stage of two processes is resumed by one, and the other way round, in the middle of an epoch.
    @Test func aStageMovesBetweenNumbersOfProcesses() async throws {
        let files = try StageFiles()
        let overrides = ["batch={samples: 2, micro: 1}", "processes.zero=1", "log.pictures=0"]
        let (one, moved) = (files.path + "/one", files.path + "/moved")
        let options = RunOptions(resume: true, progress: .silent, watchesSignals: false)
        _ = try trainStage(try files.plan(overrides + ["steps=6"]), run: one, options: options)
        #expect(throws: Stop.self) {
            try trainStage(
                try files.plan(overrides + ["steps=6"]), run: moved, options: options,
                observers: [Stopper(at: 3)])
        }
        await trainInTwo(files.path, overrides + ["steps=6"], run: moved)
        let (a, b) = (try lines(one), try lines(moved))
        #expect(a.count == b.count)
        for (a, b) in zip(a, b) {
            let difference = zip(a.numbers, b.numbers).map { abs($0 - $1) }.max() ?? 1
            #expect(difference < 1e-5, "\(a) \(b)")
        }
    }

    private struct Stop: Error {}

    private final class Stopper: TrainingObserver {
        typealias Model = VLSAModel
        let step: Int
        init(at step: Int) { self.step = step }
        func stepTaken(_ report: StepReport, of run: TrainingRun<VLSAModel>) throws {
            if report.step == step { throw Stop() }
        }
    }
}
