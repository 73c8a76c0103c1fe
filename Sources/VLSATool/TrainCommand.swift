import ArgumentParser
import Foundation
import VLSATraining

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Runs one training stage.",
        discussion: """
            Everything about the stage is in its YAML file; --set changes a key for one run and is recorded with it. \
            The run folder keeps the resolved plan, metrics, checkpoints and, at the end, model/ and report.html. \
            Ctrl-C saves first.

            Examples:
              vlsa train Stages/tiny/1-perceive.yaml --run runs/1 --set optimizer.rate=5e-4
              vlsa train Stages/tiny/1-perceive.yaml --run runs/1 --dry-run
              vlsa train Stages/tiny/1-perceive.yaml --run runs/1 --resume --profile trace.json
              torchrun --no-python --nproc-per-node 2 -- vlsa train Stages/tiny/1-perceive.yaml --run runs/1
            """)

    @Argument(help: "Stage file.") var stage: String
    @Option(name: .customLong("run"), help: "Run folder.") var folder: String
    @Option(name: .customLong("set"), help: "key=value, as often as needed.") var overrides:
        [String] = []
    @Flag(help: "Go on from the newest complete checkpoint of the run folder.") var resume = false
    @Flag(
        help:
            "Everything but the update, on one batch: says what a step takes, and leaves no run folder behind."
    )
    var dryRun = false
    @Option(
        help: ArgumentHelp(
            "Writes where the time goes, for chrome://tracing or Perfetto.", valueName: "file"))
    var profile: String?
    @Flag(help: "No progress display.") var quiet = false

    func validate() throws {
        if dryRun, resume {
            throw ValidationError("--dry-run looks at a new run; leave out --resume")
        }
    }

    func run() throws {
        let launch = try ProcessLaunch(ProcessInfo.processInfo.environment)
        do {
            try train(launch)
        } catch let error where launch.map({ $0.rank > 0 }) ?? false && isCommonToProcesses(error) {
            // The first process says it.
            throw ExitCode((error as? any ExitCoded)?.exitCode ?? 1)
        }
    }

    private func train(_ launch: ProcessLaunch?) throws {
        let isFirst = launch.map { $0.rank == 0 } ?? true
        let plan = try TrainingPlan.load(path: stage, overrides: overrides)
        let options = RunOptions(
            resume: resume, progress: quiet ? .silent : .automatic, overrides: overrides,
            profile: profile, launch: launch)
        if dryRun {
            let report = try rehearseStage(plan, run: folder, options: options)
            if isFirst { print(report) }
            return
        }
        let outcome = try trainStage(plan, run: folder, options: options)
        switch outcome {
        case .finished(let model): if isFirst { print(model) }
        case .interrupted: break
        }
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }
}
