import Foundation

extension Tokenizer {
    /// The contents of a `tokenizer.json` with tokens added behind the greatest id.
    ///
    /// All else in the file stays as it is. Tokens it already has are passed over. The model's
    /// embeddings need ``idLimit`` rows of the result.
    /// - Parameter special: whether decoding skips the tokens, and text from outside cannot form them.
    /// - Throws: ``PromptingError`` when the file is damaged.
    public static func adding(
        _ tokens: [String], special: Bool = false, toTokenizerJSON data: Data
    ) throws -> Data {
        let tokenizer = try Tokenizer(tokenizerJSON: data)
        var tree = try JSONTree(parsing: data, file: "tokenizer.json")
        var entries: [JSONTree] = []
        if case .array(let known)? = tree["added_tokens"] { entries = known }
        var added: Set<[UInt8]> = []
        for token in tokens where !token.isEmpty && tokenizer.id(of: token) == nil {
            guard added.insert(Array(token.utf8)).inserted else { continue }
            entries.append(
                .object([
                    .init("id", .integer(tokenizer.idLimit + added.count - 1)),
                    .init("content", .text(token)), .init("single_word", .bool(false)),
                    .init("lstrip", .bool(false)), .init("rstrip", .bool(false)),
                    .init("normalized", .bool(false)), .init("special", .bool(special)),
                ]))
        }
        tree["added_tokens"] = .array(entries)
        return tree.serialized()
    }
}
