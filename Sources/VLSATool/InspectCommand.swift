import ArgumentParser
import Foundation
import VLSA

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Says what a model folder holds and whether it loads.",
        discussion: """
            Prints family, configuration, parameters by part (the layers put together), tokenizer, and everything the \
            loader would object to: missing, misshapen, unclaimed or doubled tensors. Only headers are read, however \
            large the files are. Exit code 1 when the folder would not load.

            Examples:
              vlsa inspect checkpoints/clip-vit-large-patch14-336
              vlsa inspect runs/3/model --tensors 'perceiver.*'
              vlsa inspect runs/2/model --against runs/1/model --values
            """)

    @Argument(help: "Model folder.") var folder: String
    @Option(help: "Another folder; prints what differs instead.") var against: String?
    @Flag(help: "With --against: also how far the values lie apart; reads both folders' weights.")
    var values = false
    @Option(help: "Prints the tensors whose names match instead; * stands for anything.")
    var tensors: String?
    @Flag(help: "One JSON object instead of text.") var json = false

    func validate() throws {
        guard against != nil || !values else {
            throw ValidationError("--values compares with another folder; name it with --against")
        }
        guard against == nil || tensors == nil else {
            throw ValidationError("--tensors and --against print different things; choose one")
        }
    }

    func run() throws {
        try requireExisting(folder, "the folder")
        let inspection = try FolderInspection(folder)
        if let against {
            try requireExisting(against, "--against")
            let comparison = try FolderComparison(
                inspection, FolderInspection(against), comparingValues: values)
            try print(json ? Self.encoded(comparison) : comparison.text)
            return
        }
        if let tensors {
            let lines = inspection.listing(of: tensors)
            guard !lines.isEmpty else {
                throw ValidationError(
                    "--tensors \(tensors): no tensor of \(folder) has such a name")
            }
            print(lines.joined(separator: "\n"))
        } else {
            try print(json ? Self.encoded(inspection) : inspection.text)
        }
        if !inspection.faults.isEmpty { throw ExitCode.failure }
    }

    private static func encoded(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
