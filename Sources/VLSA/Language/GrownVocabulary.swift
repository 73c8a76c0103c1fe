import Foundation
import Prompting
import Torch
import TorchNN

// Shapes: V rows of the embedding, D width.

/// A language model's tokenizer with tokens added, and what its embedding needs for them.
struct GrownVocabulary {
    /// The tokenizer with the tokens.
    let tokenizer: Tokenizer
    /// Its `tokenizer.json`; nil where the folder's own has all tokens.
    let json: Data?
    /// Ids of the tokens that were added; empty where none was.
    let added: Range<Int>

    /// The tokenizer of `folder`, which gets those of `tokens` that it lacks, behind its greatest id.
    init(folder: String, adding tokens: [String]) throws {
        let own = try Tokenizer(folder: folder)
        guard tokens.contains(where: { own.id(of: $0) == nil }) else {
            (tokenizer, json, added) = (own, nil, 0..<0)
            return
        }
        func contents(_ name: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))
        }
        let grown = try Tokenizer.adding(tokens, toTokenizerJSON: contents("tokenizer.json"))
        let configuration = "tokenizer_config.json"
        let hasConfiguration = FileManager.default.fileExists(atPath: folder + "/" + configuration)
        tokenizer = try Tokenizer(
            tokenizerJSON: grown,
            configurationJSON: hasConfiguration ? contents(configuration) : nil)
        json = grown
        added = own.idLimit..<tokenizer.idLimit
    }

    /// Rows that an embedding of `count` rows needs.
    func rows(of count: Int) -> Int { max(count, tokenizer.idLimit) }

    /// An embedding or head `[V, D]` with values for the added ids: the mean of the rows before them, and noise of a
    /// tenth of their deviation that tells the new ones apart. Rows that padded the file are taken first.
    func grown(_ rows: Tensor, seed: UInt64) -> Tensor {
        guard !added.isEmpty else { return rows }
        if rows.device == .meta {
            return .uninitialized(
                [self.rows(of: rows.shape[0]), rows.shape[1]], dtype: rows.dtype, device: .meta)
        }
        let known = rows[0..<added.lowerBound].to(.float32)  // [V, D]
        let mean = known.mean(axis: 0, keepingAxis: true)  // [1, D]
        let deviation = (known - mean).square().mean(axis: 0, keepingAxis: true).sqrt()
        let noise = Tensor.normal([added.count, rows.shape[1]], generator: Generator(seed: seed))
        let new = (mean + noise * deviation * 0.1).to(rows.dtype)
        var parts = [rows[0..<added.lowerBound], new]
        if added.upperBound < rows.shape[0] { parts.append(rows[added.upperBound...]) }
        return Tensor.concatenated(parts, axis: 0)
    }
}
