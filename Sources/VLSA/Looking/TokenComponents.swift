import AnyRes
import Codecs
import Foundation
import Torch

/// The first three principal components of a picture's visual tokens, to be seen as red, green and blue.
public struct TokenComponents {
    /// Scores of the components at each token, `[l][3]`, row by row of the snapshot's grid.
    public let scores: [[Double]]
    /// Share of the tokens' variance that each component has, falling.
    public let shares: [Double]
    /// Tokens along a side.
    public let side: Int

    /// Components of tokens `[l, d]`, l a square number.
    ///
    /// They come from the eigenvectors of the centred tokens' Gram matrix. A component's sign is free: its
    /// largest score by magnitude is positive.
    public init(_ tokens: Tensor) throws {
        let count = tokens.shape[0]
        side = Int(Double(count).squareRoot())
        guard side * side == count else {
            fatalError("TokenComponents: \(count) tokens are no square grid")
        }
        let x = tokens.detached().to(.cpu).to(.float64)
        let centred = x - x.mean(axis: 0, keepingAxis: true)
        try LinearAlgebra.open()
        let (values, vectors) = try LinearAlgebra.eigen(
            symmetric: centred.matmul(centred.transposed(0, 1)).doubles(), n: count)
        let total = max(values.reduce(0) { $0 + max(0, $1) }, .leastNormalMagnitude)
        let kept = min(3, count)
        shares = (0..<3).map { $0 < kept ? max(0, values[$0]) / total : 0 }
        scores = (0..<count).map { token in
            (0..<3).map { component in
                component < kept
                    ? vectors[component * count + token] * max(0, values[component]).squareRoot()
                    : 0
            }
        }
    }

    /// The same with each component's sign turned so that it goes along with `other`'s.
    public func aligned(with other: TokenComponents) -> TokenComponents {
        let signs = (0..<3).map { component in
            zip(scores, other.scores).reduce(0) { $0 + $1.0[component] * $1.1[component] } < 0
                ? -1.0 : 1.0
        }
        return TokenComponents(
            scores: scores.map { zip($0, signs).map(*) }, shares: shares, side: side)
    }

    private init(scores: [[Double]], shares: [Double], side: Int) {
        (self.scores, self.shares, self.side) = (scores, shares, side)
    }

    /// A pixel for each token: every component from its 2nd to its 98th percentile as 0...255.
    public func pixels() -> Pixels {
        var bytes = [UInt8](repeating: 0, count: scores.count * 3)
        for component in 0..<3 {
            let values = scores.map { $0[component] }
            let sorted = values.sorted()
            let last = Double(sorted.count - 1)
            let low = sorted[Int(0.02 * last)]
            let high = sorted[Int((0.98 * last).rounded(.up))]
            for (token, value) in values.enumerated() {
                let level = high > low ? (value - low) / (high - low) : 0.5
                bytes[token * 3 + component] = UInt8((min(max(level, 0), 1) * 255).rounded())
            }
        }
        return Pixels(width: side, height: side, bytes: bytes)
    }

    /// Such as `62 % of the variance: 31, 19, 12`.
    public var text: String {
        let percent = shares.map { Int(($0 * 100).rounded()) }
        let sum = Int((shares.reduce(0, +) * 100).rounded())
        return "\(sum) % of the variance: \(percent.map(String.init).joined(separator: ", "))"
    }
}

extension VLSAModel {
    /// The principal components of a picture's visual tokens, the snapshot's, as they enter the language model.
    public func components(of picture: TiledPicture) throws -> TokenComponents {
        let tokens = withoutGradients {
            see([picture]).rows.narrowed(axis: 0, start: 0, length: visualTokenCount)
        }
        return try TokenComponents(tokens)
    }
}

/// Components of several models' tokens beside a picture, in a row for each picture.
///
/// The first model's signs count for all. Cells are drawn as the snapshot lies on the picture.
public func componentSheet(
    _ rows: [(picture: TiledPicture, models: [(name: String, components: TokenComponents)])],
    title: String
) -> PictureSheet {
    let panels = rows.map { row in
        let shown = ShownPicture(row.picture).fitted(into: 320)
        return [PictureSheet.Panel(shown.pixels, "the picture")]
            + row.models.map { model in
                let reference = row.models[0].components
                let components =
                    model.components.side == reference.side
                    ? model.components.aligned(with: reference) : model.components
                return PictureSheet.Panel(
                    components.pixels().cells(over: shown),
                    "\(model.name): \(components.text)")
            }
    }
    return PictureSheet(
        title: title, rows: panels,
        note:
            "The first three principal components of the visual tokens as red, green and blue, a cell a token."
    )
}

extension Pixels {
    /// Every pixel as a cell of the snapshot's grid on a picture, cut to the picture.
    fileprivate func cells(over shown: ShownPicture) -> Pixels {
        var result = shown.pixels
        for y in 0..<result.height {
            let row = Int(
                (Double(y) + 0.5 - shown.snapshot.y) / shown.snapshot.height * Double(height))
            for x in 0..<result.width {
                let column = Int(
                    (Double(x) + 0.5 - shown.snapshot.x) / shown.snapshot.width * Double(width))
                let source =
                    (min(max(row, 0), height - 1) * width + min(max(column, 0), width - 1)) * 3
                let target = (y * result.width + x) * 3
                for channel in 0..<3 { result.bytes[target + channel] = bytes[source + channel] }
            }
        }
        return result
    }
}
