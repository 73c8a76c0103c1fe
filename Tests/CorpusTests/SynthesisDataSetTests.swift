import AnyRes
import Foundation
import Testing

@testable import Corpus

/// The files of a synthetic data set, crop captions and configuration.
struct SynthesisDataSetTests {
    private func folder() -> String {
        NSTemporaryDirectory() + "synthesis-\(UUID().uuidString)"
    }

    private func small(_ train: Int = 6, _ heldOut: Int = 2) -> Synthesis.Configuration {
        var configuration = Synthesis.Configuration()
        (configuration.trainCount, configuration.heldOutCount) = (train, heldOut)
        (configuration.minimumSide, configuration.maximumSide) = (200, 320)
        (configuration.textCount, configuration.lineCount) = (5, 9)
        return configuration
    }

    private func objects(_ path: String) throws -> [[String: Any]] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
    }

    @Test func theFilesAreLLaVAData() throws {
        let folder = folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let synthesis = try Synthesis(small())
        let summary = try synthesis.generate(to: folder)
        #expect(summary.pictureCount == 8 && !summary.isReused)
        for (name, count) in [
            ("train", 6), ("heldout", 2), ("captions", 6), ("heldout-captions", 2),
        ] {
            let records = try objects("\(folder)/\(name).json")
            #expect(records.count == count)
            for record in records {
                let turns = try #require(record["conversations"] as? [[String: String]])
                for (number, turn) in turns.enumerated() {
                    #expect(turn["from"] == (number % 2 == 0 ? "human" : "gpt"))
                }
                #expect(turns.count { $0["value"]?.contains("<image>") == true } == 1)
                #expect(turns[0]["value"]?.hasPrefix("<image>\n") == true)
                let image = try #require(record["image"] as? String)
                _ = try PictureReader().read(path: "\(folder)/\(image)")
                guard !name.hasSuffix("captions") else { continue }
                let kinds = try #require(record["kinds"] as? [String])
                #expect(kinds.count * 2 == turns.count)
                #expect(kinds.allSatisfy { Synthesis.QuestionKind(rawValue: $0) != nil })
            }
        }
        let texts = try objects("\(folder)/texts.json")
        #expect(texts.count == 5)
        #expect(texts.allSatisfy { $0["image"] == nil })
        let lines = try String(contentsOfFile: "\(folder)/text.txt", encoding: .utf8)
        #expect(lines.split(separator: "\n").count == 9)
    }

    @Test func theNumberOfThreadsAndPicturesDoesNotShow() throws {
        let (first, second) = (folder(), folder())
        defer {
            try? FileManager.default.removeItem(atPath: first)
            try? FileManager.default.removeItem(atPath: second)
        }
        try Synthesis(small(5, 1)).generate(to: first, threads: 1)
        try Synthesis(small(8, 1)).generate(to: second, threads: 3)
        for index in 0..<5 {
            let name = "images/\(Synthesis.id(.train, index)).jpg"
            #expect(
                FileManager.default.contents(atPath: "\(first)/\(name)")
                    == FileManager.default.contents(atPath: "\(second)/\(name)"))
        }
        let lines = [first, second].map { folder in
            (try? String(contentsOfFile: "\(folder)/train.json", encoding: .utf8))?
                .split(separator: "\n").dropFirst().prefix(4) ?? []
        }
        #expect(lines[0].count == 4 && lines[0] == lines[1])
    }

    @Test func aFinishedDataSetIsReusedAndAnotherReplacesIt() throws {
        let folder = folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Synthesis(small(2, 1)).generate(to: folder)
        let again = try Synthesis(small(2, 1)).generate(to: folder)
        #expect(again.isReused && again.pictureCount == 3)
        let other = try Synthesis(small(3, 1))
        #expect(!other.isComplete(at: folder))
        #expect(try !other.generate(to: folder).isReused)
        #expect(try objects("\(folder)/train.json").count == 3)
    }

    @Test func aFolderThatCannotBeMadeIsNamed() throws {
        let path = folder()
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("a file".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: SynthesisError.self) {
            try Synthesis(small(1, 0)).generate(to: path + "/inner")
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains(path))
    }

    @Test func aRecordKeepsTheTruth() throws {
        let picture = try Synthesis().picture(.train, 3)
        let record = Synthesis.record(picture, id: "a", image: "images/a.jpg")
        #expect(Synthesis.kinds(of: record) == picture.questions.map(\.kind))
        #expect(Synthesis.caption(of: record) == picture.caption)
        let regions = try #require(Synthesis.regions(of: record))
        #expect(regions.map(\.caption) == picture.regions.map(\.caption))
        #expect(regions.map(\.kind) == picture.regions.map(\.kind))
        #expect(regions.map(\.parent) == picture.regions.map(\.parent))
        #expect(regions.map(\.box.x0) == picture.regions.map { $0.box.x0.rounded() })
        let foreign = Record(id: "b", turns: [])
        #expect(Synthesis.kinds(of: foreign) == nil && Synthesis.regions(of: foreign) == nil)
    }

    @Test func aCropNamesWhatItShows() {
        typealias Box = Synthesis.Box
        let regions: [Synthesis.Region] = [
            .init(kind: .shape, box: Box(0, 0, 10, 10), caption: "red circle", parent: nil),
            .init(kind: .plate, box: Box(20, 0, 60, 20), caption: "blue sign", parent: nil),
            .init(kind: .text, box: Box(24, 5, 56, 15), caption: "4711", parent: 1),
            .init(kind: .glyph, box: Box(24, 5, 32, 15), caption: "4", parent: 2),
            .init(kind: .glyph, box: Box(32, 5, 40, 15), caption: "7", parent: 2),
            .init(kind: .dot, box: Box(0, 40, 2, 42), caption: "red dot", parent: nil),
            .init(kind: .dot, box: Box(4, 40, 6, 42), caption: "red dot", parent: nil),
        ]
        func caption(_ x0: Double, _ y0: Double, _ x1: Double, _ y1: Double) -> String? {
            Synthesis.captionOfCrop(Box(x0, y0, x1, y1), regions: regions)
        }
        #expect(caption(0, 0, 100, 100) == "red circle, blue sign 4711, 2 red dots")
        #expect(caption(0, 0, 5, 10) == "part of red circle")
        #expect(caption(0, 0, 34, 20) == "red circle, part of blue sign, 4")
        #expect(caption(70, 50, 90, 90) == nil)
    }

    private func cells(_ picture: Synthesis.Picture) -> [String] {
        Synthesis.words(of: picture).components(separatedBy: " | ")
    }

    @Test(arguments: [false, true])
    func aPictureToldInWordsHasEveryThingInItsCell(binding: Bool) throws {
        var configuration = Synthesis.Configuration()
        configuration.binding = binding
        let synthesis = try Synthesis(configuration)
        for picture in (0..<200).map({ synthesis.picture(.train, $0) }) {
            let cells = cells(picture)
            #expect(cells.count == 64)
            for (index, cell) in cells.enumerated() {
                let (column, row) = (index % 8, index / 8)
                let place = [0, 0, 0, 1, 1, 2, 2, 2][row] * 3 + [0, 0, 0, 1, 1, 2, 2, 2][column]
                let name = SynthesisPlace.names[place]
                #expect(cell == name || cell.hasPrefix(name + " "))
            }
            for region in picture.regions where region.kind.isElementary {
                let column = Int(region.box.midX / Double(picture.width) * 8)
                let row = Int(region.box.midY / Double(picture.height) * 8)
                let named = cells.count { (" " + $0 + " ").contains(" " + region.caption + " ") }
                #expect(named > 0)
                guard [.dot, .glyph, .point, .word].contains(region.kind) else { continue }
                #expect(cells[row * 8 + column].contains(" " + region.caption))
            }
        }
    }

    /// The places of the things asked for agree with the names of the cells they stand in.
    @Test func thePlaceOfACentreIsTheNameOfItsCell() throws {
        let synthesis = try Synthesis()
        var checked = 0
        for picture in (0..<400).map({ synthesis.picture(.train, $0) }) {
            guard let question = picture.questions.first(where: { $0.kind == .position }),
                let thing = picture.regions.first(where: { [.shape, .plate].contains($0.kind) })
            else { continue }
            let column = Int(thing.box.midX / Double(picture.width) * 8)
            let row = Int(thing.box.midY / Double(picture.height) * 8)
            let words = cells(picture)[row * 8 + column].components(separatedBy: " ")
            let place = words.prefix(question.answer.split(separator: " ").count)
            #expect(place.joined(separator: " ") == question.answer)
            checked += 1
        }
        #expect(checked > 100)
    }

    @Test func aLargeThingIsNamedInTheCellsItCovers() {
        typealias Box = Synthesis.Box
        func region(_ kind: Synthesis.Region.Kind, _ box: Box, _ caption: String)
            -> Synthesis.Region
        {
            .init(kind: kind, box: box, caption: caption, parent: nil)
        }
        let picture = Synthesis.Picture(
            subject: .scene, width: 80, height: 80, svg: "", caption: "", questions: [],
            regions: [
                region(.glyph, Box(12, 72, 18, 79), "4"), region(.glyph, Box(21, 72, 27, 79), "7"),
                region(.plate, Box(9, 70, 24, 80), "red sign"),
                region(.bar, Box(47, 26, 53, 60), "blue bar"),
                region(.shape, Box(66, 1, 74, 9), "pink ring"),
            ])
        let cells = cells(picture)
        func named(_ caption: String) -> [Int] {
            cells.indices.filter { cells[$0].contains(caption) }
        }
        #expect(named("red sign") == [57])
        #expect(cells[57] == "bottom left red sign 4" && cells[58] == "bottom left 7")
        // Narrow and across two columns: the middle one, as far up as it reaches by half.
        #expect(named("blue bar") == [29, 37, 45])
        #expect(named("pink ring") == [7])
    }

    @Test func aTextRecordBeginsWithTheCells() throws {
        let synthesis = try Synthesis()
        for index in 0..<50 {
            let record = synthesis.textRecord(index)
            let lines = record.turns[0].value.components(separatedBy: "\n")
            #expect(
                lines.count == 2 && lines[1].hasSuffix(lines[1].contains("ount the") ? "." : "?"))
            #expect(lines[0].count { $0 == "|" } == 63)
            #expect(record.images.isEmpty && Synthesis.kinds(of: record) != nil)
            #expect(Synthesis.regions(of: record) == nil)
        }
    }

    @Test(arguments: [
        ("train_count", "-1"), ("minimum_side", "50"), ("quality", "0"), ("maximum_side", "600"),
        ("minimum_questions", "9"), ("code_length", "1"), ("scenes", "-1"),
        ("forms", "[\"count.stars\"]"),
    ])
    func aWrongConfigurationIsNamed(key: String, value: String) throws {
        let file = Data("{\"\(key)\": \(value)}".utf8)
        let configuration = try JSONDecoder().decode(Synthesis.Configuration.self, from: file)
        let error = #expect(throws: SynthesisError.self) { try Synthesis(configuration) }
        #expect("\(error.map { "\($0)" } ?? "")".contains(key))
    }

    @Test func onlyTheWantedFormsAreAsked() throws {
        var configuration = Synthesis.Configuration()
        configuration.binding = true
        let all = try Synthesis(configuration)
        configuration.forms = ["count.all", "text", "chart.highest", "chart.top", "field.number"]
        let synthesis = try Synthesis(configuration)
        for index in 0..<200 {
            let asked = synthesis.picture(.train, index).questions.map(\.form)
            #expect(!asked.isEmpty)
            let isWanted = asked.allSatisfy {
                configuration.forms.contains($0) || $0.hasPrefix("text.")
            }
            // A picture that offers none of them is asked what it offers.
            #expect(isWanted || Set(asked).isDisjoint(with: configuration.forms))
            #expect(synthesis.picture(.train, index).svg == all.picture(.train, index).svg)
        }
    }

    @Test func aConfigurationFileMayLeaveKeysOut() throws {
        let configuration = try JSONDecoder().decode(
            Synthesis.Configuration.self, from: Data("{\"seed\": 5, \"binding\": true}".utf8))
        var expected = Synthesis.Configuration()
        (expected.seed, expected.binding) = (5, true)
        #expect(configuration == expected)
        let encoded = try JSONEncoder().encode(expected)
        #expect(try JSONDecoder().decode(Synthesis.Configuration.self, from: encoded) == expected)
    }
}
