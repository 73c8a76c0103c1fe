import AnyRes
import Foundation
import Prompting
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct PictureSimilarityTests {
    static func noise(_ width: Int, _ height: Int, seed: UInt64) -> Pixels {
        let values = Tensor.uniform([height * width * 3], generator: Generator(seed: seed))
        return Pixels(
            width: width, height: height, bytes: (values * 255).to(.uint8).bytes())
    }

    @Test func equalPicturesAreEqual() {
        let picture = Self.noise(20, 15, seed: 1)
        let same = PictureSimilarity(of: picture, to: picture)
        #expect(same.decibels == .infinity)
        #expect(abs(same.structure - 1) < 1e-12)
    }

    @Test func decibelsAreThoseOfTheMeanSquare() {
        let a = Pixels(width: 12, height: 12, colour: [100, 100, 100])
        let b = Pixels(width: 12, height: 12, colour: [110, 100, 100])
        let expected = 10 * log10(255 * 255 / (100.0 / 3))
        #expect(abs(PictureSimilarity(of: a, to: b).decibels - expected) < 1e-9)
    }

    /// The printed formula, window by window.
    @Test(arguments: [(20, 16), (11, 30), (7, 40)])
    func structureIsThePrintedMean(width: Int, height: Int) {
        let (a, b) = (Self.noise(width, height, seed: 2), Self.noise(width, height, seed: 3))
        func luma(_ p: Pixels, _ x: Int, _ y: Int) -> Double {
            let c = p[x, y].map(Double.init)
            let red = 0.299 * c[0]
            let green = 0.587 * c[1]
            return red + green + 0.114 * c[2]
        }
        func weights(_ n: Int) -> [Double] {
            let middle = Double(n - 1) / 2
            let raw = (0..<n).map { (i: Int) -> Double in exp(-pow(Double(i) - middle, 2) / 4.5) }
            let total = raw.reduce(0, +)
            return raw.map { $0 / total }
        }
        let (u, v) = (weights(min(11, width)), weights(min(11, height)))
        var sum = 0.0
        var count = 0
        for top in 0...(height - v.count) {
            for left in 0...(width - u.count) {
                var m = [0.0, 0.0]
                var s = [0.0, 0.0, 0.0]
                for (j, wy) in v.enumerated() {
                    for (i, wx) in u.enumerated() {
                        let x = luma(a, left + i, top + j)
                        let y = luma(b, left + i, top + j)
                        m[0] += wx * wy * x
                        m[1] += wx * wy * y
                        s[0] += wx * wy * x * x
                        s[1] += wx * wy * y * y
                        s[2] += wx * wy * x * y
                    }
                }
                let c1 = 6.5025
                let c2 = 58.5225
                let covariance = s[2] - m[0] * m[1]
                let squares = m[0] * m[0] + m[1] * m[1]
                let variances = s[0] + s[1] - squares
                let above = (2 * m[0] * m[1] + c1) * (2 * covariance + c2)
                sum += above / ((squares + c1) * (variances + c2))
                count += 1
            }
        }
        let found = PictureSimilarity(of: a, to: b).structure
        #expect(abs(found - sum / Double(count)) < 1e-9)
    }
}

@Suite struct LookingTests {
    static func disturbed() throws -> VLSAModel {
        let model = try TinyStack.model()
        for part in VLSAModel.parts { TinyStack.disturb(model, part) }
        return model
    }

    @Test func aPictureIsRebuiltFromItsSeedAlone() throws {
        let model = try Self.disturbed()
        let (a, b) = (
            try TinyStack.picture(width: 60, height: 40, seed: 4),
            try TinyStack.picture(width: 20, height: 70, seed: 5)
        )
        let together = try model.rebuild([a, b], steps: 3, seed: 7)
        let alone = try model.rebuild([b], steps: 3, seed: 7)
        #expect(together[1].rebuilt == alone[0].rebuilt)
        #expect(together[1].roundTrip == alone[0].roundTrip)
        #expect(try model.rebuild([b], steps: 3, seed: 8)[0].rebuilt != alone[0].rebuilt)
        let guided = try model.rebuild([b], steps: 3, guidance: 3, seed: 7)
        #expect(guided[0].rebuilt != alone[0].rebuilt)
        #expect(guided[0].original == alone[0].original)
        #expect(alone[0].original.size == PictureSize(width: 56, height: 56))
        let sheet = try model.reconstructionSheet(together, title: "a < b & \u{1}").pixels()
        #expect(sheet.width > 900 && sheet.height > 600)
    }

    @Test func aRebuiltPictureIsComparedWithAnothersAndWithItsMean() throws {
        let model = try Self.disturbed()
        let pictures = [
            try TinyStack.picture(width: 60, height: 40, seed: 4),
            try TinyStack.picture(width: 20, height: 70, seed: 5),
        ]
        let rebuilt = try model.rebuild(pictures, steps: 3, seed: 7)
        #expect(
            rebuilt[0].swapped == rebuilt[1].rebuilt && rebuilt[1].swapped == rebuilt[0].rebuilt)
        #expect(rebuilt[0].rebuilt != rebuilt[1].rebuilt)
        #expect(
            rebuilt[0].swappedScore
                == PictureSimilarity(of: rebuilt[1].rebuilt, to: rebuilt[0].original))
        #expect(try model.rebuild([pictures[0]], steps: 1)[0].swapped == nil)
        // No other single colour is nearer.
        let original = rebuilt[0].original
        let best = rebuilt[0].constantScore.decibels
        for shift in [-3, 3] {
            for channel in 0..<3 {
                let sum = stride(from: channel, to: original.bytes.count, by: 3)
                    .reduce(0) { $0 + Int(original.bytes[$1]) }
                var colour = [UInt8](repeating: 128, count: 3)
                colour[channel] = UInt8(sum / (56 * 56) + shift)
                let other = Pixels(width: 56, height: 56, colour: colour)
                #expect(PictureSimilarity(of: other, to: original).decibels < best)
            }
        }
        // Seen in a coarser cut, held against the finer one.
        var coarse = TinyStack.configuration.picture
        coarse.maxTiles = 1
        let small = try Tiler(coarse).tile(pictures[0].paddedPicture())
        let held = try model.rebuild([small], steps: 3, seed: 7, originals: [pictures[0]])[0]
        #expect(held.original == original && held.roundTrip == rebuilt[0].roundTrip)
        #expect(held.rebuilt == (try model.rebuild([small], steps: 3, seed: 7)[0].rebuilt))
    }

    @Test func aModelWithoutDenoiserCannotRebuild() throws {
        var configuration = TinyStack.configuration
        configuration.objective.kind = .none
        let model = try TinyStack.model(configuration)
        let error = #expect(throws: VLSAError.self) {
            try model.rebuild([TinyStack.picture(width: 60, height: 40, seed: 4)])
        }
        #expect("\(try #require(error))".contains("objective.kind none"))
    }

    /// With one head and an output that passes everything on, the step is its shares times its values.
    @Test(arguments: [PerceiverActivation.softmax, .silu])
    func sharesAreTheGatherStepsOwn(activation: PerceiverActivation) throws {
        let store = ParameterStore(seed: 3)
        let perceiver = try SAPerceiver(
            PerceiverConfiguration(
                activation: activation, scale: .sqrt, sharesKeyAndValue: false, headCount: 1,
                cropPosition: .gaussian), width: 8, in: store.scope["perceiver"])
        let generator = Generator(seed: 8)
        for (_, tensor) in store.tensors() {
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * 0.3)
        }
        let x = Tensor.normal([1, 5, 8], generator: generator)
        let tiles = Tensor.normal([1, 24, 8], generator: generator)
        let places = TokenPlaces(columns: 3, rows: 2, side: 2, device: .cpu)
        let shares = perceiver.gather.weights(x, attendingTo: tiles, places: places)
        let sums = shares.sum(axis: -1).floats()
        #expect(sums.count == 5 && sums.allSatisfy { abs($0 - 1) < 1e-5 })
        guard activation == .softmax else {
            #expect(shares.min().item() >= 0)
            return
        }
        let gather = perceiver.gather
        let value = try #require(gather.value)
        let norm = try #require(gather.keyNorm)
        let expected = gather.output(shares.matmul(value(norm(tiles))))
        let found = gather(x, attendingTo: tiles, places: places)
        #expect((found - expected).abs().max().item() < 1e-5)
    }

    @Test func aMapLiesWhereItsTileTokenLies() throws {
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)  // 3 x 2 tiles
        var values = [Float](repeating: 0, count: 17 * 96)
        // Output token 5 takes all of tile 4 (second row, second column), token 2 (first row, third column).
        values[5 * 96 + 4 * 16 + 2] = 1
        let detail = GatheredDetail(
            shares: Tensor(values, shape: [17, 96]), picture: picture, side: 4)
        let map = detail.map(of: 5..<6)
        #expect(map.columns == 12 && map.rows == 8)
        #expect(map.values.firstIndex(of: 1) == 4 * 12 + 6)
        let shown = ShownPicture(picture)
        #expect(shown.pixels.size == PictureSize(width: 60, height: 40))
        // The brightest pixel lies in that token's cell of the padded canvas, 84 x 56 pixels.
        let flat = Pixels(width: 60, height: 40, colour: [0, 0, 0])
        let heat = map.over(flat, covering: shown.canvas)
        let brightest = (0..<60 * 40).max { heat.bytes[$0 * 3] < heat.bytes[$1 * 3] } ?? 0
        #expect((42..<49).contains(brightest % 60))
        #expect((28..<35).contains(brightest / 60))
        #expect(detail.token(at: (0.1, 0.1), in: shown) == 0)
        #expect(detail.token(at: (1, 1), in: shown) == 2 * 4 + 2)
    }

    @Test func gatheredDetailIsDrawn() throws {
        let model = try Self.disturbed()
        let detail = try model.gathered(from: TinyStack.picture(width: 60, height: 40, seed: 4))
        #expect(detail.shares.shape == [17, 96])
        let sheet = try detail.sheet(title: "detail").pixels()
        #expect(sheet.width > 1000)
        var configuration = TinyStack.configuration
        configuration.perceiver.isEnabled = false
        configuration.objective.kind = .none
        let plain = try TinyStack.model(configuration)
        #expect(throws: VLSAError.self) {
            try plain.gathered(from: TinyStack.picture(width: 60, height: 40, seed: 4))
        }
    }

    @Test func decoderWeightsAreItsAttentions() throws {
        let store = ParameterStore(seed: 4)
        let model = try LanguageModel(
            LanguageConfiguration(
                vocabularySize: 20, width: 8, hiddenWidth: 16, layerCount: 1, headCount: 1,
                keyValueHeadCount: 1), in: store.scope["language"])
        for (_, tensor) in store.tensors() {
            tensor.copy(from: Tensor.normal(tensor.shape, generator: Generator(seed: 9)))
        }
        let x = Tensor.normal([1, 6, 8], generator: Generator(seed: 5))
        let all = model.attention(x, from: Array(0..<6))
        #expect(all.shape == [6, 6])
        #expect(all.upperTriangle(diagonal: 1).abs().max().item() == 0)
        let layer = model.layers[0]
        let normed = layer.norm1(x)
        let expected = layer.attention(normed, model.pass(x, layout: .dense, cache: nil))
        let found = layer.attention.out(all.matmul(layer.attention.entry(normed)[2][0]))
        #expect((found - expected[0]).abs().max().item() < 1e-5)
        let some = model.attention(x, from: [4, 1])
        #expect(some[0].floats() == all[4].floats() && some[1].floats() == all[1].floats())
    }

    @Test func wordsOfAnAnswerLookAtThePicture() throws {
        let model = try Self.disturbed()
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        let gaze = try model.gaze(asking: "What is here?", about: picture, limit: 6)
        let question = Question(
            prompt: try model.prompt(for: [Turn(.user, "<image>\nWhat is here?")]), pictures: [0])
        #expect(try model.answer([question], about: [picture], limit: 6) == [gaze.answer])
        #expect(!gaze.words.isEmpty)
        for word in gaze.words {
            #expect(word.attention.count == 16)
            #expect((0...1).contains(word.share))
            #expect(abs(word.share - Double(word.attention.reduce(0, +))) < 1e-5)
        }
        #expect(try gaze.sheet().pixels().width > 300)
    }

    @Test func componentsAreThoseOfLargestVariance() throws {
        let generator = Generator(seed: 3)
        // Orthogonal directions of deviation 4, 2, 1 in 10 dimensions, and an offset that must not count.
        let scores = Tensor.normal([25, 3], generator: generator)
        let centred = scores - scores.mean(axis: 0, keepingAxis: true)
        var directions = [Float](repeating: 0, count: 30)
        for (row, size) in [Float(4), 2, 1].enumerated() { directions[row * 10 + row * 3] = size }
        let tokens = centred.matmul(Tensor(directions, shape: [3, 10])) + 7
        let found = try TokenComponents(tokens)
        #expect(found.side == 5)
        #expect(found.shares[0] > found.shares[1] && found.shares[1] > found.shares[2])
        #expect(abs(found.shares.reduce(0, +) - 1) < 1e-5)
        // Three components hold everything: distances between tokens are kept.
        let x = tokens.doubles()
        for (a, b) in [(0, 1), (3, 20), (7, 11)] {
            let whole = (0..<10).reduce(0) { $0 + pow(x[a * 10 + $1] - x[b * 10 + $1], 2) }
            let kept = zip(found.scores[a], found.scores[b]).reduce(0) { $0 + pow($1.0 - $1.1, 2) }
            #expect(abs(whole - kept) < 1e-3 * whole)
        }
        let mirrored = try TokenComponents(tokens * -1)
        let back = mirrored.aligned(with: found)
        for (a, b) in zip(back.scores, found.scores) {
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-3 })
        }
        #expect(found.pixels().size == PictureSize(width: 5, height: 5))
    }

    @Test func componentsOfTwoModelsStandSideBySide() throws {
        let model = try Self.disturbed()
        let picture = try TinyStack.picture(width: 60, height: 40, seed: 4)
        let components = try model.components(of: picture)
        let sheet = try componentSheet(
            [(picture, [("a", components), ("b", components)])], title: "tokens"
        ).pixels()
        #expect(sheet.width >= 3 * 320)
    }

    @Test func captionsOfNarrowPanelsHaveRoomAndLongWordsAreCut() throws {
        let bar = Pixels(width: 4, height: 30, colour: [255, 0, 0])
        let rows = [(0..<6).map { PictureSheet.Panel(bar, "token \($0), 12.34 dB") }]
        let sheet = PictureSheet(title: String(repeating: "x", count: 300), rows: rows)
        #expect(rows[0][0].width >= 90)
        #expect(try sheet.pixels().width >= 6 * 90)
        let lines = sheet.lines(sheet.title + " end", width: 400, size: 18)
        #expect(lines.joined() == sheet.title + " end")
        #expect(Set(lines.dropLast().map(\.count)).count == 1)
        #expect(lines.allSatisfy { Double($0.count) * 7.4 * 18 / 13 <= 400 })
    }

    @Test func panelsKeepTheirPixels() throws {
        let red = Pixels(width: 40, height: 30, colour: [255, 0, 0])
        let blue = Pixels(width: 50, height: 60, colour: [0, 0, 255])
        let sheet = try PictureSheet(
            title: "title", rows: [[.init(red, "red"), .init(blue, "blue")]]
        ).pixels()
        #expect(sheet.bytes.count == sheet.width * sheet.height * 3)
        func count(_ colour: [UInt8]) -> Int {
            stride(from: 0, to: sheet.bytes.count, by: 3).count {
                Array(sheet.bytes[$0..<$0 + 3]) == colour
            }
        }
        #expect(count([255, 0, 0]) == 1200 && count([0, 0, 255]) == 3000)
        #expect(sheet[0, 0] == [255, 255, 255])
    }
}
