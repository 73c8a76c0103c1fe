import Foundation

/// The templates of a set of tasks: `FOLDER/TASK/LANGUAGE/*.mustache`, one wording a file.
public struct TemplateLibrary: Sendable {
    private let templates: [String: [String: [PromptTemplate]]]

    /// Reads and checks all templates in `folders`; what a later folder adds stands beside the earlier ones.
    ///
    /// Templates are in the order of their folders and names, so a seeded choice is the same everywhere.
    /// Every file must be right: the first that is not throws a ``TemplateError`` with its line.
    public init(folders: [String], schemas: [TemplateSchema]) throws {
        templates = try Self.read(folders, schemas) { throw $0 }
    }

    /// All good templates in `folders`, and every fault: of a file, a folder or the layout.
    ///
    /// Where there is no fault the library is that of ``init(folders:schemas:)``.
    public static func checked(
        folders: [String], schemas: [TemplateSchema]
    ) -> (library: TemplateLibrary, problems: [TemplateError]) {
        var problems: [TemplateError] = []
        let templates = read(folders, schemas) { problems.append($0) }
        return (TemplateLibrary(templates: templates), problems)
    }

    private init(templates: [String: [String: [PromptTemplate]]]) { self.templates = templates }

    private static func read<E: Error>(
        _ folders: [String], _ schemas: [TemplateSchema],
        report: (TemplateError) throws(E) -> Void
    ) throws(E) -> [String: [String: [PromptTemplate]]] {
        let known = Dictionary(uniqueKeysWithValues: schemas.map { ($0.task, $0) })
        var templates: [String: [String: [PromptTemplate]]] = [:]
        /// Names in a place, those of templates that lie too high reported.
        func subfolders(of place: String) throws(E) -> [String] {
            guard let names = names(in: place) else {
                try report(.folder(path: place, problem: "is not a folder that can be read"))
                return []
            }
            for stray in names.files where stray.hasSuffix(".mustache") {
                try report(
                    .folder(
                        path: "\(place)/\(stray)", problem: "lies outside of TASK/LANGUAGE folders")
                )
            }
            return names.folders
        }
        for folder in folders {
            for task in try subfolders(of: folder) {
                guard let schema = known[task] else {
                    let tasks = known.keys.sorted().joined(separator: ", ")
                    try report(
                        .folder(
                            path: "\(folder)/\(task)", problem: "is no task; the tasks are \(tasks)"
                        ))
                    continue
                }
                for language in try subfolders(of: "\(folder)/\(task)") {
                    let place = "\(folder)/\(task)/\(language)"
                    for name in names(in: place)?.files ?? [] where name.hasSuffix(".mustache") {
                        let read: Result<PromptTemplate, TemplateError>
                        do {
                            read = .success(try template("\(place)/\(name)", language, schema))
                        } catch let error as TemplateError {
                            read = .failure(error)
                        } catch {
                            read = .failure(
                                .file(path: "\(place)/\(name)", line: 1, problem: "\(error)"))
                        }
                        switch read {
                        case .success(let template):
                            templates[task, default: [:]][language, default: []].append(template)
                        case .failure(let error): try report(error)
                        }
                    }
                }
            }
        }
        if templates.isEmpty {
            try report(
                .folder(
                    path: folders.joined(separator: ", "),
                    problem: "holds no TASK/LANGUAGE/*.mustache file that can be used"))
        }
        return templates
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

    /// Names in a folder that do not start with a dot, in alphabetical order; nil where it cannot be read.
    private static func names(in folder: String) -> (folders: [String], files: [String])? {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            return nil
        }
        var found: (folders: [String], files: [String]) = ([], [])
        for name in names.sorted() where !name.hasPrefix(".") {
            var isFolder: ObjCBool = false
            guard
                FileManager.default.fileExists(
                    atPath: "\(folder)/\(name)", isDirectory: &isFolder)
            else { continue }
            if isFolder.boolValue { found.folders.append(name) } else { found.files.append(name) }
        }
        return found
    }
}
