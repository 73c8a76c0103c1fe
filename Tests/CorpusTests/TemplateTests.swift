import Foundation
import Prompting
import Testing

@testable import Corpus

struct TemplateTests {
    static let schema = TemplateSchema(
        task: "t", required: ["a"], optional: ["b"], answers: ["lines", "list"])
    static let good = "---\ntask: t\nfields: a, b\nanswer: list\n---\nFrom {{a}} to {{ b }}.\n"

    private func template(_ text: String, _ schema: TemplateSchema = schema) throws
        -> PromptTemplate
    {
        try PromptTemplate(text, path: "t/en/1.mustache", language: "en", schema: schema)
    }

    @Test func aGoodTemplateRenders() throws {
        let parsed = try template(Self.good)
        #expect(parsed.answer == "list" && parsed.fields == ["a", "b"])
        #expect(parsed.render(["a": "<1>", "b": "\"&\"", "c": "unused"]) == "From <1> to \"&\".")
        let plain = try template(
            "---\ntask: t\nfields: a\n---\r\n\n {{{a}}} {{! note }}{{&a}}\nend\n\n")
        #expect(plain.answer == "lines")
        #expect(plain.render(["a": "{{b}}"]) == " {{b}} {{b}}\nend")
    }

    /// Every fault is named with the line it is on.
    @Test(arguments: [
        ("", 1, "front matter"), ("---\ntask: t\n", 1, "front matter"),
        ("{{a}}", 1, "front matter"),
        ("---\ntask: u\nfields: a\n---\n{{a}}", 2, "\"u\""),
        ("---\nfields: a\n---\n{{a}}", 1, "task"),
        ("---\ntask: t\nfield: a\n---\n{{a}}", 3, "field"),
        ("---\ntask: t\ntask: t\n---\n{{a}}", 3, "twice"),
        ("---\ntask t\n---\n{{a}}", 2, "key: value"),
        ("---\ntask: t\nfields: a, c\n---\n{{a}}", 3, "\"c\""),
        ("---\ntask: t\nfields: a, a\n---\n{{a}}", 3, "twice"),
        ("---\ntask: t\n\nfields: b\n---\n{{b}}", 4, "lacks the field \"a\""),
        ("---\ntask: t\nfields: a\nanswer: rows\n---\n{{a}}", 4, "rows"),
        ("---\ntask: t\nfields: a\n---\n\n", 4, "no text"),
        ("---\ntask: t\nfields: a, b\n---\n{{a}}", 3, "\"b\""),
        ("---\ntask: t\nfields: a\n---\n{{a}}\n{{b}}", 6, "\"b\""),
        ("---\ntask: t\nfields: a\n---\n\n\n{{a}}\nx {{c}}", 8, "\"c\""),
        ("---\ntask: t\nfields: a\n---\n{{a}}\n{{a", 6, "not closed"),
        ("---\ntask: t\nfields: a\n---\n{{a}}\n<image>", 6, "<image>"),
        ("---\ntask: t\nfields: a\n---\n{{a}}\n{{> other}}", 6, "field's name"),
        ("---\ntask: t\nfields: a\n---\n{{a}}{{=<% %>=}}", 5, "field's name"),
        ("---\ntask: t\nfields: a\n---\n{{a}}{{#a}}x{{/a}}", 5, "field's name"),
        ("---\ntask: t\nfields: a\n---\nconst\n{{^a}}{{a}}{{/a}}", 6, "field's name"),
        ("---\ntask: t\nfields: a\n---\n{{upper(a)}}", 5, "field's name"),
    ])
    func faultsAreNamedByLine(text: String, line: Int, part: String) {
        #expect {
            try template(text)
        } throws: {
            guard case .file("t/en/1.mustache", line, let problem) = $0 as? TemplateError else {
                return false
            }
            return problem.contains(part)
        }
    }

    @Test func oddFoldersAreNamed() throws {
        try withTemporaryFolder { folder in
            func library() throws -> TemplateLibrary {
                try TemplateLibrary(folders: [folder], schemas: [Self.schema])
            }
            #expect(throws: TemplateError.self) { try library() }
            #expect(throws: TemplateError.self) {
                try TemplateLibrary(folders: [folder + "/none"], schemas: [Self.schema])
            }
            try FileManager.default.createDirectory(
                atPath: folder + "/t/en", withIntermediateDirectories: true)
            for name in ["b", "a"] {
                try write(
                    Self.good.replacing("From", with: name), to: "\(folder)/t/en/\(name).mustache")
            }
            let found = try library().templates(task: "t", language: "en")
            #expect(found.map { $0.text.prefix(1) } == ["a", "b"])
            #expect(try library().templates(task: "t", language: "zh").isEmpty)
            try Data([0xFF]).write(to: URL(fileURLWithPath: folder + "/t/en/c.mustache"))
            #expect(throws: TemplateError.self) { try library() }
            try FileManager.default.removeItem(atPath: folder + "/t/en/c.mustache")
            try FileManager.default.createDirectory(
                atPath: folder + "/u", withIntermediateDirectories: true)
            #expect {
                try library()
            } throws: {
                "\($0)".contains("/u") && "\($0)".contains("t")
            }
        }
    }

    /// The package's own templates are right, at least ten wordings a task in English, some in Chinese.
    @Test func ownTemplatesAreComplete() throws {
        let library = try TemplateLibrary.cognition(ownTemplates)
        for task in CognitionTask.allCases {
            let english = library.templates(task: task.rawValue, language: "en")
            #expect(english.count >= 10)
            #expect(Set(english.map(\.text)).count == english.count)
            #expect(library.templates(task: task.rawValue, language: "zh").count >= 3)
        }
        for phrase in CognitionPhrase.allCases {
            for language in ["en", "zh"] {
                #expect(!library.templates(task: phrase.rawValue, language: language).isEmpty)
            }
        }
    }

    /// A check goes on after a fault and keeps what is right.
    @Test func everyFaultIsFound() throws {
        try withTemporaryFolder { folder in
            let good = "---\ntask: px_point\nfields: x, y, frame\n---\nAt {{x}}, {{y}} {{frame}}?"
            for place in ["px_point/en", "px_point/fr", "px_pint/en"] {
                try FileManager.default.createDirectory(
                    atPath: "\(folder)/\(place)", withIntermediateDirectories: true)
                try write(good, to: "\(folder)/\(place)/good.mustache")
            }
            try write(good + "{{z}}", to: folder + "/px_point/en/bad.mustache")
            try write("", to: folder + "/px_point/fr/empty.mustache")
            try write(good, to: folder + "/px_point/stray.mustache")
            try write("notes", to: folder + "/README.md")
            let (library, problems) = TemplateLibrary.checkedCognition(folders: [folder])
            #expect(library.all.map(\.language) == ["en", "fr"])
            #expect(library.missingPhrases["fr"]?.contains("which_picture") == true)
            let texts = problems.map { "\($0)".replacing(folder + "/", with: "") }
            #expect(texts.count == 4)
            for part in [
                "px_pint: is no task", "px_point/stray.mustache: lies outside",
                "px_point/en/bad.mustache:5: uses the field \"z\"",
                "px_point/fr/empty.mustache:1: must start",
            ] {
                #expect(texts.contains { $0.hasPrefix(part) }, "\(part)")
            }
            let (_, none) = TemplateLibrary.checkedCognition(folders: [folder + "/none"])
            #expect(none.count == 2)
            let own = TemplateLibrary.checkedCognition(folders: [ownTemplates])
            #expect(own.problems.isEmpty && own.library.missingPhrases.isEmpty)
        }
    }

    /// Every template has values for the example that the tool shows: all in its language, and coordinates where
    /// coordinates are meant.
    @Test func examplesAreComplete() throws {
        try withTemporaryFolder { folder in
            let schemas =
                CognitionTask.allCases.map(\.schema) + CognitionPhrase.allCases.map(\.schema)
            for schema in schemas {
                let place = "\(folder)/\(schema.task)/fr"
                try FileManager.default.createDirectory(
                    atPath: place, withIntermediateDirectories: true)
                let fields = schema.required.union(schema.optional).sorted()
                try write(
                    "---\ntask: \(schema.task)\nfields: \(fields.joined(separator: ", "))\n---\nx "
                        + fields.map { "{{\($0)}}" }.joined(separator: " "),
                    to: place + "/1.mustache")
            }
            let library = try TemplateLibrary.cognition(folder)
            #expect(library.all.count == schemas.count)
            for template in library.all {
                #expect(!library.cognitionExample(of: template).contains("{{"))
            }
        }
        let library = try TemplateLibrary.cognition(ownTemplates)
        for template in library.templates(task: "px_window", language: "zh") {
            let example = library.cognitionExample(of: template)
            #expect(example.contains("250") && !example.contains { ("a"..."z").contains($0) })
        }
    }

    @Test func aUsersFolderAddsToTheOwn() throws {
        try withTemporaryFolder { folder in
            try FileManager.default.createDirectory(
                atPath: folder + "/px_point/fr", withIntermediateDirectories: true)
            try write(
                "---\ntask: px_point\nfields: x, y, frame\n---\nQuelle couleur en {{x}}, {{y}}, {{frame}} ?",
                to: folder + "/px_point/fr/1.mustache")
            let library = try TemplateLibrary.cognition(ownTemplates, folder)
            #expect(library.languages(task: "px_point") == ["en", "fr", "zh"])
        }
    }
}
