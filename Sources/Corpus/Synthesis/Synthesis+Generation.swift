import AnyRes
import Foundation
import Synchronization

extension Synthesis {
    /// What a data set holds.
    public struct Summary: Equatable, Sendable {
        /// Pictures of both splits.
        public var pictureCount = 0
        /// Questions about them, by kind.
        public var questionCounts: [QuestionKind: Int] = [:]
        /// Whether the data set was there already, made with the same configuration.
        public var isReused = false
    }

    /// The file that a finished data set carries: the configuration that made it.
    public static let configurationName = "synth.json"

    /// Whether the folder holds a finished data set of this configuration.
    public func isComplete(at folder: String) -> Bool {
        guard
            let data = FileManager.default.contents(atPath: "\(folder)/\(Self.configurationName)"),
            let found = try? JSONDecoder().decode(Configuration.self, from: data)
        else { return false }
        return found == configuration
    }

    /// Makes the data set: `images/*.jpg`, `train.json` and `heldout.json` (LLaVA records with the
    /// truth), `captions.json` and `heldout-captions.json` (caption records), `texts.json` (records
    /// about pictures told in words), `text.txt` (lines of plain text in the same language) and,
    /// last, `synth.json`. A data set of this configuration that is there already is left as it is.
    ///
    /// - Parameters:
    ///   - folder: where to write; made if it is not there.
    ///   - threads: pictures drawn at once; the result does not depend on it.
    ///   - progress: told the pictures done and their total, in turn, from any thread.
    @discardableResult
    public func generate(
        to folder: String, threads: Int = ProcessInfo.processInfo.activeProcessorCount,
        progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws -> Summary {
        if isComplete(at: folder) {
            var summary = summary()
            summary.isReused = true
            return summary
        }
        let images = "\(folder)/images"
        try writing(images) {
            try FileManager.default.createDirectory(
                atPath: images, withIntermediateDirectories: true)
            let marker = "\(folder)/\(Self.configurationName)"
            if FileManager.default.fileExists(atPath: marker) {
                try FileManager.default.removeItem(atPath: marker)
            }
        }
        let jobs =
            (0..<configuration.trainCount).map { (Split.train, $0) }
            + (0..<configuration.heldOutCount).map { (Split.heldOut, $0) }
        let results = try drawAll(jobs, to: folder, threads: max(1, threads), progress)
        for (name, prefix, part) in [
            ("train", "", results[..<configuration.trainCount]),
            ("heldout", "heldout-", results[configuration.trainCount...]),
        ] {
            try write(part.map(\.record), to: "\(folder)/\(name).json")
            try write(part.map(\.caption), to: "\(folder)/\(prefix)captions.json")
        }
        try write((0..<configuration.textCount).map(textRecord), to: "\(folder)/texts.json")
        let lines = (0..<configuration.lineCount).map { line($0) + "\n" }.joined()
        try writing("\(folder)/text.txt") {
            try Data(lines.utf8).write(
                to: URL(fileURLWithPath: "\(folder)/text.txt"), options: .atomic)
        }
        try writing("\(folder)/\(Self.configurationName)") {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(configuration).write(
                to: URL(fileURLWithPath: "\(folder)/\(Self.configurationName)"), options: .atomic)
        }
        return summary()
    }

    /// The id of a picture, which its file is named for.
    public static func id(_ split: Split, _ index: Int) -> String {
        "\(split.rawValue)-\(padded(index))"
    }

    static func padded(_ index: Int) -> String {
        let digits = "\(index)"
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    private func summary() -> Summary {
        var summary = Summary()
        for (split, count) in [
            (Split.train, configuration.trainCount), (.heldOut, configuration.heldOutCount),
        ] {
            for index in 0..<count {
                summary.pictureCount += 1
                for question in picture(split, index).questions {
                    summary.questionCounts[question.kind, default: 0] += 1
                }
            }
        }
        return summary
    }

    // MARK: Drawing

    private struct Drawn: Sendable {
        let record: Record
        let caption: Record
    }

    private struct Progress: Sendable {
        var next = 0
        var done = 0
        var results: [Drawn?]
        var failure: SynthesisError?
    }

    /// Draws on several threads, each taking the next picture; the first failure stops them all.
    private func drawAll(
        _ jobs: [(Split, Int)], to folder: String, threads: Int,
        _ progress: @escaping @Sendable (Int, Int) -> Void
    ) throws -> [Drawn] {
        let state = Mutex(Progress(results: Array(repeating: nil, count: jobs.count)))
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while true {
                let job = state.withLock { state -> Int? in
                    guard state.failure == nil, state.next < jobs.count else { return nil }
                    defer { state.next += 1 }
                    return state.next
                }
                guard let job else { return }
                let result = Result { () throws(SynthesisError) in
                    try draw(jobs[job].0, jobs[job].1, to: folder)
                }
                state.withLock { state in
                    switch result {
                    case .success(let drawn):
                        state.results[job] = drawn
                        state.done += 1
                        progress(state.done, jobs.count)
                    case .failure(let error):
                        state.failure = state.failure ?? error
                    }
                }
            }
        }
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            return state.results.compactMap { $0 }
        }
    }

    private func draw(_ split: Split, _ index: Int, to folder: String) throws(SynthesisError)
        -> Drawn
    {
        let picture = picture(split, index)
        let id = Self.id(split, index)
        let image = "images/\(id).jpg"
        let pixels: Pixels
        do {
            pixels = try renderSVG(picture.svg)
        } catch {
            throw .drawing(id, "\(error)")
        }
        do {
            try writeJPEG(pixels, to: "\(folder)/\(image)", quality: configuration.quality)
        } catch {
            throw .unwritable("\(folder)/\(image)", "\(error)")
        }
        return Drawn(
            record: Self.record(picture, id: id, image: image),
            caption: Self.captionRecord(picture, id: id, image: image))
    }

    // MARK: Writing

    /// One record a line, in a JSON array.
    private func write(_ records: [Record], to path: String) throws {
        var bytes = Array("[\n".utf8)
        for (index, record) in records.enumerated() {
            if index > 0 { bytes += Array(",\n".utf8) }
            bytes += record.encoded()
        }
        bytes += Array("\n]\n".utf8)
        try writing(path) {
            try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
        }
    }

    private func writing(_ path: String, _ body: () throws -> Void) throws {
        do { try body() } catch { throw SynthesisError.unwritable(path, "\(error)") }
    }
}
