import ArgumentParser
import VLSATraining

struct FoundationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "foundation",
        abstract: "Trains small stand-ins for the checkpoints that the stages start from.",
        discussion: """
            A tower by sigmoid contrastive loss, a decoder on text, a denoiser on captioned latents; each is saved as a \
            Hugging Face folder, so a stage loads it as it would load a public checkpoint.

            What is there already is left alone, so a run that was stopped goes on. On a machine with few cores decoder \
            and tower are made sooner side by side, each by a process with one thread (--part, --set threads=1).

            Example: vlsa foundation Stages/tiny/0-foundation.yaml --out foundation
            """)

    @Argument(help: "Foundation file.") var plan: String
    @Option(help: "Folder to write into.") var out: String
    @Option(name: .customLong("part"), help: "Only this part, as often as needed (default: all).")
    var parts: [FoundationPart] = FoundationPart.allCases
    @Option(name: .customLong("set"), help: "key=value, as often as needed.") var overrides:
        [String] = []

    func run() throws {
        let plan = try FoundationPlan.load(path: plan, overrides: overrides)
        try FoundationRun(plan, out: out).run(parts: Set(parts)) { print($0) }
    }
}

extension FoundationPart: ExpressibleByArgument {}
