import ArgumentParser
import Corpus
import Prompting

struct TemplatesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "templates", abstract: "Checks and shows the wording of the cognition tasks.",
        subcommands: [Check.self, Show.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Names every fault of template folders, with file and line.",
            discussion: """
                Folders are checked together, as they are used together. Exit code 0 when all is right, 1 otherwise.

                Example: vlsa templates check Templates/cognition my-templates
                """)

        @Argument(help: "Folders of <task>/<language>/*.mustache.")
        var folders = ["Templates/cognition"]

        func run() throws {
            for folder in folders { try requireExisting(folder, "FOLDERS") }
            let (library, problems) = TemplateLibrary.checkedCognition(folders: folders)
            for task in library.tasks {
                let counts = library.languages(task: task).map { language in
                    "\(language) \(library.templates(task: task, language: language).count)"
                }
                print(task.padded(to: 18) + counts.joined(separator: "  "))
            }
            for (language, phrases) in library.missingPhrases.sorted(by: { $0.key < $1.key }) {
                note(
                    "note: \(language) has no \(phrases.joined(separator: ", ")) here; questions that need "
                        + "them want another folder beside")
            }
            for problem in problems { print("error: \(problem)") }
            if !problems.isEmpty { throw ExitCode.failure }
            print("\(library.all.count) templates, nothing is wrong")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints the wordings of a task, each with made-up values in its fields.",
            discussion: "Example: vlsa templates show vq_window --language zh")

        @Argument(help: "The task, such as vq_cell.") var task: String
        @Option(help: "Only this language.") var language: String?
        @Option(help: "Folder of <task>/<language>/*.mustache; again for more.")
        var templates = ["Templates/cognition"]

        func validate() throws {
            guard TemplateLibrary.cognitionTasks.contains(task) else {
                throw ValidationError(
                    "there is no task \(task); the tasks are "
                        + TemplateLibrary.cognitionTasks.joined(separator: ", "))
            }
        }

        func run() throws {
            for folder in templates { try requireExisting(folder, "--templates") }
            let library = try TemplateLibrary.cognition(folders: templates)
            let languages = library.languages(task: task)
            if let language, !languages.contains(language) {
                throw ValidationError(
                    "--language: \(task) has no \(language), only "
                        + (languages.isEmpty ? "none" : languages.joined(separator: ", ")))
            }
            for language in languages where self.language == nil || self.language == language {
                for template in library.templates(task: task, language: language) {
                    print(template.path + (template.answer.isEmpty ? "" : " (\(template.answer))"))
                    for line in library.cognitionExample(of: template).split(separator: "\n") {
                        print("    \(line)")
                    }
                }
            }
        }
    }
}

extension String {
    /// Filled up with blanks to `width` characters.
    func padded(to width: Int) -> String {
        count >= width ? self + " " : self + String(repeating: " ", count: width - count)
    }
}
