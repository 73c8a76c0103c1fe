import Torch
import TorchNN

/// What a training step of the SA-Perceiver costs for one picture.
public struct PerceiverCost {
    /// Time of a forward and a backward pass, the median.
    public let seconds: Double
    /// Most memory beyond the inputs and the weights while they ran; 0 where the system does not say.
    public let extraBytes: Int

    /// Measures with random weights and tokens that want their gradients, as when the tower is trained.
    ///
    /// - Parameters:
    ///   - tokens: of a tile, a square number.
    ///   - repeats: measured passes, at least 1.
    public init(
        configuration: PerceiverConfiguration, width: Int, tokens: Int, tiles: Int,
        dtype: DType = .float32, repeats: Int = 1
    ) throws {
        let store = ParameterStore(dtype: dtype, seed: 1)
        let perceiver = try SAPerceiver(configuration, width: width, in: store.scope["perceiver"])
        store.train(["perceiver"])
        let generator = Generator(seed: 2)
        for (name, tensor) in store.tensors() where name.hasSuffix("o_proj.weight") {
            tensor.copy(from: Tensor.normal(tensor.shape, generator: generator) * 0.02)
        }
        func leaf(_ shape: [Int]) -> Tensor {
            let tensor = Tensor.normal(shape, generator: generator).to(dtype)
            tensor.requiresGradient = true
            return tensor
        }
        let snapshot = leaf([1, tokens, width])
        let detail = leaf([1, tiles * tokens, width])
        let places = TokenPlaces(
            columns: tiles, rows: 1, side: Int(Double(tokens).squareRoot()), device: .cpu)
        var times: [Double] = []
        var peak = 0
        for _ in 0..<max(1, repeats) {
            store.clearGradients()
            snapshot.gradient = nil
            detail.gradient = nil
            // Memory kept from an earlier pass would not be seen to be taken.
            TorchRuntime.releaseHostMemory()
            let before = TorchRuntime.residentBytes
            let knows = TorchRuntime.resetPeakResidentBytes()
            let start = ContinuousClock.now
            let (out, pooled) = perceiver(snapshot, tiles: detail, places: places)
            (out.to(.float32).sum() + pooled.to(.float32).sum()).backward()
            times.append(start.duration(to: .now) / .seconds(1))
            if knows { peak = max(peak, TorchRuntime.peakResidentBytes - before) }
        }
        seconds = times.sorted()[times.count / 2]
        extraBytes = peak
    }
}
