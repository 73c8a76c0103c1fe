import ArgumentParser
import Corpus
import Foundation
import VLSATraining

/// `vlsa`: from pictures on disk to an answering model.
@main
struct VLSACommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vlsa",
        abstract: "Trains and runs vision-language models whose alignment is trained on purpose.",
        discussion: """
            A first run, on pictures the tool draws itself:
              vlsa synth --out data
              vlsa codec fit --images data/images --out codecs
              vlsa foundation Stages/tiny/0-foundation.yaml --out foundation
              vlsa augment data/train.json --images data --codebook codecs/codebook --out data/augmented.jsonl
              vlsa train Stages/tiny/1-perceive.yaml --run runs/1
              vlsa infer --model runs/1/model --image photo.jpg --prompt "What is in the picture?"

            Results go to standard output, progress to standard error. Exit codes: 0 done, 64 wrong usage or \
            configuration, 1 any other failure, 130 or 143 interrupted with everything saved.
            """,
        version: "vlsa 0.1.0",
        subcommands: [
            SynthCommand.self, CodecCommand.self, FoundationCommand.self, DataCommand.self,
            TemplatesCommand.self, AugmentCommand.self, InspectCommand.self, PlanCommand.self,
            TrainCommand.self, MergeCommand.self, InferCommand.self, EvaluateCommand.self,
            ReportCommand.self,
            ReconstructCommand.self, AttendCommand.self, FeaturesCommand.self, BenchCommand.self,
            DoctorCommand.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as any ExitCoded {
            FileHandle.standardError.write(Data("vlsa: \(error)\n".utf8))
            Foundation.exit(error.exitCode)
        } catch let error where isOwn(error) {
            FileHandle.standardError.write(Data("vlsa: \(error)\n".utf8))
            if case CorpusError.setting = error { Foundation.exit(64) }
            Foundation.exit(1)
        } catch {
            exit(withError: error)
        }
    }

    /// ArgumentParser prints its own errors, and knows their exit codes.
    private static func isOwn(_ error: any Error) -> Bool {
        !(error is ExitCode) && !(error is ValidationError) && !(error is CleanExit)
            && exitCode(for: error) == ExitCode.failure
    }
}

/// `--images` and the like must exist before anything starts.
func requireExisting(_ path: String, _ option: String) throws {
    guard FileManager.default.fileExists(atPath: path) else {
        throw ValidationError("\(option): there is no \(path)")
    }
}
