import Foundation
import Mustache

/// What a task's templates may and must say.
public struct TemplateSchema: Sendable, Equatable {
    /// The task, which is also the name of its folder.
    public var task: String
    /// Fields every template must use.
    public var required: Set<String>
    /// Fields a template may use besides.
    public var optional: Set<String>
    /// Formats an answer may have; the first is meant where a template names none. Empty for texts without one.
    public var answers: [String]

    public init(
        task: String, required: Set<String>, optional: Set<String> = [], answers: [String] = []
    ) {
        (self.task, self.required, self.optional, self.answers) = (
            task, required, optional, answers
        )
    }
}

/// One wording of a task: a mustache text with front matter.
///
/// ```text
/// ---
/// task: vq_cell
/// fields: rows, columns, row, column
/// answer: lines
/// ---
/// Which code has the cell in row {{row}}, column {{column}} of a {{rows}} x {{columns}} grid?
/// ```
/// The front matter names the task, all fields the text uses and, where there are several, the answer's
/// format. Values are written as they are, never HTML-escaped. A tag is a field or a comment: sections would have
/// nothing to decide, as every field always has a value, and partials, blocks, pragmas and the like are refused too.
public struct PromptTemplate: Sendable {
    /// The file.
    public let path: String
    /// The task it words.
    public let task: String
    /// Its language, the name of its folder, such as `en`.
    public let language: String
    /// Format of the answer it asks for; empty where the task has none.
    public let answer: String
    /// Fields it uses.
    public let fields: Set<String>
    /// The wording, without front matter.
    public let text: String

    private let compiled: MustacheTemplate

    /// Parses the text of a template file and checks it against its task.
    public init(_ source: String, path: String, language: String, schema: TemplateSchema) throws {
        func bad(_ line: Int, _ problem: String) -> TemplateError {
            .file(path: path, line: line, problem: problem)
        }
        // In Swift "\r\n" is one character, which is not "\n".
        let lines = source.replacing("\r\n", with: "\n")
            .split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---") else {
            throw bad(1, "must start with front matter between two lines of ---")
        }
        var entries: [String: (value: String, line: Int)] = [:]
        for (number, line) in lines[1..<end].enumerated() {
            let text = line.trimmingCharacters(in: .whitespaces)
            if text.isEmpty || text.hasPrefix("#") { continue }
            guard let colon = text.firstIndex(of: ":") else {
                throw bad(number + 2, "\"\(text)\" is not of the form key: value")
            }
            let key = text[..<colon].trimmingCharacters(in: .whitespaces)
            guard ["task", "fields", "answer"].contains(key) else {
                throw bad(
                    number + 2, "unknown key \"\(key)\"; the keys are task, fields and answer")
            }
            guard entries[key] == nil else {
                throw bad(number + 2, "the key \"\(key)\" comes twice")
            }
            let value = text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            entries[key] = (value, number + 2)
        }
        guard let (name, taskLine) = entries["task"] else {
            throw bad(1, "the key \"task\" is missing")
        }
        guard name == schema.task else {
            throw bad(
                taskLine, "is for the task \"\(name)\" but lies in the folder of \"\(schema.task)\""
            )
        }
        let (listed, fieldsLine) = entries["fields"] ?? ("", 1)
        let declared = listed.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        for (index, field) in declared.enumerated() {
            guard schema.required.contains(field) || schema.optional.contains(field) else {
                let known = schema.required.union(schema.optional).sorted().joined(separator: ", ")
                throw bad(
                    fieldsLine,
                    "unknown field \"\(field)\"; \(schema.task) has \(known.isEmpty ? "none" : known)"
                )
            }
            guard !declared[..<index].contains(field) else {
                throw bad(fieldsLine, "the field \"\(field)\" comes twice")
            }
        }
        if let missing = schema.required.subtracting(declared).min() {
            throw bad(fieldsLine, "lacks the field \"\(missing)\", which \(schema.task) needs")
        }
        let (answer, answerLine) = entries["answer"] ?? (schema.answers.first ?? "", 1)
        guard schema.answers.contains(answer) || (schema.answers.isEmpty && answer.isEmpty) else {
            let known = schema.answers.isEmpty ? "none" : schema.answers.joined(separator: ", ")
            throw bad(
                answerLine, "unknown answer format \"\(answer)\"; \(schema.task) has \(known)")
        }

        var first = end + 1
        var last = lines.count
        while first < last, lines[first].allSatisfy(\.isWhitespace) { first += 1 }
        while last > first, lines[last - 1].allSatisfy(\.isWhitespace) { last -= 1 }
        let text = lines[first..<last].joined(separator: "\n")
        guard !text.isEmpty else { throw bad(end + 1, "has no text after its front matter") }
        if let line = lines[first..<last].firstIndex(where: {
            Turn.imageCount(in: String($0)) > 0
        }) {
            throw bad(line + 1, "must not hold <image>; the picture is placed by the conversation")
        }
        let used = try Self.tags(of: text, path: path, firstLine: first + 1)
        for (field, line) in used where !declared.contains(field) {
            throw bad(line, "uses the field \"\(field)\", which its front matter does not list")
        }
        if let unused = declared.first(where: { field in !used.contains { $0.field == field } }) {
            throw bad(fieldsLine, "lists the field \"\(unused)\", which its text does not use")
        }
        do {
            compiled = try MustacheTemplate(string: "{{%CONTENT_TYPE:TEXT}}\n" + text)
        } catch {
            throw bad(first + 1, "is not a mustache template: \(error)")
        }
        self.path = path
        self.task = schema.task
        self.language = language
        self.answer = answer
        self.text = text
        fields = Set(declared)
    }

    /// The text with `values` for its fields. Traps where one is missing.
    public func render(_ values: [String: String]) -> String {
        if let missing = fields.first(where: { values[$0] == nil }) {
            fatalError("PromptTemplate: no value for \"\(missing)\" of \(path)")
        }
        return compiled.render(values)
    }

    /// The fields named in tags, with their lines.
    private static func tags(
        of text: String, path: String, firstLine: Int
    ) throws -> [(field: String, line: Int)] {
        var found: [(String, Int)] = []
        var line = firstLine
        var rest = text[...]
        while let open = rest.firstRange(of: "{{") {
            line += rest[..<open.lowerBound].count { $0 == "\n" }
            rest = rest[open.upperBound...]
            let closing = rest.first == "{" ? "}}}" : "}}"
            guard let close = rest.firstRange(of: closing) else {
                throw TemplateError.file(
                    path: path, line: line, problem: "a tag is not closed by \(closing)")
            }
            var tag = rest[..<close.lowerBound]
            let tagLine = line
            line += rest[..<close.upperBound].count { $0 == "\n" }
            rest = rest[close.upperBound...]
            let mark = tag.first
            if mark == "!" { continue }
            if let mark, "{&".contains(mark) { tag = tag.dropFirst() }
            let name = tag.trimmingCharacters(in: .whitespaces)
            guard !name.isEmpty,
                name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
            else {
                throw TemplateError.file(
                    path: path, line: tagLine, problem: "{{\(name)}} is not a field's name")
            }
            found.append((name, tagLine))
        }
        return found
    }
}
