import ArgumentParser
import Foundation
import VLSA
import VLSATraining

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Asks a model every question of a record file and scores the answers by kind.",
        discussion: """
            Example: vlsa evaluate --model runs/3/model --records data/heldout.json --images data --out full.json
            With --blind the pictures are grey: what the questions alone give away.
            """)

    @Option(help: "Model folder.") var model: String
    @Option(help: "LLaVA records with single-picture questions.") var records: String
    @Option(help: "Root of the records' pictures.") var images: String
    @Option(help: "Where to write scores and answers as JSON.") var out: String?
    @Flag(help: "Show the model grey pictures.") var blind = false
    @Option(help: "Most tokens of an answer.") var tokens = 16
    @Option(help: "Most records.") var limit: Int?
    @Option(help: "Pictures at once.") var batch = 8
    @Option(
        help:
            "Most tiles of a picture that the model sees, instead of its own limit (tiling: vlsa).")
    var maxTiles: Int?
    @Option(
        help: "Euler steps for the reconstruction's PSNR against the pictures; 0 leaves it out.")
    var steps = 0

    func validate() throws {
        guard batch > 0 else { throw ValidationError("--batch must be above 0") }
        guard maxTiles ?? 1 > 0 else { throw ValidationError("--max-tiles must be above 0") }
    }

    func run() throws {
        try requireExisting(model, "--model")
        try requireExisting(records, "--records")
        try requireExisting(images, "--images")
        let loaded = try VLSAModel(folder: model)
        let options = EvaluationOptions(
            records: records, images: images, isBlind: blind, answerLimit: tokens,
            recordLimit: limit, batch: batch, maxTiles: maxTiles, reconstructionSteps: steps)
        var display: ProgressDisplay?
        let report = try Evaluation(loaded, options: options).run(name: model) { done, total in
            let shown = display ?? ProgressDisplay(title: "evaluate", total: total, unit: "records")
            display = shown
            shown.update(done)
        }
        display?.finish()
        if let out { try report.write(to: out) }
        print(report.table)
    }
}
