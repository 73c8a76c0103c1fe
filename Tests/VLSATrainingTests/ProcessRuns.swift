import Foundation
import GoldenSupport
import Testing
import Torch

@testable import VLSATraining

/// What one of several processes does to itself, once it has taken some steps.
enum Deed: Codable, Sendable {
    case none
    /// Is killed.
    case dies(rank: Int, step: Int)
    /// Gets a signal that asks it to end.
    case isAsked(rank: Int, step: Int)
    /// Takes longer than the time-out.
    case sleeps(rank: Int, step: Int, seconds: Double)
    /// Fails in an observer.
    case fails(rank: Int, step: Int)
    /// Cannot write the checkpoint.
    case failsToSave
    /// Begins with other weights.
    case differs(rank: Int)
}

/// Which examples processes train with.
enum LineData: Codable, Sendable {
    /// Some of everything, shuffled.
    case mixed
    /// In order, every second one, so those of process 1 of 2, as said.
    case odd(Oddness)
    /// The example of a step as said, shuffled.
    case one(index: Int, Oddness)

    enum Oddness: Codable, Sendable {
        /// Without pictures, the others with.
        case textOnly
        /// With nothing to learn from.
        case empty
        /// With a target that is not a number.
        case notFinite
        /// Far off the line.
        case outlier
    }

    var examples: [LineExample] {
        var examples = LineExample.some(24)
        switch self {
        case .mixed: return LineExample.some(17)
        case .odd(let oddness):
            for index in examples.indices {
                examples[index].picture = Float(index) / 24
                if index % 2 == 1 { LineData.change(&examples[index], oddness) }
            }
        case .one(let index, let oddness): LineData.change(&examples[index], oddness)
        }
        return examples
    }

    var isShuffled: Bool {
        if case .odd = self { false } else { true }
    }

    private static func change(_ example: inout LineExample, _ oddness: Oddness) {
        switch oddness {
        case .textOnly: example.picture = nil
        case .empty:
            example.picture = nil
            (example.inputs, example.targets) = ([], [])
        case .notFinite: example.targets[0] = .nan
        case .outlier: example.targets = example.targets.map { _ in 100 }
        }
    }
}

/// A run of the stand-in by several processes.
struct LineJob: Codable, Sendable {
    var folder: String
    var overrides: [String] = []
    var resume = false
    var data = LineData.mixed
    var deed = Deed.none
    var size = 2

    /// The run folder.
    var run: String { folder + "/run" }

    /// What a process of the run does.
    func perform(rank: Int, port: UInt16) throws -> TrainingOutcome {
        let overrides = ["processes.timeout=60"] + overrides
        let plan = try linePlan(overrides)
        let launch = try ProcessLaunch(environment(rank: rank, size: size, port: port))
        let processes = try Processes(launch, plan: plan.processes)
        defer { processes.leave() }
        var steps: [[Double]] = []
        var last = ContinuousClock.now
        let watcher = StepWatcher { report, _ in
            steps.append(
                [report.loss, report.gradientNorm, Double(report.samples), Double(report.tokens)]
                    + report.losses.map(\.value))
            try act(rank: rank, step: report.step)
            last = .now
        }
        defer {
            let data = try? JSONEncoder().encode(steps)
            try? data?.write(to: URL(fileURLWithPath: "\(folder)/steps-\(rank).json"))
            let waited = last.duration(to: .now) / .seconds(1)
            try? Data("\(waited)".utf8).write(
                to: URL(fileURLWithPath: "\(folder)/waited-\(rank).txt"))
        }
        let run = try lineRun(
            run, overrides, resume: resume, signals: true, examples: data.examples,
            isShuffled: data.isShuffled, processes: processes
        ) { model in
            if case .failsToSave = deed { model.failsToSave = true }
            if case .differs(rank) = deed {
                model.text.weight.detached().copy(from: model.text.weight.detached() * 1.01)
            }
        }
        run.observers = [watcher]
        return try run.train()
    }

    private func act(rank: Int, step: Int) throws {
        switch deed {
        case .dies(rank, step): kill(getpid(), SIGKILL)
        case .isAsked(rank, step):
            kill(getpid(), SIGTERM)
            while Interruption.signal == nil { usleep(1000) }
        case .sleeps(rank, step, let seconds): Thread.sleep(forTimeInterval: seconds)
        case .fails(rank, step): throw CocoaError(.fileReadNoPermission)
        default: break
        }
    }

    /// Runs all processes to their ends, each of which must be as `endings` says.
    ///
    /// - Returns: what process 0 saw of each step: loss, norm, samples, tokens and single losses.
    @discardableResult
    func start(
        _ endings: [ExitTest.Condition], sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> [[Double]] {
        for rank in 0..<size {
            try? FileManager.default.removeItem(atPath: "\(folder)/error-\(rank).txt")
        }
        let port = freePort()
        await withTaskGroup(of: Void.self) { group in
            for rank in 0..<size {
                let ending = endings[rank]
                group.addTask {
                    await #expect(processExitsWith: ending, sourceLocation: sourceLocation) {
                        [job = self as LineJob, rank = rank as Int, port = port as UInt16] in
                        do {
                            exit(try job.perform(rank: rank, port: port).exitCode)
                        } catch {
                            try Data("\(error)".utf8).write(
                                to: URL(fileURLWithPath: "\(job.folder)/error-\(rank).txt"))
                            exit((error as? any ExitCoded)?.exitCode ?? 1)
                        }
                    }
                }
            }
        }
        return try steps(of: 0)
    }

    /// What a process saw of each step.
    func steps(of rank: Int) throws -> [[Double]] {
        guard let data = FileManager.default.contents(atPath: "\(folder)/steps-\(rank).json") else {
            return []
        }
        return try JSONDecoder().decode([[Double]].self, from: data)
    }

    /// Seconds between a process' last step and its end.
    func waited(of rank: Int) -> Double? {
        (try? String(contentsOfFile: "\(folder)/waited-\(rank).txt", encoding: .utf8))
            .flatMap(Double.init)
    }

    /// What a process ended with.
    func message(of rank: Int) -> String {
        (try? String(contentsOfFile: "\(folder)/error-\(rank).txt", encoding: .utf8)) ?? ""
    }
}

/// The variables of one of several processes of this machine.
func environment(rank: Int, size: Int, port: UInt16) -> [String: String] {
    [
        "RANK": "\(rank)", "WORLD_SIZE": "\(size)", "LOCAL_RANK": "\(rank)",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)",
    ]
}
