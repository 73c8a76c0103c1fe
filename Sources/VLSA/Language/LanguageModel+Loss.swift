import Torch

/// Cross-entropy summed over tokens, with the number of them: what gradient accumulation needs.
public struct TokenLoss {
    /// Sum over the tokens, fp32 scalar.
    public let sum: Tensor
    /// How many tokens.
    public let count: Int

    public init(sum: Tensor, count: Int) {
        self.sum = sum
        self.count = count
    }

    /// Sum by count; a batch without supervised tokens has no mean, and asking for it traps.
    public var mean: Tensor {
        guard count > 0 else { fatalError("mean loss of no supervised token") }
        return sum / Double(count)
    }
}

extension LanguageModel {
    /// Loss at chosen places; logits exist nowhere else, and there for a part of the vocabulary at a time.
    ///
    /// - Parameters:
    ///   - hidden: normed, `[B, T, D]`.
    ///   - rows: places that predict, `b * T + t`.
    ///   - targets: the token each should predict, as many.
    public func loss(_ hidden: Tensor, rows: [Int], targets: [Int]) -> TokenLoss {
        guard rows.count == targets.count else {
            fatalError("loss: \(rows.count) rows for \(targets.count) targets")
        }
        guard !rows.isEmpty else {
            return TokenLoss(sum: Tensor.zeros([], device: hidden.device), count: 0)
        }
        let chosen = hidden.reshaped([-1, width])
            .selecting(Tensor(rows, shape: [rows.count], device: hidden.device), axis: 0)
        let sum = Tensor.linearCrossEntropy(
            hidden: chosen, weight: head,
            targets: Tensor(targets, shape: [targets.count], device: hidden.device))
        return TokenLoss(sum: sum, count: rows.count)
    }

    /// Loss as the reference counts it: place t predicts `labels[b][t + 1]`, and -100 asks for
    /// nothing.
    public func loss(_ hidden: Tensor, labels: [[Int]]) -> TokenLoss {
        var rows: [Int] = []
        var targets: [Int] = []
        let length = hidden.shape[1]
        for (row, labels) in labels.enumerated() {
            guard labels.count == length else {
                fatalError("loss: \(labels.count) labels for \(length) tokens")
            }
            for (place, label) in labels.enumerated().dropFirst() where label != -100 {
                rows.append(row * length + place - 1)
                targets.append(label)
            }
        }
        return loss(hidden, rows: rows, targets: targets)
    }
}
