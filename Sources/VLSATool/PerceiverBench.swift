import ArgumentParser
import Foundation
import Torch
import TorchNN
import VLSA

extension BenchCommand {
    struct Perceiver: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "SA-Perceiver, forward and backward: time and extra memory against the number of tiles.",
            discussion: """
                Prints a JSON line for each number of tiles: seconds of a step (the median) and MiB beyond the inputs.

                Example: vlsa bench perceiver --tiles 4,16,36 --width 1024 --tokens 576
                """)

        @Option(help: "Numbers of tiles, separated by commas.") var tiles = "1,4,9,16,25,36"
        @Option(help: "Tokens of a tile, a square number.") var tokens = 576
        @Option(help: "Token width.") var width = 1024
        @Option(help: "Heads.") var heads = 1
        @Option(help: "silu or softmax.") var act = "silu"
        @Option(help: "float32 or bfloat16.") var dtype = "float32"
        @Option(help: "Steps for each number of tiles.") var repeats = 3

        private func counts() throws -> [Int] {
            let numbers = tiles.split(separator: ",").map { Int($0) ?? 0 }
            guard !numbers.isEmpty, numbers.allSatisfy({ (1...1024).contains($0) }) else {
                throw ValidationError("--tiles \(tiles): numbers from 1 to 1024, such as 4,16,36")
            }
            return numbers
        }

        func validate() throws {
            _ = try counts()
            let side = Int(Double(tokens).squareRoot())
            guard tokens > 0, side * side == tokens else {
                throw ValidationError("--tokens \(tokens) is no square number")
            }
            guard width > 0, heads > 0, width % heads == 0 else {
                throw ValidationError("--heads \(heads) does not divide --width \(width)")
            }
            guard PerceiverActivation(rawValue: act) != nil else {
                throw ValidationError("--act \(act): silu or softmax")
            }
            guard ["float32", "bfloat16"].contains(dtype) else {
                throw ValidationError("--dtype \(dtype): float32 or bfloat16")
            }
            guard repeats > 0 else { throw ValidationError("--repeats must be above 0") }
        }

        func run() throws {
            let type: DType = dtype == "bfloat16" ? .bfloat16 : .float32
            for count in try counts() {
                let cost = try PerceiverCost(
                    configuration: PerceiverConfiguration(
                        activation: PerceiverActivation(rawValue: act) ?? .silu, headCount: heads),
                    width: width, tokens: tokens, tiles: count, dtype: type, repeats: repeats)
                print(
                    String(
                        format:
                            "{\"work\": \"perceiver\", \"tiles\": %d, \"keys\": %d, \"seconds\": %.4f, "
                            + "\"extra_mib\": %.1f}", count, count * tokens, cost.seconds,
                        Double(cost.extraBytes) / 1_048_576))
            }
        }
    }
}
