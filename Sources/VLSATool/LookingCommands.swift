import AnyRes
import ArgumentParser
import Foundation
import VLSA
import VLSATraining

struct ReconstructCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconstruct",
        abstract: "Rebuilds pictures from noise through their visual tokens alone.",
        discussion: """
            Writes a PNG with each picture's original, what the frozen latents keep of it, and what the denoiser \
            makes of noise with nothing but the visual tokens as prompt; prints PSNR and SSIM against the original. \
            What another picture's tokens make (the next one's, with several) and the picture's mean colour come to \
            is printed beside it: a reconstruction that follows its picture is nearer. The same seed gives the same \
            picture.

            Example: vlsa reconstruct --model runs/3/model --image photo.jpg --out rebuilt.png --steps 28
            """)

    @Option(help: "Model folder, trained with reconstruction.") var model: String
    @Option(parsing: .upToNextOption, help: "Picture files.") var image: [String]
    @Option(help: "The PNG to write.") var out: String
    @Option(help: "Euler steps.") var steps = 28
    @Option(help: "Weight of the tokens against no prompt; 1 is none.") var guidance = 1.0
    @Option(help: "Seed of the noise.") var seed: UInt64 = 1

    func validate() throws {
        try requirePNG(out)
        guard steps > 0 else { throw ValidationError("--steps must be above 0") }
        guard guidance.isFinite else { throw ValidationError("--guidance must be a number") }
    }

    func run() throws {
        try requireExisting(model, "--model")
        for path in image { try requireExisting(path, "--image") }
        let loaded = try VLSAModel(folder: model)
        let pictures = try tiled(image, for: loaded)
        let rebuilt = try loaded.rebuild(pictures, steps: steps, guidance: guidance, seed: seed)
        let sheet = loaded.reconstructionSheet(
            rebuilt, title: "\(model): \(steps) Euler steps, guidance \(guidance), seed \(seed)")
        try writePNG(sheet.pixels(), to: out)
        for (path, picture) in zip(image, rebuilt) {
            print("\(path): latent, decoded: \(picture.codecScore.text)")
            print("\(path): from noise: \(picture.score.text)")
            if let swapped = picture.swappedScore {
                print("\(path): from noise with another picture's tokens: \(swapped.text)")
            }
            print("\(path): the mean colour: \(picture.constantScore.text)")
        }
        print(out)
    }
}

struct AttendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attend",
        abstract: "Draws where visual tokens gathered from, or where an answer's words looked.",
        discussion: """
            Without --prompt: the places whose detail the SA-Perceiver's tokens took, all together and some alone \
            (--at says which, in shares of width and height). With --prompt: the question is answered, and each \
            word's attention to the visual tokens is laid over the picture.

            Example: vlsa attend --model runs/3/model --image photo.jpg --out gathered.png --at 0.5,0.5
            Example: vlsa attend --model runs/3/model --image photo.jpg --out looked.png --prompt "What is written there?"
            """)

    @Option(help: "Model folder.") var model: String
    @Option(help: "Picture file.") var image: String
    @Option(help: "The PNG to write.") var out: String
    @Option(help: "What to ask; without it the perceiver is drawn.") var prompt: String?
    @Option(help: "A place x,y, each 0...1; repeat for several.") var at: [String] = []
    @Option(help: "Most tokens of the answer.") var tokens = 32

    private func points() throws -> [(x: Double, y: Double)] {
        try at.map { text in
            let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map {
                Double($0)
            }
            guard numbers.count == 2, let x = numbers[0], let y = numbers[1],
                (0...1).contains(x), (0...1).contains(y)
            else { throw ValidationError("--at \(text): write it as x,y with both in 0...1") }
            return (x, y)
        }
    }

    func validate() throws {
        try requirePNG(out)
        _ = try points()
        guard prompt?.contains("<image>") != true else {
            throw ValidationError(
                "--prompt: leave <image> out; the picture stands before the question")
        }
        guard prompt == nil || at.isEmpty else {
            throw ValidationError("--at is for the perceiver; leave it or --prompt out")
        }
        guard tokens > 0 else { throw ValidationError("--tokens must be above 0") }
    }

    func run() throws {
        try requireExisting(model, "--model")
        try requireExisting(image, "--image")
        let loaded = try VLSAModel(folder: model, forInference: true)
        let picture = try tiled([image], for: loaded)[0]
        let sheet: PictureSheet
        if let prompt {
            let gaze = try loaded.gaze(asking: prompt, about: picture, limit: tokens)
            for word in gaze.words {
                print(String(format: "%5.1f %% on the picture: %@", word.share * 100, word.text))
            }
            sheet = gaze.sheet()
        } else {
            let points = try points()
            sheet = try loaded.gathered(from: picture).sheet(
                at: points.isEmpty ? GatheredDetail.spread : points, title: "\(model): \(image)")
        }
        try writePNG(sheet.pixels(), to: out)
        print(out)
    }
}

struct FeaturesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "features",
        abstract: "Draws the first principal components of visual tokens, of one or more models.",
        discussion: """
            Three components become red, green and blue, a cell a token. With several models, such as one trained \
            with reconstruction and one without, they stand side by side.

            Example: vlsa features --model runs/a/model --model runs/b/model --image photo.jpg --out features.png
            """)

    @Option(help: "Model folder; repeat to compare.") var model: [String]
    @Option(parsing: .upToNextOption, help: "Picture files.") var image: [String]
    @Option(help: "The PNG to write.") var out: String

    func validate() throws { try requirePNG(out) }

    func run() throws {
        for path in model { try requireExisting(path, "--model") }
        for path in image { try requireExisting(path, "--image") }
        var rows: [(picture: TiledPicture, models: [(name: String, components: TokenComponents)])] =
            []
        for (index, path) in model.enumerated() {
            let loaded = try VLSAModel(folder: path, forInference: true)
            let pictures = try tiled(image, for: loaded)
            for (place, picture) in pictures.enumerated() {
                if index == 0 { rows.append((picture, [])) }
                let components = try loaded.components(of: picture)
                rows[place].models.append((path, components))
                print("\(image[place]): \(path): \(components.text)")
            }
        }
        try writePNG(componentSheet(rows, title: "Visual tokens").pixels(), to: out)
        print(out)
    }
}

private func requirePNG(_ out: String) throws {
    guard out.lowercased().hasSuffix(".png") else {
        throw ValidationError("--out \(out): a PNG is written; end the name in .png")
    }
}

/// Picture files, tiled as `model` takes them.
private func tiled(_ paths: [String], for model: VLSAModel) throws -> [TiledPicture] {
    let reader = PictureReader()
    let tiler = try Tiler(model.configuration.picture)
    return try paths.map { try tiler.tile(try reader.picture(path: $0)) }
}
