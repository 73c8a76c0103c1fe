import AnyRes
import ArgumentParser
import Codecs
import Corpus
import Foundation
import Prompting
import VLSA
import VLSATraining

struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Checks and shows instruction records.",
        subcommands: [Check.self, Show.self])

    /// How records become tokens.
    struct Tokens: ParsableArguments {
        @Option(help: "Model folder: its tokenizer, chat format and tiling.") var model: String?
        @Option(help: "Folder with a tokenizer.json, where there is no model yet.")
        var tokenizer: String?
        @Option(help: "Chat format beside --tokenizer.") var chat = ChatFormat.llama3
        @Option(help: "Visual tokens of a picture beside --tokenizer.") var visualTokens = 576

        func validate() throws {
            guard model == nil || tokenizer == nil else {
                throw ValidationError("give --model or --tokenizer, not both")
            }
            guard visualTokens > 0 else { throw ValidationError("--visual-tokens must be above 0") }
        }

        func builder(folder: PictureFolder?, maxLength: Int?) throws -> SampleBuilder? {
            if let model {
                try requireExisting(model, "--model")
                return try ModelPrompting(folder: model)
                    .builder(folder: folder, maxLength: maxLength)
            }
            guard let tokenizer else { return nil }
            try requireExisting(tokenizer, "--tokenizer")
            let count = visualTokens
            return SampleBuilder(
                tokenizer: try Tokenizer(folder: tokenizer),
                tiler: try Tiler(TilingConfiguration(tiling: .square)), folder: folder,
                settings: .init(format: chat, maxLength: maxLength),
                visualTokenCount: { _ in count })
        }
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Looks at every record and its pictures and says what is wrong.",
            discussion: """
                Schema, empty turns, <image> counts, missing, unsafe and unreadable pictures, duplicates; with a model or \
                tokenizer also lengths in tokens. Exit code 0 when nothing is wrong, 2 when there are only warnings, 1 \
                when training would leave a record out. An id seen before is a warning: augment leaves such a record \
                out, training does not.

                Example: vlsa data check data/train.json --images data --model runs/3/model --ledger findings.jsonl
                """)

        @Argument(help: "Records: .json, .jsonl, or a mixture .yaml.") var records: String
        @Option(help: "Root of the records' pictures.") var images: String?
        @OptionGroup var tokens: Tokens
        @Option(help: "Longest sample in tokens.") var maxLength = 2048
        @Option(help: "Where to write every finding, one JSON object a line.") var ledger: String?
        @Flag(help: "Read only the headers of pictures; a cut-off one is then not found.")
        var headersOnly = false
        @Option(help: "Threads.") var workers = ProcessInfo.processInfo.activeProcessorCount

        func run() throws {
            try requireExisting(records, "records")
            if let images { try requireExisting(images, "--images") }
            let folder = try images.map { try PictureFolder($0) }
            let collection = try RecordCollection(path: records)
            var check = DataCheck(
                collection, folder: folder,
                builder: try tokens.builder(folder: folder, maxLength: maxLength))
            check.workers = workers
            check.decodesPictures = !headersOnly
            let display = ProgressDisplay(
                title: "check", total: collection.count, unit: "records")
            let report = try check.run(ledger: ledger) { done, findings in
                display.update(done, notes: findings == 0 ? "" : "\(findings) findings")
            }
            display.finish()
            print(
                "\(report.records) records, \(report.turns) turns, \(report.pictures) pictures; "
                    + "\(report.textOnly) records of text alone")
            if let longest = report.length(atShare: 1), let median = report.length(atShare: 0.5),
                let high = report.length(atShare: 0.99)
            {
                print(
                    "tokens: median \(median), 99% at most \(high), longest \(longest); "
                        + "\(report.supervised) trained on in all")
            }
            for severity in [FindingSeverity.error, .warning] {
                for (kind, count) in (report.counts[severity] ?? [:]).sorted(by: {
                    ($1.value, $0.key) < ($0.value, $1.key)
                }) {
                    print("\(severity.rawValue): \(count) \(kind)")
                }
            }
            for finding in report.first {
                print(
                    "  \(finding.file), record \(finding.index)"
                        + "\(finding.id.map { " (id \($0))" } ?? ""): \(finding.reason)")
            }
            let shown = report.first.count
            let all = report.counts.values.reduce(0) { $0 + $1.values.reduce(0, +) }
            if all > shown { print("  and \(all - shown) more; --ledger FILE has them all") }
            switch report.worst {
            case .error: throw ExitCode.failure
            case .warning: throw ExitCode(2)
            case nil: print("nothing is wrong")
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes an HTML page of sampled records as a model would be trained on them.",
            discussion: """
                Pictures with the asked cells and regions drawn on them, the turns, and, with a model or tokenizer, every \
                token, those trained on coloured. The page holds all it shows.

                Example: vlsa data show data/augmented.jsonl --images data --model runs/1/model --out page.html
                """)

        @Argument(help: "Records: .json, .jsonl, or a mixture .yaml.") var records: String
        @Option(help: "Root of the records' pictures.") var images: String?
        @OptionGroup var tokens: Tokens
        @Option(help: "Where to write the page.") var out: String
        @Option(help: "Records to show, drawn at random.") var count = 12
        @Option(help: "Seed of the drawing.") var seed: UInt64 = 1
        @Option(help: "Levels that colours in answers are counted in.") var colourLevels = 256

        func run() throws {
            try requireExisting(records, "records")
            if let images { try requireExisting(images, "--images") }
            guard (1...1000).contains(count) else {
                throw ValidationError("--count: \(count) is not in 1...1000")
            }
            guard (2...256).contains(colourLevels) else {
                throw ValidationError("--colour-levels: \(colourLevels) is not in 2...256")
            }
            let folder = try images.map { try PictureFolder($0) }
            let builder = try tokens.builder(folder: folder, maxLength: nil)
            let collection = try RecordCollection(path: records)
            var generator = SeededGenerator(seed: seed, "data show")
            let chosen = generator.sample(min(count, collection.count), below: collection.count)
            var page = DataPage(
                title: records,
                note:
                    "\(chosen.count) of \(collection.count) records, seed \(seed). Regions asked for codes are "
                    + "blue, those asked for colours orange, numbered by turn."
                    + (builder == nil ? "" : " Green tokens are trained on."),
                colourLevels: colourLevels)
            let reader = PictureReader()
            for index in chosen.sorted() {
                let (file, position) = collection.location(of: index)
                let place = "\(file.path), record \(position)"
                let record: Record
                do throws(Rejection) {
                    record = try file.record(at: position)
                } catch {
                    page.add(problem: error.reason, place: place)
                    continue
                }
                let pictures = record.images.map { name in
                    Result {
                        guard let folder else {
                            throw ValidationError("no --images folder was given")
                        }
                        return try reader.picture(path: try folder.resolve(name))
                    }
                }
                do {
                    try page.add(
                        record, place: place, pictures: pictures,
                        tokens: try builder.map { (try $0.prompt(of: record), $0.tokenizer) })
                } catch let problem as RecordProblem {
                    page.add(problem: problem.reason, place: place)
                }
            }
            try AtomicFile.write(Array(page.html.utf8), to: out)
            print("\(chosen.count) records in \(out)")
        }
    }
}

extension ChatFormat: ExpressibleByArgument {}
