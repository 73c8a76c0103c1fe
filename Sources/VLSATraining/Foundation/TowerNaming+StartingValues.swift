import Foundation
import Torch
import TorchNN
import VLSA

extension TowerNaming {
    /// Starting values with which a narrow tower is a small convolutional network from the first step: families start
    /// with small random numbers, and learn from millions of pictures to look at neighbours.
    ///
    /// As many columns as a head has hold the patch's place, the others its lowest cosine frequencies, which lose least of
    /// it. Heads look at the patch `2^layer` to the left, right, above and below, and bring its content.
    func start(_ configuration: CLIPVisionConfiguration, seed: UInt64) {
        let generator = Generator(seed: seed &+ 1)
        let (width, heads) = (configuration.width, configuration.headCount)
        let placeWidth = width / heads
        let contentWidth = width - placeWidth
        guard placeWidth % 4 == 0, contentWidth > 0 else { return }
        func set(_ name: String, _ values: Tensor) { store["vision." + name]?.copy(from: values) }
        set(
            "embeddings.patch_embedding.weight",
            TowerNaming.cosineFilters(width: contentWidth, side: configuration.patchSize)
                .padded([0, 0, 0, 0, 0, 0, placeWidth, 0], value: 0))
        let perSide = configuration.imageSize / configuration.patchSize
        set(
            "embeddings.position_embedding.weight",
            TowerNaming.places(perSide: perSide, width: placeWidth)
                .padded([0, contentWidth, 1, 0], value: 0))
        let turns = [(-1, 0), (1, 0), (0, -1), (0, 1)]
        for layer in 0..<configuration.layerCount {
            let path = "encoder.layers.\(layer)."
            let queries = (0..<heads).map { head in
                let (x, y) = turns[head % turns.count]
                return TowerNaming.turning(by: (x << layer, y << layer), width: placeWidth)
            }
            let chosen = TowerNaming.turning(by: (0, 0), width: placeWidth) * 2
            set(
                path + "self_attn.q_proj.weight",
                (Tensor.concatenated(queries, axis: 0) * 2).padded([0, contentWidth], value: 0))
            set(
                path + "self_attn.k_proj.weight",
                Tensor.concatenated(Array(repeating: chosen, count: heads), axis: 0)
                    .padded([0, contentWidth], value: 0))
            set(
                path + "self_attn.v_proj.weight",
                orthonormalRows(width, contentWidth, generator: generator)
                    .padded([placeWidth, 0], value: 0))
            set(
                path + "self_attn.out_proj.weight",
                (orthonormalRows(width, contentWidth, generator: generator).transposed(0, 1) * 0.5)
                    .padded([0, 0, placeWidth, 0], value: 0))
            let (inner, hidden) = (configuration.hiddenWidth, Double(configuration.hiddenWidth))
            set(
                path + "mlp.fc1.weight",
                Tensor.normal([inner, width], generator: generator)
                    * (1 / Double(width).squareRoot()))
            set(
                path + "mlp.fc2.weight",
                (Tensor.normal([contentWidth, inner], generator: generator)
                    * (0.5 / hidden.squareRoot())).padded([0, 0, placeWidth, 0], value: 0))
        }
    }

    /// Angles in radians a patch, odd multiples of the lowest: their cosines add up to a peak one patch wide.
    private static func frequencies(_ width: Int) -> [Double] {
        (0..<width / 4).map { Double(2 * $0 + 1) * Double.pi / Double(width) }
    }

    /// Sines and cosines of column and row, pair by pair, `[perSide², width]`.
    static func places(perSide: Int, width: Int) -> Tensor {
        let values = (0..<perSide * perSide).flatMap { place -> [Float] in
            [place % perSide, place / perSide].flatMap { coordinate in
                frequencies(width).flatMap { frequency -> [Float] in
                    let angle = Double(coordinate) * frequency
                    return [Float(1.4 * sin(angle)), Float(1.4 * cos(angle))]
                }
            }
        }
        return Tensor(values, shape: [perSide * perSide, width])
    }

    /// The matrix that turns the code of a place into that of the place `offset` away, `[width, width]`.
    static func turning(by offset: (Int, Int), width: Int) -> Tensor {
        var matrix = [Float](repeating: 0, count: width * width)
        var row = 0
        for distance in [offset.0, offset.1] {
            for frequency in frequencies(width) {
                let angle = Double(distance) * frequency
                matrix[row * width + row] = Float(cos(angle))
                matrix[row * width + row + 1] = Float(sin(angle))
                matrix[(row + 1) * width + row] = Float(-sin(angle))
                matrix[(row + 1) * width + row + 1] = Float(cos(angle))
                row += 2
            }
        }
        return Tensor(matrix, shape: [width, width])
    }

    /// The lowest frequencies of the cosine transform of a patch, of brightness and of two differences of colours,
    /// each raised by its frequency, as pictures fall off with it; `[width, 3, side, side]`.
    static func cosineFilters(width: Int, side: Int) -> Tensor {
        let channels: [[Double]] = [[1, 1, 1], [1, -1, 0], [1, 1, -2]].map { weights in
            let length = weights.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return weights.map { $0 / length }
        }
        var waves: [(channel: Int, x: Int, y: Int, cost: Double)] = []
        for channel in 0..<3 {
            for y in 0..<side {
                for x in 0..<side {
                    waves.append((channel, x, y, Double(x + y) * (channel == 0 ? 1 : 1.7)))
                }
            }
        }
        waves.sort { ($0.cost, $0.channel, $0.y, $0.x) < ($1.cost, $1.channel, $1.y, $1.x) }
        func cosine(_ wave: Int, _ place: Int) -> Double {
            let angle = Double.pi * (Double(place) + 0.5) * Double(wave) / Double(side)
            return cos(angle) * ((wave == 0 ? 1 : 2) / Double(side)).squareRoot()
        }
        var filters = [Float](repeating: 0, count: width * 3 * side * side)
        for (row, wave) in waves.prefix(width).enumerated() {
            let gain = 0.7 * Double(1 + wave.x + wave.y) / Double(side)
            for channel in 0..<3 {
                for y in 0..<side {
                    for x in 0..<side {
                        filters[((row * 3 + channel) * side + y) * side + x] = Float(
                            channels[wave.channel][channel] * cosine(wave.x, x) * cosine(wave.y, y)
                                * gain)
                    }
                }
            }
        }
        return Tensor(filters, shape: [width, 3, side, side])
    }
}
