import AnyRes
import Foundation

// A stage file states some keys of a section; the others are the saved model's, or defaults where there is none.

/// Any key of a mapping.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension StageSections {
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        picture = try values.decodeIfPresent(TilingConfiguration.self, forKey: .picture)
        features = try values.decodeIfPresent(FeatureSelection.self, forKey: .features)
        perceiver = try values.decodeIfPresent(PerceiverConfiguration.self, forKey: .perceiver)
        unpadding = try values.decodeIfPresent(UnpaddingConfiguration.self, forKey: .unpadding)
        epigone = try values.decodeIfPresent(EpigoneConfiguration.self, forKey: .epigone)
        objective = try values.decodeIfPresent(ObjectiveConfiguration.self, forKey: .objective)
        chat = try values.decodeIfPresent(ChatConfiguration.self, forKey: .chat)
        stated = try statedKeys(of: tree(), in: decoder.container(keyedBy: AnyKey.self))
    }

    /// Whether they say the same; which keys a file wrote out does not count.
    public static func == (a: StageSections, b: StageSections) -> Bool {
        a.picture == b.picture && a.features == b.features && a.perceiver == b.perceiver
            && a.unpadding == b.unpadding && a.epigone == b.epigone && a.objective == b.objective
            && a.chat == b.chat
    }

    /// These sections, the keys they leave out as `saved` has them.
    ///
    /// - Throws: ``CheckpointError`` where the two together are impossible.
    public func laid(over saved: StageSections) throws -> StageSections {
        guard let stated else { return self }
        let own = try tree()
        let whole = overlay(own, over: try saved.tree(), stated: stated)
            .filter { own[$0.key] != nil }
        do {
            var result = try JSONDecoder().decode(
                StageSections.self, from: JSONSerialization.data(withJSONObject: whole))
            result.stated = nil
            return result
        } catch let error as DecodingError {
            throw CheckpointError(error, file: "the stage's sections over the model's config.json")
        }
    }

    /// The sections that there are, as JSON's objects.
    private func tree() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: JSONEncoder().encode(self)) as? [String: Any] ?? [:]
    }
}

/// The paths of those entries of `tree` that the decoded mapping has.
private func statedKeys(
    of tree: [String: Any], in values: KeyedDecodingContainer<AnyKey>, prefix: String = ""
) throws -> Set<String> {
    var found: Set<String> = []
    // Keys that are not in the tree are not asked for: they may be unknown.
    for key in values.allKeys where tree[key.stringValue] != nil {
        found.insert(prefix + key.stringValue)
        guard let inner = tree[key.stringValue] as? [String: Any] else { continue }
        found.formUnion(
            try statedKeys(
                of: inner, in: values.nestedContainer(keyedBy: AnyKey.self, forKey: key),
                prefix: prefix + key.stringValue + "."))
    }
    return found
}

/// `base` with the stated entries of `top`, mapping by mapping.
private func overlay(
    _ top: [String: Any], over base: [String: Any], stated: Set<String>, prefix: String = ""
) -> [String: Any] {
    top.reduce(into: base) { result, entry in
        if let inner = entry.value as? [String: Any], let below = base[entry.key] as? [String: Any]
        {
            result[entry.key] = overlay(
                inner, over: below, stated: stated, prefix: prefix + entry.key + ".")
        } else if base[entry.key] == nil || stated.contains(prefix + entry.key) {
            result[entry.key] = entry.value
        }
    }
}
