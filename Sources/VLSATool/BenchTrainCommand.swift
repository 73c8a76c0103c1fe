import ArgumentParser
import Foundation
import VLSA
import VLSATraining

extension BenchCommand {
    struct Train: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Training steps on made-up samples: seconds and peak memory.",
            discussion: """
                The same work as `peer.py train`: bf16 weights with fp32 masters, four tiles a picture, 35 of 100 \
                tokens of text supervised, latents given.

                Example: vlsa bench train --size S --stage 3
                """)

        @Option(help: "tiny, S or M.") var size = "S"
        @Option(
            help: "1 (perceiver, projector, Epigone), 2 (denoiser and tower too) or 3 (everything)."
        )
        var stage = 3
        @Option(help: "Samples of a step.") var batch = 2
        @Option(help: "Measured steps; two more come before them.") var steps = 5
        @Flag(help: "Times the step's matrix products alone.") var products = false
        @Flag(help: "Times steps while a checkpoint is saved, too.") var saving = false
        @Option(
            parsing: .upToNextOption,
            help: "Parts whose layers run again in the backward pass, as in gradientCheckpointing.")
        var checkpointing: [String] = []
        @Option(help: "File for a trace of the steps.") var profile: String?

        private func benchmark() throws -> TrainingBenchmark {
            guard let size = BenchmarkSize(rawValue: size) else {
                let known = BenchmarkSize.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--size \(size): one of \(known)")
            }
            guard let stage = TrainingBenchmark.Stage(rawValue: stage) else {
                throw ValidationError("--stage \(stage): 1, 2 or 3")
            }
            guard batch > 0 else { throw ValidationError("--batch must be above 0") }
            guard steps > 0 else { throw ValidationError("--steps must be above 0") }
            guard !products || (profile == nil && !saving && checkpointing.isEmpty) else {
                throw ValidationError(
                    "--products takes no steps; it goes without --profile, --saving and --checkpointing"
                )
            }
            let parts = try checkpointing.map { name in
                guard let part = CheckpointedPart(rawValue: name) else {
                    let known = CheckpointedPart.allCases.map(\.rawValue).joined(separator: ", ")
                    throw ValidationError("--checkpointing \(name): one of \(known)")
                }
                return part
            }
            return TrainingBenchmark(
                size: size, stage: stage, batch: batch, steps: steps, checkpointing: Set(parts))
        }

        func validate() throws { _ = try benchmark() }

        func run() throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            let benchmark = try benchmark()
            let json =
                products
                ? try encoder.encode(benchmark.products())
                : try encoder.encode(benchmark.run(isSaving: saving, profile: profile))
            print(String(decoding: json, as: UTF8.self))
        }
    }
}
