import AnyRes
import ArgumentParser
import Foundation
import Prompting
import Torch
import VLSA
import VLSATraining

struct InferCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "infer", abstract: "Answers a prompt about pictures.",
        discussion: """
            The answer is streamed to standard output. Pictures of any size are tiled as in training; <image> in the \
            prompt says where each belongs, otherwise they come first.

            Example: vlsa infer --model runs/3/model --image photo.jpg --prompt "What is in the picture?"
            """)

    @Option(help: "Model folder.") var model: String
    @Option(parsing: .upToNextOption, help: "Picture files.") var image: [String] = []
    @Option(help: "What to ask.") var prompt: String
    @Option(help: "Most tokens of the answer.") var tokens = 256
    @Option(help: "0 answers greedily; above, tokens are drawn.") var temperature = 0.0
    @Option(help: "Keep the most likely tokens of this total probability.") var topP = 1.0
    @Option(help: "Seed of the drawing.") var seed: UInt64 = 1

    func validate() throws {
        let places = Turn.imageCount(in: prompt)
        guard places == 0 || places == image.count else {
            throw ValidationError(
                "the prompt has \(places) <image> places for \(image.count) pictures")
        }
        guard tokens > 0 else { throw ValidationError("--tokens must be above 0") }
    }

    func run() throws {
        try requireExisting(model, "--model")
        let loaded = try VLSAModel(folder: model, forInference: true)
        let reader = PictureReader()
        let tiler = try Tiler(loaded.configuration.picture)
        let pictures = try image.map { try tiler.tile(try reader.picture(path: $0)) }
        let text =
            Turn.imageCount(in: prompt) > 0
            ? prompt : String(repeating: "<image>\n", count: pictures.count) + prompt
        let question = Question(
            prompt: try loaded.prompt(for: [Turn(.user, text)]),
            pictures: Array(pictures.indices))
        let sampler =
            temperature == 0
            ? TokenSampler.greedy
            : TokenSampler(
                temperature: temperature, topP: topP, generator: Generator(seed: seed))
        var decoder = loaded.tokenizer.streamingDecoder()
        let stops = loaded.stopIDs
        _ = try loaded.answer([question], about: pictures, limit: tokens, sampler: sampler) {
            _, id in
            if !stops.contains(id) {
                FileHandle.standardOutput.write(Data(decoder.append(id).utf8))
            }
            return true
        }
        FileHandle.standardOutput.write(Data((decoder.finish() + "\n").utf8))
    }
}
