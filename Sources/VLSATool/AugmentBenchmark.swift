import AnyRes
import ArgumentParser
import Codecs
import Corpus
import Foundation
import Prompting

extension BenchCommand {
    struct Augment: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Augmentation: text alone, codes computed, codes from the cache.",
            discussion: """
                Makes a record file of the given size and some pictures in --work, once, and augments them. `peer.py json` \
                reads and rewrites the same text.json in Python. Peak memory is that of the text alone, measured first.

                Example: vlsa bench augment --work /tmp/bench --megabytes 1000
                """)

        @Option(help: "Folder for the files; what is there is used again.") var work: String
        @Option(help: "Size of the text's record file.") var megabytes = 64
        @Option(help: "Pictures, 640 x 480.") var pictures = 48
        @Option(help: "Records over the pictures.") var records = 480
        @Option(help: "Threads.") var workers = ProcessInfo.processInfo.activeProcessorCount
        @Option(help: "Templates, <task>/<language>/*.mustache.")
        var templates = "Templates/cognition"

        func validate() throws {
            guard (1...100_000).contains(megabytes), (1...100_000).contains(pictures),
                (1...10_000_000).contains(records)
            else {
                throw ValidationError("--megabytes, --pictures and --records must be above 0")
            }
        }

        func run() throws {
            try requireExisting(templates, "--templates")
            let files = try AugmentBenchmarkFiles(
                work, megabytes: megabytes, pictures: pictures, records: records)
            let library = try TemplateLibrary.cognition(templates)
            let text = try measured(
                files.text, augmenter: Augmenter(CognitionConfiguration(), templates: library),
                files)
            let peak = peakMebibytes()

            let codebook = try KMeansCodebook.fit(
                pictures: FitPictures(folder: files.images),
                settings: KMeansSettings(codeCount: 256, patchLimit: 20_000))
            let codes: [CognitionTask: Double] = [
                .vqGrid: 1, .vqWindow: 1, .vqCell: 1, .vqCells: 1, .vqFind: 1,
            ]
            let configuration = CognitionConfiguration(tasks: codes)
            let uncached = try measured(
                files.records,
                augmenter: Augmenter(configuration, templates: library, codebook: codebook), files)
            let store = try ContentStore(folder: work + "/codes", limit: 1 << 30)
            let augmenter = try Augmenter(
                configuration, templates: library, codebook: codebook, cache: CodeCache(store))
            _ = try measured(files.records, augmenter: augmenter, files)
            let cached = try measured(files.records, augmenter: augmenter, files)
            let figures = [
                "\"text_megabytes\": \(megabytes)", "\"text_records\": \(text.count)",
                "\"text_records_per_s\": \(text.rate)",
                "\"uncached_records_per_s\": \(uncached.rate)",
                "\"cached_records_per_s\": \(cached.rate)", "\"workers\": \(workers)",
                "\"text_peak_mib\": \(peak)",
            ]
            print("{\"work\": \"augment\", \(figures.joined(separator: ", "))}")
        }

        private func measured(
            _ path: String, augmenter: Augmenter, _ files: AugmentBenchmarkFiles
        ) throws -> (count: Int, rate: Double) {
            let start = ContinuousClock.now
            var job = AugmentationJob(
                try RecordCollection(path: path), augmenter: augmenter,
                folder: try PictureFolder(files.images))
            job.workers = workers
            job.resumes = false
            let report = try job.run(to: work + "/augmented.json")
            let seconds = start.duration(to: .now) / .seconds(1)
            return (report.written, Double(report.written) / seconds)
        }

        private func peakMebibytes() -> Int {
            var usage = rusage()
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss / 1024
        }
    }
}

/// The files of `vlsa bench augment`, made where they are missing.
struct AugmentBenchmarkFiles {
    let text: String
    let records: String
    let images: String

    init(_ folder: String, megabytes: Int, pictures: Int, records count: Int) throws {
        images = folder + "/images"
        text = "\(folder)/text-\(megabytes).json"
        records = "\(folder)/records-\(pictures)-\(count).jsonl"
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        var random = SeededGenerator(seed: 1, "bench")
        if !FileManager.default.fileExists(atPath: text) {
            let writer = try RecordWriter(path: text)
            var bytes = 0
            while bytes < megabytes << 20 {
                let record = Self.record("t\(writer.count)", image: nil, rounds: 4, &random)
                bytes += record.encoded().count + 2
                try writer.write(record)
            }
            try writer.finish()
        }
        for index in 0..<pictures {
            let path = "\(images)/\(index).jpg"
            if !FileManager.default.fileExists(atPath: path) {
                try writeJPEG(Self.picture(&random), to: path)
            }
        }
        if !FileManager.default.fileExists(atPath: records) {
            let writer = try RecordWriter(path: records)
            for index in 0..<count {
                try writer.write(
                    Self.record(
                        "p\(index)", image: "\(index % pictures).jpg", rounds: 2, &random))
            }
            try writer.finish()
        }
    }

    private static let words = [
        "the", "a", "red", "picture", "shows", "of", "which", "street", "\"quoted\"", "naïve", "猫",
        "because", "two", "people", "standing", "near", "window,", "and", "it", "is.\n", "1979",
    ]

    private static func record(
        _ id: String, image: String?, rounds: Int, _ random: inout SeededGenerator
    ) -> Record {
        func sentence(_ count: Int, _ random: inout SeededGenerator) -> String {
            (0..<count).map { _ in random.element(of: words) }.joined(separator: " ")
        }
        var turns: [RecordTurn] = []
        for round in 0..<rounds {
            let lead = round == 0 && image != nil ? "<image>\n" : ""
            turns.append(RecordTurn(from: .human, value: lead + sentence(12, &random) + "?"))
            turns.append(RecordTurn(from: .gpt, value: sentence(40, &random)))
        }
        return Record(id: id, images: image.map { [$0] } ?? [], turns: turns)
    }

    /// Coarse noise made smooth, which compresses about as photographs do.
    private static func picture(_ random: inout SeededGenerator) -> Pixels {
        let (width, height) = (80, 60)
        let bytes = (0..<3 * width * height).map { _ in UInt8(random.below(256)) }
        return resized(
            Pixels(width: width, height: height, bytes: bytes), width: 640, height: 480)
    }
}
