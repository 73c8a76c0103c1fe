import ArgumentParser
import Foundation
import Torch
import VLSATraining

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says what a training stage is and takes, without training it.",
        discussion: """
            Prints the resolved stage file, the parameters of each part and which learn, the work of a step, and the \
            memory it takes, compared with the device's. Only configurations, tokenizer and the headers of weight files \
            are read, and folders with a configuration alone will do. Whatever would keep the stage from training ends \
            this command with exit code 64.

            Several stage files are planned in order: one whose model: folder is not there yet starts from what the \
            stage before it will save. --set changes a key in each of them.

            Examples:
              vlsa plan Stages/tiny/1-perceive.yaml --set batch.micro=4
              vlsa plan Stages/llama3-8b/1-perceive.yaml Stages/llama3-8b/2-detail.yaml --memory 80
            """)

    @Argument(help: "Stage files, in order.") var stages: [String]
    @Option(name: .customLong("set"), help: "key=value, as often as needed.") var overrides:
        [String] = []
    @Option(help: "Memory to compare with, in GiB; otherwise that of the stage's device here.")
    var memory: Double?

    @Option(help: "Processes that will train together; the memory is that of each.") var processes =
        1

    func validate() throws {
        if processes < 1 { throw ValidationError("--processes: write how many, from 1") }
        if let memory, !(memory > 0 && memory < 1e9) {
            throw ValidationError("--memory: write a size in GiB, such as 80")
        }
    }

    func run() throws {
        var previous: StageOutline?
        for stage in stages {
            let plan = try TrainingPlan.load(path: stage, overrides: overrides)
            let outline = try StageOutline(plan, following: previous)
            let here = Device(plan.device)?.memory?.total
            guard plan.batch.samples % processes == 0 else {
                throw ValidationError(
                    "--processes \(processes) do not divide \(stage)'s batch.samples, \(plan.batch.samples)"
                )
            }
            print(
                try outline.text(
                    available: memory.map { Int($0 * 1024 * 1024 * 1024) } ?? here,
                    processes: processes))
            if stage != stages.last { print() }
            previous = outline
        }
    }
}
