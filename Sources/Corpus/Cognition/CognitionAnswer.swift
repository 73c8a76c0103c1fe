/// How an answer's values are laid out; templates name it.
public enum AnswerFormat: String, Codable, CaseIterable, Sendable {
    /// A line for each row of the grid.
    case lines
    /// Everything on one line, separated by commas.
    case list
}

/// How codes and colour levels are written.
public enum AnswerVocabulary: String, Codable, CaseIterable, Sendable {
    /// As decimal numbers.
    case text
    /// As tokens of their own, such as `<vq_17>` and `<px_r_5>`, which the tokenizer must have.
    case tokens
}

/// A red, green and blue level.
struct ColourLevels: Equatable, Sendable {
    var red: Int
    var green: Int
    var blue: Int
}

/// Writes codes, colours and cells in the words of a vocabulary.
struct AnswerWriter: Sendable {
    let vocabulary: AnswerVocabulary

    func code(_ code: Int) -> String { vocabulary == .text ? "\(code)" : "<vq_\(code)>" }

    func colour(_ colour: ColourLevels, in format: AnswerFormat) -> String {
        if vocabulary == .tokens {
            return "<px_r_\(colour.red)><px_g_\(colour.green)><px_b_\(colour.blue)>"
        }
        let levels = "\(colour.red),\(colour.green),\(colour.blue)"
        return format == .lines ? levels : "(\(levels))"
    }

    func cell(row: Int, column: Int) -> String { "(\(row), \(column))" }

    /// Items of a grid with `columns` columns.
    func grid(_ items: [String], columns: Int, in format: AnswerFormat) -> String {
        switch format {
        case .lines:
            stride(from: 0, to: items.count, by: columns).map { start in
                items[start..<min(items.count, start + columns)]
                    .joined(separator: vocabulary == .text ? " " : "")
            }.joined(separator: "\n")
        case .list: items.joined(separator: vocabulary == .text ? ", " : "")
        }
    }

    /// The tokens a tokenizer must have; empty for plain numbers.
    func addedTokens(codeCount: Int, colourLevels: Int) -> [String] {
        guard vocabulary == .tokens else { return [] }
        return (0..<codeCount).map { "<vq_\($0)>" }
            + ["r", "g", "b"].flatMap { channel in
                (0..<colourLevels).map { "<px_\(channel)_\($0)>" }
            }
    }
}
