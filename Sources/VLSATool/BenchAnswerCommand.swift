import AnyRes
import ArgumentParser
import Foundation
import Prompting
import Torch
import VLSA

extension BenchCommand {
    struct Answer: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Time from a picture's file to its answer, part by part.",
            discussion: """
                Prints a JSON object: tiles and visual tokens of a picture, seconds to decode and tile it, seconds to the \
                first token (tower, perceiver and the decoder's pass over the prompt), and tokens per second from then on; \
                medians over the pictures and repeats, one picture at a time.

                Example: vlsa bench answer --model runs/3/model --image photo.jpg --tokens 32
                """)

        @Option(help: "Model folder.") var model: String
        @Option(parsing: .upToNextOption, help: "Picture files.") var image: [String]
        @Option(help: "What to ask.") var prompt = "What is in the picture?"
        @Option(help: "Tokens of an answer; stop tokens do not end it.") var tokens = 32
        @Option(help: "Times that each picture is asked about, after one that is not counted.")
        var repeats = 3

        func validate() throws {
            guard tokens > 1 else { throw ValidationError("--tokens must be above 1") }
            guard repeats > 0 else { throw ValidationError("--repeats must be above 0") }
        }

        func run() throws {
            try requireExisting(model, "--model")
            for path in image { try requireExisting(path, "--image") }
            let loaded = try VLSAModel(folder: model, forInference: true)
            let tiler = try Tiler(loaded.configuration.picture)
            let prompt = try loaded.prompt(for: [Turn(.user, "<image>\n" + prompt)])
            var (tiles, visual): ([Double], [Double]) = ([], [])
            var (tiling, first, rates): ([Double], [Double], [Double]) = ([], [], [])
            for path in image {
                for turn in 0...repeats {
                    let start = ContinuousClock.now
                    let picture = try tiler.tile(try PictureReader().picture(path: path))
                    let tiled = ContinuousClock.now
                    var arrivals: [ContinuousClock.Instant] = []
                    _ = try loaded.answer(
                        [Question(prompt: prompt, pictures: [0])], about: [picture], limit: tokens,
                        stopsAtEnd: false
                    ) { _, _ in
                        arrivals.append(.now)
                        return true
                    }
                    guard turn > 0, let begun = arrivals.first, let ended = arrivals.last else {
                        continue
                    }
                    tiles.append(Double(picture.tileCount))
                    visual.append(Double(loaded.visualTokenCounter(picture.geometry)))
                    tiling.append(start.duration(to: tiled) / .seconds(1))
                    first.append(tiled.duration(to: begun) / .seconds(1))
                    rates.append(Double(tokens - 1) / (begun.duration(to: ended) / .seconds(1)))
                }
            }
            func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
            print(
                String(
                    format:
                        "{\"work\": \"answer\", \"pictures\": %d, \"tiles\": %.0f, \"visual_tokens\": %.0f, "
                        + "\"tiling_s\": %.4f, \"first_token_s\": %.4f, \"decode_tokens_per_s\": %.1f}",
                    image.count, median(tiles), median(visual), median(tiling), median(first),
                    median(rates)))
        }
    }
}
