import ArgumentParser
import Foundation
import Prompting
import Torch

extension BenchCommand {
    struct Tokenizers: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "tokenizer", abstract: "A tokenizer on one core: text to ids.",
            discussion: """
                Encodes the paragraphs of a text over and over; the same work as `peer.py tokenizer`. A megabyte is \
                10^6 bytes of UTF-8.

                Example: vlsa bench tokenizer --tokenizer checkpoints/llama-3 --text book.txt
                """)

        @Option(help: "Folder with a tokenizer.json.") var tokenizer: String
        @Option(help: "Plain text, UTF-8; a megabyte or more.") var text: String
        @Option(help: "How long to measure.") var seconds = 5.0

        func run() throws {
            try requireExisting(tokenizer, "--tokenizer")
            try requireExisting(text, "--text")
            let subject = try Tokenizer(folder: tokenizer)
            let paragraphs = try String(contentsOfFile: text, encoding: .utf8)
                .components(separatedBy: "\n\n").filter { !$0.isEmpty }
            guard !paragraphs.isEmpty else { throw ValidationError("--text: \(text) is empty") }
            let bytes = paragraphs.reduce(0) { $0 + $1.utf8.count }
            // Counts once, which also warms up.
            let tokens = paragraphs.reduce(0) { $0 + subject.encode($1).count }
            var passes = 0
            let start = Date()
            while passes == 0 || Date().timeIntervalSince(start) < seconds {
                for paragraph in paragraphs { _ = subject.encode(paragraph) }
                passes += 1
            }
            let rate = Double(bytes * passes) / Date().timeIntervalSince(start) / 1e6
            let memory = TorchRuntime.residentBytes / (1 << 20)
            print(
                "{\"work\": \"tokenizer\", \"bytes\": \(bytes), \"tokens\": \(tokens), "
                    + "\"mb_per_s\": \(rate), \"resident_mib\": \(memory)}")
        }
    }
}
