import Foundation
import Testing
import Torch

@testable import VLSATraining

/// Runs by two processes of the stand-in for a model.
@Suite struct ProcessesTests {
    /// A run like the job's by one process.
    private func single(_ job: LineJob, folder: String) throws -> [[Double]] {
        var steps: [[Double]] = []
        let run = try lineRun(
            folder, job.overrides, examples: job.data.examples, isShuffled: job.data.isShuffled)
        run.observers = [
            StepWatcher { report, _ in
                steps.append(
                    [
                        report.loss, report.gradientNorm, Double(report.samples),
                        Double(report.tokens),
                    ]
                        + report.losses.map(\.value))
            }
        ]
        _ = try run.train()
        return steps
    }

    private func largestDifference(_ a: [[Double]], _ b: [[Double]]) -> Double {
        guard a.count == b.count, a.count > 0 else { return .infinity }
        return zip(a, b).map { a, b in
            a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
        }.max() ?? 0
    }

    private func weights(_ run: String) throws -> [Float] {
        let file = try SafetensorsFile(path: run + "/model/model.safetensors")
        return try file.names.sorted().flatMap { try file.tensor($0).floats() }
    }

    /// Losses, norms and numbers of samples of two processes are those of one with the whole batch, to 1e-5 in
    /// fp32: accumulated, with unequal numbers of micro-batches, with either stage of ZeRO.
    @Test(arguments: [
        ["processes.zero=0"], ["processes.zero=1", "batch.micro=1"],
        ["processes.zero=2", "batch.micro=1"],
        ["processes.zero=2", "batch={samples: 6, packed: true, tokens: 5}"],
        ["processes.zero=0", "batch={samples: 6, packed: true, tokens: 4}"],
        ["processes.zero=1", "dtype=bfloat16", "batch.micro=1"],
        ["processes.zero=2", "dtype=bfloat16"],
        ["processes.zero=1", "dtype=float16", "optimizer.lossScale=1e9"],
    ])
    func twoTrainAsOne(overrides: [String]) async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path, overrides: ["batch={samples: 6, micro: 3}"] + overrides)
        let steps = try await job.start([.success, .success])
        let one = try single(job, folder: folder.path + "/single")
        let isHalf = overrides.contains { $0.hasPrefix("dtype=") }
        let difference = largestDifference(steps, one)
        #expect(steps.count == 12 && difference < (isHalf ? 0.02 : 1e-5), "\(difference)")
        // Both processes decide by the very same numbers.
        #expect(try job.steps(of: 1) == steps)
        let (a, b) = (try weights(job.run), try weights(folder.path + "/single"))
        let farthest = zip(a, b).map { abs($0 - $1) }.max() ?? 1
        #expect(a.count == b.count && farthest < (isHalf ? 0.02 : 1e-5), "\(farthest)")
        // Metrics are of both processes, and written once.
        let metrics = try String(contentsOfFile: job.run + "/metrics.jsonl", encoding: .utf8)
        let alone = try String(
            contentsOfFile: folder.path + "/single/metrics.jsonl", encoding: .utf8)
        #expect(metrics.split(separator: "\n").count == alone.split(separator: "\n").count)
        #expect(metrics.contains("\"samples\":72"))
        let names = try FileManager.default.contentsOfDirectory(atPath: job.run)
        #expect(names.filter { $0.hasPrefix("events.") }.count == 1)
        let versions = try String(contentsOfFile: job.run + "/versions.json", encoding: .utf8)
        #expect(versions.contains("\"processes\" : 2"))
    }

    /// One process has no pictures, or nothing at all, to learn from: parts without gradient count as zeros.
    @Test(arguments: [LineData.Oddness.textOnly, .empty], [0, 2])
    func aProcessMayHaveNothingToLearn(oddness: LineData.Oddness, zero: Int) async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path,
            overrides: ["batch={samples: 6, micro: 2}", "processes.zero=\(zero)"],
            data: .odd(oddness))
        let steps = try await job.start([.success, .success])
        let difference = largestDifference(
            steps, try single(job, folder: folder.path + "/single"))
        #expect(steps.count == 12 && difference < 1e-5, "\(difference)")
    }

    /// A loss that is not finite in one process stops both before the update.
    @Test(arguments: [0, 2])
    func aLossThatIsNotFiniteStopsBoth(zero: Int) async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path,
            overrides: [
                "batch={samples: 4, micro: 1}", "processes.zero=\(zero)", "checkpoint.every=1",
            ],
            data: .one(index: 9, .notFinite))
        try await job.start([.exitCode(1), .exitCode(1)])
        let steps = try job.steps(of: 0).count
        #expect(steps == (try job.steps(of: 1).count) && steps < 6)
        for rank in 0..<2 {
            #expect(job.message(of: rank).hasPrefix("the text loss is nan at step \(steps)"))
            #expect(job.message(of: rank).contains("line-9"))
        }
        let (state, problems) = RunFolder(job.run).checkpoints.newest()
        #expect(problems.isEmpty && state?.step ?? 0 == steps)
    }

    /// A spike in one process is left out in both, as one process would.
    @Test func aSpikeIsSkippedInBoth() async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path,
            overrides: [
                "batch={samples: 4, micro: 2}", "guard={action: skip, window: 2, factor: 8}",
                "processes.zero=1",
            ], data: .one(index: 9, .outlier))
        let steps = try await job.start([.success, .success])
        let difference = largestDifference(
            steps, try single(job, folder: folder.path + "/single"))
        #expect(difference < 1e-3, "\(difference)")  // of losses in the thousands
        let metrics = try String(contentsOfFile: job.run + "/metrics.jsonl", encoding: .utf8)
        #expect(metrics.contains("\"kind\":\"skipped\""))
    }

    /// Killed at any point, a process ends the other with a message; what was saved is whole, and the resumed run
    /// ends as one that was left in peace.
    @Test(arguments: [0, 1])
    func aKilledProcessEndsTheOther(victim: Int) async throws {
        let folder = try TemporaryFolder()
        let options = [
            "batch={samples: 4, micro: 2}", "processes.zero=2", "checkpoint.every=2",
            "processes.timeout=600",
        ]
        var job = LineJob(
            folder: folder.path, overrides: options, deed: .dies(rank: victim, step: 5))
        let killed = ExitTest.Condition.signal(SIGKILL)
        try await job.start(victim == 0 ? [killed, .exitCode(1)] : [.exitCode(1), killed])
        // At once, not after the time-out.
        #expect(job.waited(of: 1 - victim).map { $0 < 60 } == true)
        let message = job.message(of: 1 - victim)
        #expect(message.hasPrefix("process \(victim) of 2 ended"), "\(message)")
        #expect(message.contains("--resume"))
        let (state, problems) = RunFolder(job.run).checkpoints.newest()
        #expect(problems.isEmpty && [2, 4].contains(state?.step))
        job.deed = .none
        job.resume = true
        try await job.start([.success, .success])
        let peaceful = LineJob(folder: folder.path + "/whole", overrides: options)
        try FileManager.default.createDirectory(
            atPath: peaceful.folder, withIntermediateDirectories: false)
        try await peaceful.start([.success, .success])
        let found = try differences(job.run, peaceful.run)
        #expect(found == [])
    }

    @Test func aProcessThatHangsIsGivenUp() async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path, overrides: ["batch={samples: 4}", "processes.timeout=4"],
            deed: .sleeps(rank: 1, step: 3, seconds: 10))
        try await job.start([.exitCode(1), .exitCode(1)])
        #expect(job.message(of: 0).hasPrefix("process 1 of 2 ended, or did not answer within 4 s"))
    }

    /// A signal to one process saves and ends both; one process goes on, and then two again, and the end is as of
    /// one that was never stopped.
    @Test func checkpointsMoveBetweenNumbersOfProcesses() async throws {
        let folder = try TemporaryFolder()
        let options = ["batch={samples: 4, micro: 2}", "checkpoint.every=0"]
        var job = LineJob(
            folder: folder.path, overrides: options + ["processes.zero=2"],
            deed: .isAsked(rank: 1, step: 3))
        try await job.start([.exitCode(143), .exitCode(143)])
        #expect(RunFolder(job.run).checkpoints.steps() == [3])
        do {
            let run = try lineRun(
                job.run, options + ["checkpoint.every=2"], resume: true, examples: job.data.examples
            )
            #expect(run.step == 3)
            run.observers = [StepWatcher { report, _ in if report.step == 7 { throw Stop() } }]
            #expect(throws: Stop.self) { try run.train() }
        }
        #expect(RunFolder(job.run).checkpoints.steps().first == 6)
        job.overrides = options + ["processes.zero=1"]
        (job.deed, job.resume) = (.none, true)
        try await job.start([.success, .success])
        let whole = folder.path + "/single"
        _ = try single(LineJob(folder: folder.path, overrides: options), folder: whole)
        let farthest = zip(try weights(job.run), try weights(whole)).map { abs($0 - $1) }.max()
        #expect(farthest.map { $0 < 1e-5 } == true, "\(farthest as Any)")
    }

    /// What fails in one process, its own writing included, ends both with the reason.
    @Test(arguments: [Deed.fails(rank: 1, step: 2), .failsToSave])
    func aFailureOfOneEndsBoth(deed: Deed) async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path, overrides: ["batch={samples: 4}", "checkpoint.every=2"], deed: deed
        )
        try await job.start([.exitCode(1), .exitCode(1)])
        let messages = (0..<2).map(job.message)
        if case .failsToSave = deed {
            #expect(messages[0].hasPrefix("the checkpoint of step 2 was not saved"), "\(messages)")
            #expect(
                messages[1].hasPrefix("process 0 ended: the checkpoint of step 2"), "\(messages)")
        } else {
            #expect(messages[0].hasPrefix("process 1 ended: "), "\(messages)")
        }
        #expect(RunFolder(job.run).checkpoints.steps().isEmpty)
    }

    /// Refused in both before anything is begun, with the same exit code.
    @Test(arguments: [
        (["batch={samples: 5}"], "batch.samples: 5 samples a step cannot be shared out evenly"),
        (
            ["batch={samples: 4}", "train=[boddy]", "optimizer={rate: 1e-2}"],
            "train: \"boddy\" names no parameter"
        ),
    ])
    func wrongPlansAreRefusedInBoth(overrides: [String], expected: String) async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(folder: folder.path, overrides: overrides)
        try await job.start([.exitCode(64), .exitCode(64)])
        #expect(job.message(of: 0).hasPrefix(expected), "\(job.message(of: 0))")
        #expect(!FileManager.default.fileExists(atPath: job.run))
    }

    @Test func otherWeightsAreRefusedInBoth() async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(
            folder: folder.path, overrides: ["batch={samples: 4}"], deed: .differs(rank: 1))
        try await job.start([.exitCode(64), .exitCode(64)])
        #expect(job.message(of: 0).hasPrefix("model: process 1 begins with other weights"))
        #expect(!FileManager.default.fileExists(atPath: job.run))
    }

    @Test func aFolderThatHoldsARunIsRefusedInBoth() async throws {
        let folder = try TemporaryFolder()
        let job = LineJob(folder: folder.path, overrides: ["batch={samples: 4}", "steps=2"])
        try await job.start([.success, .success])
        try await job.start([.exitCode(64), .exitCode(64)])
        #expect(job.message(of: 0).contains("holds a run already"))
        #expect(job.message(of: 1).hasPrefix("process 0 ended: "))
    }

    private struct Stop: Error {}
}

@Suite struct ProcessLaunchTests {
    private let base = environment(rank: 1, size: 2, port: 29_500)

    @Test func theVariablesOfTorchrunAreRead() throws {
        let launch = try #require(try ProcessLaunch(base))
        #expect(
            launch.rank == 1 && launch.size == 2 && launch.localRank == 1 && launch.localSize == 2)
        #expect(launch.place.port == 29_500 && launch.place.isServedByFirst)
        let elastic = try #require(
            try ProcessLaunch(
                base.merging([
                    "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3",
                    "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "node0", "LOCAL_RANK": "0",
                ]) { $1 }))
        #expect(!elastic.place.isServedByFirst && elastic.place.attempt == "vlsa/3")
        #expect(elastic.localSize == 1 && elastic.localRank == 0)
        #expect(try ProcessLaunch([:]) == nil)
        #expect(try ProcessLaunch(["WORLD_SIZE": "1", "RANK": "0"]) == nil)
        #expect(try ProcessLaunch(["MASTER_ADDR": "node0"]) == nil)
    }

    @Test(arguments: [
        ("RANK", "", "RANK is not set"), ("WORLD_SIZE", "", "WORLD_SIZE is not set"),
        ("WORLD_SIZE", "two", "WORLD_SIZE is \"two\"; it must be a whole number from 1 on"),
        ("WORLD_SIZE", "0", "WORLD_SIZE is \"0\""), ("RANK", "2", "RANK is \"2\""),
        ("RANK", "-1", "RANK is \"-1\"; it must be a whole number from 0 to 1"),
        ("MASTER_ADDR", "", "MASTER_ADDR is not set"),
        ("MASTER_PORT", "", "MASTER_PORT is not set"),
        ("MASTER_PORT", "65536", "MASTER_PORT is \"65536\""),
        ("LOCAL_RANK", "x", "LOCAL_RANK is \"x\""), ("LOCAL_RANK", "", "LOCAL_RANK is not set"),
        ("LOCAL_WORLD_SIZE", "3", "LOCAL_WORLD_SIZE is \"3\""),
    ])
    func wrongVariablesAreNamed(name: String, value: String, expected: String) {
        let error = #expect(throws: ProcessLaunchError.self) {
            try ProcessLaunch(base.merging([name: value]) { $1 })
        }
        #expect(error?.description.hasPrefix(expected) == true, "\(error as Any)")
        #expect(error?.exitCode == 64)
    }
}
