import Foundation
import Torch
import TorchNN

// Shapes: B batch, N image tokens, D width, p patch side, M side of the position table.

/// Latent patches with their positions.
struct LatentPatches {
    let projection: Conv2d
    let table: Tensor  // [1, M M, D], data and not a weight: checkpoints carry their own
    let patchSize: Int
    let side: Int

    init(_ configuration: MMDiTConfiguration, in scope: ParameterScope) throws {
        let (width, p, m) = (
            configuration.width, configuration.patchSize, configuration.positionGrid
        )
        let bound = (6 / Double(configuration.channels * p * p + width)).squareRoot()
        projection = try Conv2d(
            configuration.channels, width, kernel: p, stride: p,
            initial: .uniform(bound: bound), in: scope["proj"])
        table = try scope.buffer(
            "pos_embed", shape: [1, m * m, width],
            initial: .tensor {
                positionTable(
                    width: width, side: m, base: max(1, configuration.sampleSize / p))
            })
        patchSize = p
        side = m
    }

    /// `[B, C, h, w]` to `[B, (h/p)(w/p), D]`; positions are the table's central crop.
    func callAsFunction(_ latents: Tensor) -> Tensor {
        let (rows, columns) = (latents.shape[2] / patchSize, latents.shape[3] / patchSize)
        guard latents.shape[2] % patchSize == 0, latents.shape[3] % patchSize == 0,
            rows <= side, columns <= side
        else {
            fatalError(
                "latents \(latents.shape): sides must be multiples of \(patchSize) and at most "
                    + "\(side * patchSize)")
        }
        let tokens = projection(latents)
        let (top, left) = ((side - rows) / 2, (side - columns) / 2)
        let width = tokens.shape[1]
        let positions = table.reshaped([side, side, width])
            .narrowed(axis: 0, start: top, length: rows)
            .narrowed(axis: 1, start: left, length: columns)
            .reshaped([1, rows * columns, width]).to(tokens.dtype)
        return tokens.reshaped([tokens.shape[0], width, -1]).transposed(1, 2) + positions
    }
}

/// Sine-cosine positions `[1, side * side, width]` as diffusers computes them when no checkpoint
/// brings its own.
///
/// Coordinates are scaled so that `base` patches span the same range as the whole table.
func positionTable(width: Int, side: Int, base: Int) -> Tensor {
    placeCodes(width: width, at: (0..<side).map { Double($0) / (Double(side) / Double(base)) })
}

/// Codes of the places of a square grid whose rows and columns are at these coordinates, `[1, n * n, width]`: the first
/// half of the channels encodes the column, the second the row, each as all sines, then all cosines, over
/// 10000^(-i / (width/4)).
private func placeCodes(width: Int, at coordinates: [Double]) -> Tensor {
    let quarter = width / 4
    let frequencies = (0..<quarter).map { pow(10_000, -Double($0) / Double(quarter)) }
    let codes: [Float] = coordinates.flatMap { at in
        frequencies.map { Float(sin(at * $0)) } + frequencies.map { Float(cos(at * $0)) }
    }
    let side = coordinates.count
    let code = Tensor(codes, shape: [side, 2 * quarter])
    let square = [side, side, 2 * quarter]
    let both = Tensor.concatenated(
        [code.unsqueezed(0).expanded(to: square), code.unsqueezed(1).expanded(to: square)],
        axis: 2
    ).reshaped([1, side * side, 4 * quarter])
    return width % 4 == 0 ? both : both.padded([0, width % 4], value: 0)
}

extension MMDiTConfiguration {
    /// Codes of a prompt's places, `[1, tokensPerSide², contextWidth]`: the prompt is a square grid of tokens over the
    /// picture whose latent has `latentSide` cells a side, and its places are told in the coordinates in which the
    /// latent's patches have theirs.
    public func promptPlaces(tokensPerSide: Int, latentSide: Int) -> Tensor {
        let patches = latentSide / patchSize
        let first = Double((positionGrid - patches) / 2)
        let unit = Double(positionGrid) / Double(max(1, sampleSize / patchSize))
        let coordinates = (0..<tokensPerSide).map { token in
            (first + (Double(token) + 0.5) * Double(patches) / Double(tokensPerSide) - 0.5) / unit
        }
        return placeCodes(width: contextWidth, at: coordinates)
    }
}

/// Time and pooled prompt to the one vector that steers every block.
struct Conditioning {
    let time: FeedForward
    let pooled: FeedForward

    init(_ configuration: MMDiTConfiguration, in scope: ParameterScope) throws {
        let width = configuration.width
        let spread = Initial.normal(deviation: 0.02)
        func layers(_ entry: Int, _ scope: ParameterScope) throws -> FeedForward {
            FeedForward(
                first: try Linear(entry, width, initial: spread, in: scope["linear_1"]),
                second: try Linear(width, width, initial: spread, in: scope["linear_2"]),
                activation: .silu)
        }
        time = try layers(timeFrequencies, scope["timestep_embedder"])
        pooled = try layers(configuration.pooledWidth, scope["text_embedder"])
    }

    /// - Parameters:
    ///   - timesteps: `[B]`, 0...1000.
    ///   - vector: `[B, P]`.
    /// - Returns: `[B, D]`.
    func callAsFunction(_ timesteps: Tensor, _ vector: Tensor) -> Tensor {
        time(timeCode(timesteps).to(vector.dtype)) + pooled(vector)
    }
}

/// Width of a timestep's code.
let timeFrequencies = 256

/// Sinusoids `[B, 256]` of timesteps `[B]` in 0...1000: cosines first, then sines; always fp32.
///
/// A timestep in bf16 would be off by up to 2 near 1000 already.
func timeCode(_ timesteps: Tensor) -> Tensor {
    let half = timeFrequencies / 2
    let frequencies = (0..<half).map { Float(exp(-log(10_000.0) * Double($0) / Double(half))) }
    let angles =
        timesteps.to(.float32).unsqueezed(1)
        * Tensor(frequencies, shape: [1, half], device: timesteps.device)
    return Tensor.concatenated([angles.cos(), angles.sin()], axis: 1)
}
