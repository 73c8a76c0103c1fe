import AnyRes
import Foundation
import Torch
import VLSA

/// Shows at each validation what the denoiser makes of some pictures' visual tokens: the picture on the left, on
/// the right what is rebuilt from noise, always the same noise. PNG files in the run folder and TensorBoard
/// pictures `reconstruction/0`, `reconstruction/1`, ….
final class ReconstructionPictures: TrainingObserver {
    private let parts: StageParts
    private let count: Int
    private let seed: UInt64
    private var pictures: [TiledPicture]?
    /// Euler steps of a reconstruction.
    private let steps = 20

    /// Nil when the plan wants no pictures.
    init?(_ plan: TrainingPlan, _ parts: StageParts) {
        guard plan.log.pictures > 0 else { return nil }
        self.parts = parts
        count = plan.log.pictures
        seed = plan.seed
    }

    func validated(_ report: ValidationReport, of run: TrainingRun<VLSAModel>) throws {
        guard let reconstruction = run.model.reconstruction else { return }
        let pictures = try pictures ?? pick(run.model)
        self.pictures = pictures
        for (index, picture) in pictures.enumerated() {
            let side = reconstruction.configuration.pictureSize
            guard
                let rebuilt = withoutGradients({ () -> Tensor? in
                    let seen = run.model.see([picture])
                    guard let pooled = seen.pooled else { return nil }
                    return reconstruction.sample(
                        tokens: seen.tokens, pooled: pooled, steps: steps,
                        generator: Generator(seed: seed &+ UInt64(index)))
                })
            else { return }
            let bytes = ((rebuilt.clamped(min: -1, max: 1) + 1) * 127.5).round().to(.uint8)
            let original = Tensor(
                resized(picture.paddedPicture(), width: side, height: side).planar(),
                shape: [3, side, side])
            let pair = Tensor.concatenated([original, bytes[0].to(.cpu)], axis: 2)
            let pixels = Pixels(width: 2 * side, height: side, planar: pair.bytes())
            try run.addPicture(
                pixels.encoded(as: .png(compression: 6)), tag: "reconstruction/\(index)",
                width: 2 * side, height: side)
        }
    }

    /// The first pictures of the validation records, or of the training records where there are none.
    private func pick(_ model: VLSAModel) throws -> [TiledPicture] {
        let records = parts.data.validation.isEmpty ? parts.data.records : parts.data.validation
        let loader = try parts.loader(of: records, for: model, isTraining: false)
        var found: [TiledPicture] = []
        for _ in 0..<loader.count where found.count < count {
            found += try loader.next(1).flatMap(\.pictures)
        }
        return Array(found.prefix(count))
    }
}
