import Corpus
import VLSA

extension VLSAModel {
    /// Operations of a step over some samples, as ``VLSA/VLSAModel/work(for:)`` counts them, without the frozen
    /// latents, which are computed once and kept. Activations that are computed twice count once.
    public func operations(_ samples: [Sample]) -> Double? {
        let pictures = samples.flatMap(\.pictures)
        let extent = StageExtent(
            pictures: pictures.count, tiles: pictures.reduce(0) { $0 + $1.tileCount },
            lengths: samples.map(\.tokenCount), predictions: counts(samples)["text"] ?? 0)
        return work(for: extent).filter { $0.part != "latents" }
            .reduce(0) { $0 + $1.forward + $1.backward }
    }
}
