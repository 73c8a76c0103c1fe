import ArgumentParser
import Foundation
import VLSATraining

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Writes a page with losses, tiles, reconstructions, answers and scores.",
        discussion: """
            Example: vlsa report --run runs/1 --run runs/2 --run runs/3 --evaluation full=full.json --evaluation blind=blind.json --images data --out report.html
            """)

    @Option(name: .customLong("run"), help: "Run folder of a stage; repeat in order.") var runs:
        [String]
    @Option(name: .customLong("evaluation"), help: "name=file.json of vlsa evaluate; repeat.")
    var evaluations: [String] = []
    @Option(help: "Root of the evaluated pictures.") var images: String
    @Option(help: "The page to write.") var out: String
    @Option(help: "Pictures shown.") var pictures = 4

    func run() throws {
        try requireExisting(images, "--images")
        for run in runs { try requireExisting(run + "/model", "--run") }
        let reports = try evaluations.map { entry -> (name: String, report: EvaluationReport) in
            guard let sign = entry.firstIndex(of: "=") else {
                throw ValidationError("--evaluation \(entry): write it as name=file.json")
            }
            let path = String(entry[entry.index(after: sign)...])
            try requireExisting(path, "--evaluation")
            return (String(entry[..<sign]), try EvaluationReport.load(path))
        }
        let report = RunReport(
            runs: runs, evaluations: reports, images: images, pictureCount: pictures)
        let html = try report.html()
        try Data(html.utf8).write(to: URL(fileURLWithPath: out), options: .atomic)
        print(out)
    }
}
