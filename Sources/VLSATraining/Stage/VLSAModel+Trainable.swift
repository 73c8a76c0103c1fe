import Corpus
import Prompting
import Torch
import TorchNN
import VLSA

extension Sample: TrainingExample {}

extension VLSAModel: Trainable {
    public typealias Example = Sample

    /// `text` counts the supervised tokens that something precedes, `visual` the pictures of the visual objective.
    public func counts(_ samples: [Sample]) -> [String: Int] {
        var counts = ["text": 0]
        for sample in samples {
            for (place, id) in sample.ids.enumerated()
            where place > 0 && sample.isSupervised[place] && id != PromptIDs.imageToken {
                counts["text", default: 0] += 1
            }
        }
        if configuration.objective.kind != .none {
            counts["visual"] = samples.reduce(0) { $0 + $1.pictures.count }
        }
        return counts
    }

    public func losses(_ samples: [Sample], generators: [Generator]) throws -> [LossTerm] {
        let losses: VLSALosses = try losses(samples, generators: generators)
        var terms = [LossTerm(name: "text", sum: losses.text, count: losses.textCount)]
        if configuration.objective.kind != .none {
            terms.append(LossTerm(name: "visual", sum: losses.visual, count: losses.visualCount))
        }
        return terms
    }

    /// The objective's weights at a step, learned ones as they are now.
    public func weight(of loss: String, step: Int) -> Double {
        if let balance { return balance.weight(of: loss) }
        return loss == "visual" ? configuration.objective.weight(at: step) : 1
    }

    public func objective(_ term: LossTerm, step: Int) -> Tensor? {
        guard let sum = term.sum else { return nil }
        if let balance { return balance.objective(of: term.name, sum: sum, count: term.count) }
        return sum * weight(of: term.name, step: step)
    }

    /// Norms of both losses' derivatives on the shared visual tokens.
    public func takeMeasures(scale: Double) -> [(name: String, value: Double)] {
        takeTokenGradients().map { ("tokenGradient/\($0.loss)", $0.norm / scale) }
    }
}

extension SampleLoader: ExampleSource {
    /// `processes` have to be those that the loader's settings name.
    public func share(
        of count: Int, with processes: Processes
    ) throws -> [(place: Int, example: Sample)] {
        guard settings.rank == processes.rank, settings.world == processes.count else {
            fatalError(
                "SampleLoader: process \(settings.rank) of \(settings.world), used by \(processes.rank)"
            )
        }
        return try share(of: count, exchange: processes.exchange).map { ($0.place, $0.sample) }
    }
}
