import AnyRes
import ArgumentParser
import Codecs
import Corpus
import Foundation
import Prompting
import VLSATraining

struct AugmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "augment",
        abstract: "Slips cognition tasks into instruction conversations.",
        discussion: """
            Reads LLaVA JSON, JSONL or a data-mixture YAML and writes the same schema with turns that ask for VQ codes
            and colours, from the mustache files under --templates. The same seed gives a record the same turns,
            whatever the order, threads or shards; an interrupted run goes on where it was.

            Example: vlsa augment data/train.json --images data/images --codebook codecs/codebook --out data/augmented.jsonl
            """)

    @Argument(help: "Records: .json, .jsonl, or a mixture .yaml.") var records: String
    @Option(help: "Root of the records' pictures; nothing outside it is read.") var images: String
    @Option(help: "Codebook folder; without one only colours are asked for.") var codebook: String?
    @Option(help: "Templates, <task>/<language>/*.mustache.") var templates = "Templates/cognition"
    @Option(help: "A YAML file of cognition settings; the options below override it.") var settings: String?
    @Option(name: .customLong("set"), help: "key=value of the settings, as often as needed.")
    var overrides: [String] = []
    @Option(help: "Where to write: .json or .jsonl.") var out: String
    @Option(help: "Seed of every choice.") var seed: UInt64?
    @Option(help: "Which epoch's turns.") var epoch = 0
    @Option(help: "i/n: only the i-th of n equal parts.") var shard: String?
    @Option(help: "Threads.") var workers = ProcessInfo.processInfo.activeProcessorCount
    @Flag(help: "Stop at the first record that cannot be used.") var strict = false

    func run() throws {
        try requireExisting(records, "records")
        try requireExisting(images, "--images")
        try requireExisting(templates, "--templates")
        if let codebook { try requireExisting(codebook, "--codebook") }
        var cognition = CognitionConfiguration()
        if let settings {
            cognition = try StrictYAML(path: settings, overrides: overrides)
                .decode(CognitionConfiguration.self)
        } else if !overrides.isEmpty {
            cognition = try StrictYAML(text: "{}", file: "--set", overrides: overrides)
                .decode(CognitionConfiguration.self)
        }
        if let seed { cognition.seed = seed }

        let augmenter = try Augmenter(
            cognition, templates: .cognition(templates),
            codebook: try codebook.map { try KMeansCodebook(folder: $0) })
        var job = AugmentationJob(
            try RecordCollection(path: records, seed: cognition.seed), augmenter: augmenter,
            folder: try PictureFolder(images))
        job.epoch = epoch
        job.workers = workers
        job.isStrict = strict
        if let shard {
            guard let parsed = AugmentationJob.Shard(shard) else {
                throw ValidationError("--shard \(shard): write i/n with i from 1 to n, such as 1/4")
            }
            job.shard = parsed
        }
        var display: ProgressDisplay?
        let report = try job.run(to: out) { progress in
            let shown =
                display
                ?? ProgressDisplay(title: "augment", total: progress.total, unit: "records")
            display = shown
            shown.update(
                progress.done, notes: progress.rejected == 0 ? "" : "\(progress.rejected) left out")
        }
        display?.finish()
        print("\(report.written) records in \(out), \(report.augmented) with cognition turns")
        if report.ledger.rejected > 0 {
            print("left out: \(report.ledger.summary); see \(out).rejects.jsonl")
        }
    }
}
