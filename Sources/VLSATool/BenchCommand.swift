import AnyRes
import ArgumentParser
import Foundation
import Torch

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures parts of the system; prints one JSON object.",
        subcommands: [
            Images.self, Perceiver.self, Augment.self, Tokenizers.self, Answer.self, Train.self,
        ])

    struct Images: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Any-resolution preprocessing on one core: files to normalised tiles.",
            discussion: """
                LLaVA-NeXT's tiling at 336 pixels, five resolutions; the same work as `peer.py images`.

                Example: vlsa bench images --dir photos --seconds 10
                """)

        @Option(help: "Folder of pictures.") var dir: String
        @Option(help: "How long to measure.") var seconds = 10.0

        func run() throws {
            try requireExisting(dir, "--dir")
            let reader = PictureReader()
            let names = try FileManager.default.contentsOfDirectory(atPath: dir).sorted()
                .map { dir + "/" + $0 }.filter { (try? reader.size(of: $0)) != nil }
            guard !names.isEmpty else { throw ValidationError("--dir: \(dir) holds no picture") }
            let tiler = try Tiler(TilingConfiguration(tiling: .anyres))
            let plane = 336 * 336
            var count = 0
            var checksum: Float = 0
            let start = Date()
            while Date().timeIntervalSince(start) < seconds {
                let picture = try tiler.tile(try reader.picture(path: names[count % names.count]))
                checksum += Normalisation.clip.values(of: picture.snapshot, plane: plane)[0]
                checksum += Normalisation.clip.values(of: picture.tiles, plane: plane)[0]
                count += 1
            }
            let rate = Double(count) / Date().timeIntervalSince(start)
            let memory = TorchRuntime.residentBytes / (1 << 20)
            print(
                "{\"work\": \"images\", \"files\": \(names.count), \"images_per_s\": \(rate), "
                    + "\"resident_mib\": \(memory), \"checksum\": \(checksum)}")
        }
    }
}
