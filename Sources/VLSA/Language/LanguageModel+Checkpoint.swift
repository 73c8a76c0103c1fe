import Codecs
import Torch
import TorchNN

// Where a decoder's tensors stand in public files: alone, inside LLaVA on the hub, under the
// in-memory names of newer transformers, among a tower's and a projector's in original LLaVA. Below
// the prefix the names are ours, but for a base model saved without its head, which lacks `model.`.

private struct DecoderLayout {
    let model: String  // in front of embed_tokens, layers, norm
    let head: String  // in front of lm_head
}

private let layouts = [
    DecoderLayout(model: "language_model.model.", head: "language_model."),
    DecoderLayout(model: "model.language_model.", head: ""),
    DecoderLayout(model: "model.", head: ""),
    DecoderLayout(model: "", head: ""),
]

/// What stands beside a decoder in a whole checkpoint.
private let decoderNeighbours = ["", "model."].flatMap { front in
    ["vision_tower.", "multi_modal_projector.", "mm_projector.", "image_newline"].map { front + $0 }
}

/// The table that finds a decoder's tensors among `names`; a name of neither the decoder nor a
/// neighbour stays unclaimed.
func languageNameTable(
    _ names: Set<String>, tied: Bool, folder: String
) throws -> NameTable {
    let anchor = "embed_tokens.weight"
    guard let layout = layouts.first(where: { names.contains($0.model + anchor) }) else {
        throw CheckpointError.missingPart(
            folder: folder, part: "language model", expected: layouts.map { $0.model + anchor })
    }
    return { name in
        if name == layout.head + "lm_head.weight" {
            return tied ? .passedOver : .named("lm_head.weight")
        }
        // Older files keep the rotary table with every layer.
        if name.hasSuffix("rotary_emb.inv_freq")
            || decoderNeighbours.contains(where: name.hasPrefix)
        {
            return .passedOver
        }
        guard name.hasPrefix(layout.model) else { return .named(name) }
        return .named("model." + name.dropFirst(layout.model.count))
    }
}

extension CheckpointFolder {
    /// The decoder of this folder, whichever kind of folder it is, its weights in `store` below
    /// `prefix`.
    public func languageModel(
        into store: ParameterStore, at prefix: String = "language"
    ) throws -> LanguageModel {
        try languageModel(into: store, at: prefix, vocabulary: nil)
    }

    /// The decoder with rows for the tokens that `vocabulary` added.
    func languageModel(
        into store: ParameterStore, at prefix: String, vocabulary: GrownVocabulary?
    ) throws -> LanguageModel {
        var configuration = try configuration(LanguageConfiguration.self)
        let isTied = configuration.tiesEmbeddings
        if let vocabulary, !vocabulary.added.isEmpty {
            guard configuration.vocabularySize >= vocabulary.added.lowerBound else {
                throw CheckpointError.configuration(
                    file: path + "/config.json", key: "vocab_size",
                    problem: "\(configuration.vocabularySize) is below the tokenizer's "
                        + "\(vocabulary.added.lowerBound) ids, so no token can be added")
            }
            configuration.vocabularySize = vocabulary.rows(of: configuration.vocabularySize)
        }
        try offerWeights(to: store, at: prefix) { names in
            let table = try languageNameTable(names, tied: isTied, folder: path)
            guard let vocabulary, !vocabulary.added.isEmpty else { return table }
            return growing(table, by: vocabulary, seed: store.seed)
        }
        return try LanguageModel(configuration, in: store.scope[prefix])
    }

    /// `table`, the embedding and the head grown on their way.
    private func growing(
        _ table: @escaping NameTable, by vocabulary: GrownVocabulary, seed: UInt64
    ) -> NameTable {
        { name in
            let mapping = table(name)
            guard case .named(let target) = mapping,
                ["model.embed_tokens.weight", "lm_head.weight"].contains(target)
            else { return mapping }
            return .converted([
                (target, { vocabulary.grown($0, seed: stableHash(target, seed: seed)) })
            ])
        }
    }
}
