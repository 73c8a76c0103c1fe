import Torch

/// Where the noise of a run's samples comes from: a generator for each sample of each step.
///
/// It follows from the run's seed, the step and the sample's place in the step alone. So nothing needs to be
/// saved, and the noise is the same in whatever micro-batch, process or sitting the sample is trained.
struct SampleNoise {
    let seed: UInt64
    let device: Device

    /// The generator of the sample at `place` among the samples of the step after `step` steps.
    func generator(step: Int, place: Int) -> Generator {
        var mixed = seed
        for number in [step, place] {
            var mix = SplitMix(state: mixed)
            mixed = mix.next() ^ UInt64(number)
        }
        var last = SplitMix(state: mixed)
        return Generator(seed: last.next(), device: device)
    }
}
