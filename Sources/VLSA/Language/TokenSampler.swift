import Foundation
import Torch

/// Chooses the next token from its scores.
///
/// Filters work in this order: repetition penalty, temperature, top-k, top-p, min-p, then a draw.
/// Without any of them (``greedy``) the best token is taken, the lowest id among equals.
public struct TokenSampler {
    /// Above 1 makes tokens that were seen less likely.
    public var repetitionPenalty: Double
    /// Scores are divided by it; above 1 evens the chances out.
    public var temperature: Double
    /// Only so many of the best.
    public var topK: Int?
    /// Only the best that reach this mass together.
    public var topP: Double?
    /// Only those with this share of the best one's chance.
    public var minP: Double?
    private let generator: Generator?

    /// The best token, always.
    public static var greedy: TokenSampler {
        TokenSampler(
            temperature: 1, topK: nil, topP: nil, minP: nil, repetitionPenalty: 1, generator: nil)
    }

    /// - Parameter generator: where the draws come from; nil takes the best token after the
    ///   penalty.
    public init(
        temperature: Double = 1, topK: Int? = nil, topP: Double? = nil, minP: Double? = nil,
        repetitionPenalty: Double = 1, generator: Generator?
    ) {
        self.repetitionPenalty = repetitionPenalty
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.generator = generator
    }

    /// Whether the scores alone decide.
    var isGreedy: Bool { generator == nil && repetitionPenalty == 1 }

    /// Next token of each row.
    ///
    /// - Parameters:
    ///   - logits: fp32 `[B, V]`.
    ///   - history: tokens of each row so far, for the penalty.
    func callAsFunction(_ logits: Tensor, history: [[Int]]) -> [Int] {
        if isGreedy { return logits.argmax(axis: -1).ints() }
        let width = logits.shape[1]
        let scores = logits.to(.cpu).floats()
        return history.indices.map { row in
            let own = Array(scores[row * width..<(row + 1) * width])
            let probabilities = self.probabilities(own, history: history[row])
            guard let generator else { return Self.best(probabilities) }
            let draw = Double(Tensor.uniform([1], generator: generator).to(.cpu).floats()[0])
            return Self.drawn(probabilities, at: draw)
        }
    }

    /// What is left of each token's probability after the filters; 0 for those filtered out.
    public func probabilities(_ scores: [Float], history: [Int]) -> [Double] {
        var scores = scores.map(Double.init)
        if repetitionPenalty != 1 {
            for id in Set(history) where scores.indices.contains(id) {
                scores[id] =
                    scores[id] > 0 ? scores[id] / repetitionPenalty : scores[id] * repetitionPenalty
            }
        }
        if temperature != 1 { scores = scores.map { $0 / temperature } }
        if let topK, topK < scores.count {
            let least = scores.sorted(by: >)[max(1, topK) - 1]
            scores = scores.map { $0 < least ? -.infinity : $0 }
        }
        if let topP, topP < 1 { keepMass(topP, of: &scores) }
        var probabilities = Self.softmax(scores)
        if let minP {
            let least = minP * (probabilities.max() ?? 0)
            for index in scores.indices where probabilities[index] < least {
                scores[index] = -.infinity
            }
            probabilities = Self.softmax(scores)
        }
        return probabilities
    }

    /// The smallest set of best tokens whose mass reaches `mass`, at least one.
    private func keepMass(_ mass: Double, of scores: inout [Double]) {
        let probabilities = Self.softmax(scores)
        let order = scores.indices.sorted {
            (probabilities[$0], -$0) > (probabilities[$1], -$1)
        }
        var sum = 0.0
        for (rank, index) in order.enumerated() {
            if rank > 0, sum >= mass { scores[index] = -.infinity }
            sum += probabilities[index]
        }
    }

    private static func softmax(_ scores: [Double]) -> [Double] {
        let top = scores.max() ?? 0
        let powers = scores.map { Foundation.exp($0 - top) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    private static func best(_ probabilities: [Double]) -> Int {
        probabilities.indices.max { probabilities[$0] < probabilities[$1] } ?? 0
    }

    private static func drawn(_ probabilities: [Double], at draw: Double) -> Int {
        var sum = 0.0
        for (index, probability) in probabilities.enumerated() {
            sum += probability
            if draw < sum { return index }
        }
        return best(probabilities)
    }
}
