import ArgumentParser
import Codecs
import Foundation
import VLSATraining

struct CodecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec", abstract: "Fits frozen targets to a folder of pictures.",
        subcommands: [Fit.self])

    struct Fit: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fits KLT latents and a k-means codebook, in closed form.",
            discussion: """
                Writes latents/ and codebook/ under --out and reports how well latents rebuild the pictures and how \
                many codes are in use.

                Example: vlsa codec fit --images data/images --out codecs
                """)

        @Option(help: "Folder of pictures.") var images: String
        @Option(help: "Folder to write into.") var out: String
        @Option(help: "Latent channels.") var channels = 16
        @Option(help: "Pixels along a latent cell's side.") var patch = 8
        @Option(help: "Codes in the codebook.") var codes = 256
        @Option(help: "Pixels along a code's side.") var codePatch = 16
        @Option(help: "Most pictures to look at, spread over the folder.") var limit: Int?
        @Option(help: "Seed of the sampling.") var seed: UInt64 = 1

        func run() throws {
            try requireExisting(images, "--images")
            var pictures = try FitPictures(folder: images)
            if let limit, limit < pictures.count {
                guard limit > 0 else { throw ValidationError("--limit must be above 0") }
                let all = pictures
                pictures = FitPictures(count: limit) { index in
                    try all.picture(index * all.count / limit)
                }
            }
            note("codec: latents from \(pictures.count) pictures")
            let latents = try KLTLatents.fit(
                pictures: pictures,
                settings: KLTSettings(channels: channels, patchSide: patch, seed: seed))
            try latents.save(to: out + "/latents")
            note("codec: codebook")
            let codebook = try KMeansCodebook.fit(
                pictures: pictures,
                settings: KMeansSettings(codeCount: codes, patchSide: codePatch, seed: seed))
            try codebook.save(to: out + "/codebook")
            print(
                "latents: \(channels) channels, \(patch) pixels a cell, "
                    + String(format: "%.1f dB PSNR", latents.report.decibels))
            if let use = codebook.report.use {
                print(
                    "codebook: \(codes) codes, \(codePatch) pixels a cell, "
                        + String(
                            format: "%.0f%% in use, perplexity %.0f, %.1f dB PSNR",
                            use.usedFraction * 100, use.perplexity, codebook.report.decibels))
            }
        }
    }
}

/// A plain line of progress on standard error.
func note(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}
