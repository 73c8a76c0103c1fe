import Foundation

/// A file of tokens that answers are written in, one a line: what `vlsa augment` leaves beside its output.
public enum TokenList {
    /// Where the list of an output lies.
    public static func path(beside output: String) -> String { output + ".tokens.txt" }

    /// Writes a list.
    public static func write(_ tokens: [String], to path: String) throws {
        try AtomicFile.write(Array(tokens.map { $0 + "\n" }.joined().utf8), to: path)
    }

    /// Reads a list; blank lines are passed over.
    public static func read(_ path: String) throws -> [String] {
        let file = try MappedFile(path: path)
        guard file.count <= 1 << 24,
            let text = file.withBytes({ String(validating: $0, as: UTF8.self) })
        else {
            throw CorpusError.file(path: path, problem: "is not a list of tokens in UTF-8")
        }
        var tokens: [String] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let token = line.trimmingCharacters(in: .whitespaces)
            if token.isEmpty { continue }
            guard token.utf8.count <= 64, !token.contains(where: \.isWhitespace) else {
                throw CorpusError.file(
                    path: "\(path):\(number + 1)",
                    problem: "is not one token of at most 64 bytes without blanks")
            }
            tokens.append(token)
        }
        return tokens
    }
}
