/// Which tokens play which part, as `tokenizer_config.json` or `special_tokens_map.json` say.
struct TokenNames: Sendable {
    private(set) var beginning: String?
    private(set) var end: String?
    private(set) var padding: String?

    /// - Parameter files: the earlier wins where two name the same part.
    init(_ files: [JSONNode]) throws {
        for file in files {
            _ = try file.members()  // throws where the file is no object
            beginning = try beginning ?? Self.name("bos_token", in: file)
            end = try end ?? Self.name("eos_token", in: file)
            padding = try padding ?? Self.name("pad_token", in: file)
        }
    }

    /// A name is a string, or an object with the string under `content`.
    private static func name(_ key: String, in file: JSONNode) throws -> String? {
        guard let node = file.optional(key) else { return nil }
        if case .object = node.value { return try node.member("content").text() }
        return try node.text()
    }
}
