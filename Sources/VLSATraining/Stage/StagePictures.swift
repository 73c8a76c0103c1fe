import AnyRes
import Corpus
import Foundation
import Prompting
import VLSA

/// Shows at each validation what a model makes of some pictures: `reconstruction/0`, `reconstruction/1`, … are
/// rebuilt from their visual tokens and always the same noise, `gathered` is where the perceiver took the first
/// one's detail from, `looked` where the words of the first record's own answer look, `components` the tokens of
/// all. PNG files in the run folder and TensorBoard pictures.
final class StagePictures: TrainingObserver {
    private let parts: StageParts
    private let count: Int
    private let seed: UInt64
    private var pictures: [TiledPicture]?
    /// The first record with one picture.
    private var asked: Sample?
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
        let model = run.model
        let pictures = try pictures ?? pick(model)
        self.pictures = pictures
        guard let first = pictures.first else { return }
        let title = "\(run.plan.name), step \(report.step)"
        if model.reconstruction != nil {
            for (index, picture) in pictures.enumerated() {
                let rebuilt = try model.rebuild(
                    [picture], steps: steps, seed: seed &+ UInt64(index))
                try add(
                    model.reconstructionSheet(rebuilt, title: title),
                    tag: "reconstruction/\(index)",
                    to: run)
            }
        }
        if model.perceiver != nil {
            try add(model.gathered(from: first).sheet(title: title), tag: "gathered", to: run)
        }
        if let asked, let gaze = try gaze(asked, by: model) {
            try add(gaze.sheet(), tag: "looked", to: run)
        }
        let rows = try pictures.map { ($0, [("tokens", try model.components(of: $0))]) }
        try add(componentSheet(rows, title: title), tag: "components", to: run)
    }

    /// Where the words of the sample's first answer look; nil where it has none.
    private func gaze(_ sample: Sample, by model: VLSAModel) throws -> AnswerGaze? {
        guard let start = sample.isSupervised.firstIndex(of: true) else { return nil }
        let end = sample.isSupervised[start...].firstIndex(of: false) ?? sample.ids.count
        let answer = sample.ids[start..<end].filter { !model.stopIDs.contains($0) }
        let prompt = Array(sample.ids[..<start])
        guard !answer.isEmpty, prompt.contains(PromptIDs.imageToken) else { return nil }
        return try model.gaze(
            of: answer, to: prompt, question: model.tokenizer.decode(prompt),
            about: sample.pictures[0])
    }

    private func add(_ sheet: PictureSheet, tag: String, to run: TrainingRun<VLSAModel>) throws {
        let pixels = try sheet.pixels()
        try run.addPicture(
            pixels.encoded(as: .png(compression: 6)), tag: tag, width: pixels.width,
            height: pixels.height)
    }

    /// The first pictures of the validation records, or of the training records where there are none.
    private func pick(_ model: VLSAModel) throws -> [TiledPicture] {
        let records = parts.data.validation.isEmpty ? parts.data.records : parts.data.validation
        let loader = try parts.loader(of: records, for: model, isTraining: false, isShared: false)
        var found: [TiledPicture] = []
        for _ in 0..<loader.count where found.count < count {
            let samples = try loader.next(1)
            asked = asked ?? samples.first { $0.pictures.count == 1 }
            found += samples.flatMap(\.pictures)
        }
        return Array(found.prefix(count))
    }
}
