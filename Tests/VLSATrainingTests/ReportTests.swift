import Foundation
import Testing
import Torch

@testable import VLSATraining

private struct TraceEvent: Decodable {
    let name: String
    let ph: String
    let tid: Int
    let ts: Double?
    let dur: Double?
}

@Suite struct ReportTests {
    @Test func aProfileIsATraceOfTheStepsParts() throws {
        let folder = try TemporaryFolder()
        let plan = try linePlan()
        let file = folder.path + "/trace.json"
        let run = try TrainingRun<LineModel>(
            plan: plan, folder: folder.path + "/run",
            options: RunOptions(progress: .silent, watchesSignals: false, profile: file),
            model: { _ in try LineModel() },
            training: { _ in ArraySource(LineExample.some(17), seed: plan.seed) },
            validation: { _ in ArraySource(LineExample.some(7, seed: 9), isShuffled: false) })
        _ = try run.train()
        let events = try JSONDecoder().decode(
            [TraceEvent].self, from: Data(contentsOf: URL(fileURLWithPath: file)))
        let spans = events.filter { $0.ph == "X" }
        let counts = Dictionary(grouping: spans, by: \.name).mapValues(\.count)
        #expect(counts["data"] == 12 && counts["optimizer"] == 12 && counts["clip"] == 12)
        #expect(counts["forward"] == 36 && counts["backward"] == 36)  // 3 micro-batches a step
        #expect(counts["validation"] == 3 && counts["save"] == 3)
        #expect(spans.filter { $0.name == "save" }.allSatisfy { $0.tid == 2 })
        // No update comes after the last checkpoint, and before another one it may be on disk already.
        #expect((counts["copy"] ?? 0) <= 2)
        // Spans of the step's row follow each other.
        var end = 0.0
        for span in spans.filter({ $0.tid == 1 }).sorted(by: { ($0.ts ?? 0) < ($1.ts ?? 0) }) {
            let (start, length) = (try #require(span.ts), try #require(span.dur))
            #expect(start >= end - 0.01 && length >= 0, "\(span.name)")
            end = start + length
        }
        #expect(throws: RunError.self) { try TraceFile(path: folder.path + "/none/trace.json") }
    }

    @Test func aRunsPageShowsItsCurves() throws {
        let folder = try TemporaryFolder()
        let run = try lineRun(folder.path + "/run", ["name=<line>"])
        _ = try run.train()
        let page = try String(contentsOfFile: run.folder.report, encoding: .utf8)
        for text in [
            "loss/text", "loss/visual", "gradient norm", "learning rate", "least validation loss",
        ] {
            #expect(page.contains(text), "\(text)")
        }
        #expect(page.components(separatedBy: "<svg").count > 7)
        #expect(page.contains("The run is finished") && page.contains("frozen"))
        #expect(page.contains("&lt;line&gt;") && !page.contains("<line>"))
        #expect(!page.contains("<script") && !page.contains("src=\"http"))
    }

    @Test func longCurvesAreThinnedToMeans() {
        let points = (0..<1500).map { (x: Double($0), y: Double($0 % 3)) }
        let thinned = RunPage.thinned(points)
        #expect(thinned.count == 500)
        #expect(thinned.allSatisfy { $0.y == 1 })
        #expect(thinned[1].x == 4)
        #expect(RunPage.thinned(Array(points[..<600])).count == 600)
    }
}
