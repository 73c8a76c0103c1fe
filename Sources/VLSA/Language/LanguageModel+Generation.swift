import Torch

extension LanguageModel {
    /// Continues prompts token by token with a key-value cache, without gradients.
    ///
    /// - Parameters:
    ///   - embeddings: the prompts, `[B, T, D]`, of equal length or padded in front.
    ///   - layout: ``SequenceLayout/dense`` or ``SequenceLayout/leftPadded(_:)``.
    ///   - limit: new tokens of a row at most.
    ///   - stopIDs: a row ends with the first of these, which is part of its answer.
    ///   - history: tokens of each prompt, for a repetition penalty.
    ///   - onToken: called with row and token as they come; false ends that row.
    /// - Returns: each row's new tokens.
    public func generate(
        _ embeddings: Tensor, layout: SequenceLayout = .dense, limit: Int, stopIDs: Set<Int>,
        sampler: TokenSampler = .greedy, history: [[Int]] = [],
        onToken: (_ row: Int, _ id: Int) -> Bool = { _, _ in true }
    ) -> [[Int]] {
        if case .packed = layout { fatalError("generation from packed sequences") }
        let (batch, length) = (embeddings.shape[0], embeddings.shape[1])
        var made = [[Int]](repeating: [], count: batch)
        guard limit > 0 else { return made }
        var isDone = [Bool](repeating: false, count: batch)
        let cache = KeyValueCache(room: length + min(limit, 512))
        let prompts = history.isEmpty ? made : history
        return withoutGradients {
            var input = embeddings
            for step in 0..<limit {
                let hidden = self(input, layout: layout, cache: cache)
                let last = hidden.narrowed(axis: 1, start: hidden.shape[1] - 1, length: 1)
                let next = sampler(
                    logits(last.squeezed(1)), history: zip(prompts, made).map { $0 + $1 })
                for row in 0..<batch where !isDone[row] {
                    made[row].append(next[row])
                    let goesOn = onToken(row, next[row])
                    isDone[row] = !goesOn || stopIDs.contains(next[row])
                }
                if isDone.allSatisfy({ $0 }) || step == limit - 1 { break }
                input = embed(Tensor(next, shape: [batch, 1], device: embeddings.device))
            }
            return made
        }
    }
}
