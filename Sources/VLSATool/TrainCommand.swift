import ArgumentParser
import Foundation
import VLSATraining

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Runs one training stage.",
        discussion: """
            Everything about the stage is in its YAML file; --set changes a key for one run and is recorded with it.
            The run folder keeps the resolved plan, metrics, checkpoints and, at the end, model/. Ctrl-C saves first.

            Example: vlsa train Stages/tiny/1-perceive.yaml --run runs/1 --set optimizer.rate=5e-4
            """)

    @Argument(help: "Stage file.") var stage: String
    @Option(name: .customLong("run"), help: "Run folder.") var folder: String
    @Option(name: .customLong("set"), help: "key=value, as often as needed.") var overrides: [String] = []
    @Flag(help: "Go on from the newest complete checkpoint of the run folder.") var resume = false
    @Flag(help: "No progress display.") var quiet = false

    func run() throws {
        let plan = try TrainingPlan.load(path: stage, overrides: overrides)
        let outcome = try trainStage(
            plan, run: folder,
            options: RunOptions(
                resume: resume, progress: quiet ? .silent : .automatic, overrides: overrides))
        switch outcome {
        case .finished(let model): print(model)
        case .interrupted: break
        }
        if outcome.exitCode != 0 { throw ExitCode(outcome.exitCode) }
    }
}
