import ArgumentParser
import Corpus
import Foundation
import VLSATraining

struct SynthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synth",
        abstract: "Draws high-resolution pictures and instruction data with known truth.",
        discussion: """
            Writes images/, train.json, heldout.json, captions.json, texts.json and text.txt in LLaVA's \
            schema. Picture i of a seed is always the same; the two splits share no picture and no text string.

            Example: vlsa synth --out data --seed 7 --train 1500 --heldout 200
            """)

    @Option(help: "Folder to write into.") var out: String
    @Option(help: "Seed of everything drawn.") var seed: UInt64 = 1
    @Option(help: "Number of training pictures.") var train: Int?
    @Option(help: "Number of held-out pictures.") var heldout: Int?

    func run() throws {
        var settings = Synthesis.Configuration()
        settings.seed = seed
        if let train { settings.trainCount = train }
        if let heldout { settings.heldOutCount = heldout }
        let display = ProgressDisplay(
            title: "synth", total: settings.trainCount + settings.heldOutCount, unit: "pictures")
        try Synthesis(settings).generate(to: out) { done, _ in display.update(done) }
        display.finish()
        print(
            "\(settings.trainCount) training and \(settings.heldOutCount) held-out pictures in \(out)"
        )
    }
}
