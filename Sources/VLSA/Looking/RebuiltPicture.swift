import AnyRes
import Torch

/// A picture, what the frozen latents keep of it, and what the visual tokens keep of it.
public struct RebuiltPicture: Sendable {
    /// The padded picture at the objective's size.
    public let original: Pixels
    /// The original through the frozen codec and back: the best a reconstruction can be.
    public let roundTrip: Pixels
    /// From noise, with nothing but the visual tokens as prompt.
    public let rebuilt: Pixels
    /// From the same noise with the next picture's visual tokens (the first one's for the last); nil for a single
    /// picture.
    public let swapped: Pixels?
    /// Width over height of the padded picture, before it was made square.
    let aspect: Double

    /// The codec's picture against the original.
    public var codecScore: PictureSimilarity { PictureSimilarity(of: roundTrip, to: original) }
    /// The rebuilt picture against the original.
    public var score: PictureSimilarity { PictureSimilarity(of: rebuilt, to: original) }
    /// What was rebuilt from another picture's tokens against the original: as good as ``score`` where
    /// reconstruction does not depend on its picture.
    public var swappedScore: PictureSimilarity? {
        swapped.map { PictureSimilarity(of: $0, to: original) }
    }
    /// The best single colour, the original's mean, against the original.
    public var constantScore: PictureSimilarity {
        PictureSimilarity(
            of: Pixels(width: original.width, height: original.height, colour: original.meanColour),
            to: original)
    }

    /// The three side by side in the picture's own aspect, `side` pixels at most each way.
    func panels(side: Int = 320) -> [PictureSheet.Panel] {
        let wide = aspect >= 1
        let width = wide ? side : max(1, Int((Double(side) * aspect).rounded()))
        let height = wide ? max(1, Int((Double(side) / aspect).rounded())) : side
        func panel(_ pixels: Pixels, _ caption: String) -> PictureSheet.Panel {
            PictureSheet.Panel(resized(pixels, width: width, height: height), caption)
        }
        return [
            panel(original, "original, \(original.width) x \(original.height) pixels"),
            panel(roundTrip, "latent, decoded: \(codecScore.text)"),
            panel(rebuilt, "from noise: \(score.text)"),
        ]
    }
}

extension VLSAModel {
    /// Rebuilds pictures from noise through their visual tokens alone.
    ///
    /// - Parameters:
    ///   - steps: Euler steps.
    ///   - guidance: weight of the tokens against no prompt (zeros); 1 leaves guidance out.
    ///   - seed: of the noise; a picture's noise does not depend on the other pictures.
    ///   - originals: what the pictures are compared with, where they were cut otherwise; nil for themselves.
    /// - Throws: ``VLSAError/configuration(_:)`` for a model without reconstruction.
    public func rebuild(
        _ pictures: [TiledPicture], steps: Int = 28, guidance: Double = 1, seed: UInt64 = 1,
        originals: [TiledPicture]? = nil
    ) throws -> [RebuiltPicture] {
        guard let reconstruction else {
            throw VLSAError.configuration(
                "the model rebuilds no pictures: it was trained with objective.kind "
                    + "\(configuration.objective.kind.rawValue); rebuilding needs reconstruction")
        }
        return withoutGradients {
            // Each on its own, so that a picture does not depend on its neighbours, not even in its last digit.
            let seen = pictures.map { see([$0]) }
            func sampled(from index: Int) -> Pixels {
                guard let pooled = seen[index].pooled else {
                    fatalError("a reconstruction without the perceiver's pooled token")
                }
                return Pixels(
                    unit: reconstruction.sample(
                        tokens: seen[index].tokens, pooled: pooled, steps: steps,
                        guidance: guidance,
                        generator: Generator(seed: seed, device: store.device))[0])
            }
            let rebuilt = pictures.indices.map(sampled)
            let side = reconstruction.configuration.pictureSize
            return (originals ?? pictures).enumerated().map { index, picture in
                let whole = picture.paddedPicture()
                let z = reconstruction.targets(of: [picture], device: store.device)
                let next = (index + 1) % pictures.count
                return RebuiltPicture(
                    original: resized(whole, width: side, height: side),
                    roundTrip: Pixels(unit: reconstruction.latents.decode(z)[0]),
                    rebuilt: rebuilt[index],
                    // All start from the same noise: the next one's tokens make the next one's picture.
                    swapped: pictures.count > 1 ? rebuilt[next] : nil,
                    aspect: Double(whole.width) / Double(whole.height))
            }
        }
    }

    /// Rebuilt pictures with their originals, a row each.
    public func reconstructionSheet(_ rebuilt: [RebuiltPicture], title: String) -> PictureSheet {
        PictureSheet(
            title: title, rows: rebuilt.map { $0.panels() },
            note: "From noise with \(visualTokenCount) visual tokens as the only prompt.")
    }
}

extension Pixels {
    /// Means of the channels, rounded.
    fileprivate var meanColour: [UInt8] {
        (0..<3).map { channel in
            let values = stride(from: channel, to: bytes.count, by: 3).map { Double(bytes[$0]) }
            return UInt8((values.reduce(0, +) / Double(values.count)).rounded())
        }
    }

    /// The picture of `[3, H, W]` values in -1...1; values beyond are cut.
    init(unit values: Tensor) {
        let bytes = ((values.to(.float32).clamped(min: -1, max: 1) + 1) * 127.5).round().to(.uint8)
        self.init(width: bytes.shape[2], height: bytes.shape[1], planar: bytes.bytes())
    }
}
