import AnyRes
import ArgumentParser
import Codecs
import Corpus
import Foundation
import Prompting
import VLSA
import VLSATraining

struct AugmentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "augment",
        abstract: "Slips cognition tasks into instruction conversations.",
        discussion: """
            Reads LLaVA JSON, JSONL or a data-mixture YAML and writes the same schema with turns that ask for VQ codes \
            and colours, from the mustache files under --templates. The same seed gives a record the same turns, \
            whatever the order, threads or shards; an interrupted run goes on where it was. Records that cannot be used \
            are left out and listed in OUT.rejects.jsonl with their reasons. Where answers are tokens \
            (--set answers=tokens), OUT.tokens.txt lists them for the stage key data.tokens.

            Examples:
              vlsa augment data/train.json --images data --codebook codecs/codebook --out data/augmented.jsonl
              vlsa augment mixture.yaml --images data --out part-1.jsonl --shard 1/4 --cache ~/.cache/vlsa/codes
              vlsa augment data/train.json --images data --out zh.jsonl --templates Templates/cognition \
            --templates mine --set languages='{zh: 1}' --set tasks='{px_point: 2, px_window: 1}'
            """)

    @Argument(help: "Records: .json, .jsonl, or a mixture .yaml.") var records: String
    @Option(help: "Root of the records' pictures; nothing outside it is read.") var images: String
    @Option(help: "Codebook folder; without one only colours are asked for.") var codebook: String?
    @Option(help: "Templates, <task>/<language>/*.mustache; again for more folders.")
    var templates = ["Templates/cognition"]
    @Option(help: "Model folder whose tiling decides padded coordinates.") var model: String?
    @Option(help: "Folder that keeps codes from run to run; may be shared.") var cache: String?
    @Option(help: "Most GiB of that folder.") var cacheSize = 4.0
    @Option(help: "A YAML file of cognition settings; the options below override it.") var settings:
        String?
    @Option(name: .customLong("set"), help: "key=value of the settings, as often as needed.")
    var overrides: [String] = []
    @Option(help: "Where to write: .json or .jsonl.") var out: String
    @Option(help: "Seed of every choice.") var seed: UInt64?
    @Option(help: "Which epoch's turns.") var epoch = 0
    @Option(help: "i/n: only the i-th of n equal parts.") var shard: String?
    @Option(help: "Threads.") var workers = ProcessInfo.processInfo.activeProcessorCount
    @Option(
        help:
            "Share of records that may be left out, 0 to 1; above 0, 20 records may be in any case."
    )
    var maxRejected = 0.05
    @Option(help: "skip or keep records whose id an earlier record has.")
    var duplicates = AugmentationJob.DuplicateRule.skip
    @Flag(help: "Stop at the first record that cannot be used.") var strict = false

    func validate() throws {
        guard (0...1).contains(maxRejected) else {
            throw ValidationError("--max-rejected: \(maxRejected) is not in 0...1")
        }
        guard (0...256).contains(workers) else {
            throw ValidationError("--workers: \(workers) is not in 0...256")
        }
        guard [".json", ".jsonl"].contains(where: out.lowercased().hasSuffix) else {
            throw ValidationError("--out \(out): name a .json or .jsonl file")
        }
        guard epoch >= 0 else { throw ValidationError("--epoch: \(epoch) is below 0") }
        guard cacheSize > 0, cacheSize <= 1_000_000 else {
            throw ValidationError("--cache-size: \(cacheSize) GiB is no room for a cache")
        }
        if let shard, AugmentationJob.Shard(shard) == nil {
            throw ValidationError("--shard \(shard): write i/n with i from 1 to n, such as 1/4")
        }
    }

    func run() throws {
        try requireExisting(records, "records")
        try requireExisting(images, "--images")
        for folder in templates { try requireExisting(folder, "--templates") }
        if let codebook { try requireExisting(codebook, "--codebook") }
        if let model { try requireExisting(model, "--model") }
        var cognition = CognitionConfiguration()
        if let settings {
            cognition = try StrictYAML(path: settings, overrides: overrides)
                .decode(CognitionConfiguration.self)
        } else if !overrides.isEmpty {
            cognition = try StrictYAML(text: "{}", file: "--set", overrides: overrides)
                .decode(CognitionConfiguration.self)
        }
        if let seed { cognition.seed = seed }

        let store = try cache.map {
            try ContentStore(folder: $0, limit: Int(cacheSize * Double(1 << 30)))
        }
        let augmenter = try Augmenter(
            cognition, templates: .cognition(folders: templates),
            codebook: try codebook.map { try VLSA.codebook(folder: $0) },
            cache: store.map(CodeCache.init),
            tiler: try model.map { folder in
                let configuration = try CheckpointFolder(folder)
                    .configuration(VLSAConfiguration.self)
                return try Tiler(configuration.picture)
            })
        var job = AugmentationJob(
            try RecordCollection(path: records, seed: cognition.seed), augmenter: augmenter,
            folder: try PictureFolder(images))
        job.epoch = epoch
        job.workers = workers
        job.isStrict = strict
        job.maxRejectedShare = maxRejected
        job.duplicates = duplicates
        if let shard = shard.flatMap(AugmentationJob.Shard.init) { job.shard = shard }
        if !augmenter.addedTokens.isEmpty {  // first, so that no output is ever without its list
            let list = TokenList.path(beside: out)
            try TokenList.write(augmenter.addedTokens, to: list)
            print("the answers' tokens are in \(list), for the stage key data.tokens")
        }
        var display: ProgressDisplay?
        let report = try job.run(to: out) { progress in
            let shown =
                display
                ?? ProgressDisplay(
                    title: "augment", total: progress.total, unit: "records",
                    first: progress.resumedAt)
            display = shown
            shown.update(
                progress.done, notes: progress.rejected == 0 ? "" : "\(progress.rejected) left out")
        } note: {
            note($0)
        }
        display?.finish()
        if let problem = store?.use.problem { note("warning: codes were not kept: \(problem)") }
        print("\(report.written) records in \(out), \(report.augmented) with cognition turns")
        if report.ledger.rejected > 0 {
            print("left out: \(report.ledger.summary); see \(out).rejects.jsonl")
        }
    }
}

extension AugmentationJob.DuplicateRule: ExpressibleByArgument {}
