import Foundation

/// The templates of a set of tasks: `FOLDER/TASK/LANGUAGE/*.mustache`, one wording a file.
public struct TemplateLibrary: Sendable {
    private let templates: [String: [String: [PromptTemplate]]]

    /// Reads and checks all templates in `folders`; what a later folder adds stands beside the earlier ones.
    ///
    /// Templates are in the order of their folders and names, so a seeded choice is the same everywhere.
    /// Every file must be right: the first that is not throws a ``TemplateError`` with its line.
    public init(folders: [String], schemas: [TemplateSchema]) throws {
        let known = Dictionary(uniqueKeysWithValues: schemas.map { ($0.task, $0) })
        var templates: [String: [String: [PromptTemplate]]] = [:]
        for folder in folders {
            for task in try Self.names(in: folder, folders: true) {
                guard let schema = known[task] else {
                    throw TemplateError.folder(
                        path: "\(folder)/\(task)",
                        problem:
                            "is no task; the tasks are \(known.keys.sorted().joined(separator: ", "))"
                    )
                }
                for language in try Self.names(in: "\(folder)/\(task)", folders: true) {
                    let place = "\(folder)/\(task)/\(language)"
                    for name in try Self.names(in: place, folders: false)
                    where name.hasSuffix(".mustache") {
                        let template = try Self.template("\(place)/\(name)", language, schema)
                        templates[task, default: [:]][language, default: []].append(template)
                    }
                }
            }
        }
        guard !templates.isEmpty else {
            throw TemplateError.folder(
                path: folders.joined(separator: ", "),
                problem: "holds no TASK/LANGUAGE/*.mustache file")
        }
        self.templates = templates
    }

    /// The wordings of a task in a language; empty where there are none.
    public func templates(task: String, language: String) -> [PromptTemplate] {
        templates[task]?[language] ?? []
    }

    /// The tasks that have templates, in alphabetical order.
    public var tasks: [String] { templates.keys.sorted() }

    /// The languages in which a task has templates, in alphabetical order.
    public func languages(task: String) -> [String] { templates[task]?.keys.sorted() ?? [] }

    /// All templates, by task, language and name.
    public var all: [PromptTemplate] {
        tasks.flatMap { task in
            languages(task: task).flatMap { templates(task: task, language: $0) }
        }
    }

    private static func template(
        _ path: String, _ language: String, _ schema: TemplateSchema
    ) throws -> PromptTemplate {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw TemplateError.file(path: path, line: 1, problem: "cannot be read")
        }
        guard data.count <= 1 << 16 else {
            throw TemplateError.file(path: path, line: 1, problem: "is over 64 KiB")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw TemplateError.file(path: path, line: 1, problem: "is not UTF-8 text")
        }
        return try PromptTemplate(text, path: path, language: language, schema: schema)
    }

    /// Names in a folder that do not start with a dot, folders or files, in alphabetical order.
    private static func names(in folder: String, folders: Bool) throws -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            throw TemplateError.folder(
                path: folder, problem: "is not a template folder that can be read")
        }
        return names.filter { name in
            var isFolder: ObjCBool = false
            return !name.hasPrefix(".")
                && FileManager.default.fileExists(
                    atPath: "\(folder)/\(name)", isDirectory: &isFolder)
                && isFolder.boolValue == folders
        }.sorted()
    }
}
