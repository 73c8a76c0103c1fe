import Corpus
import Foundation
import Testing

@testable import VLSATraining

private struct Inner: Codable, Equatable {
    var rate: Double
    var count: Int?
    var flags: [Bool]?
}

private enum Shape: String, Codable, CaseIterable { case circle, square }

private struct Outer: Codable, Equatable {
    var name: String
    var inner: Inner?
    var shape: Shape?
    var table: [String: Double]?
    var list: [Inner]?
    var path: PlanPath?
}

private func decoded(_ text: String, _ overrides: [String] = []) throws -> Outer {
    try StrictYAML(text: text, file: "a.yaml", folder: "/base/stages", overrides: overrides)
        .decode()
}

private func message(
    _ text: String, _ overrides: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
) -> String {
    let error = #expect(throws: StrictYAMLError.self, sourceLocation: sourceLocation) {
        try decoded(text, overrides)
    }
    return error.map { "\($0)" } ?? ""
}

@Suite struct StrictYAMLTests {
    @Test func decodesEveryKindOfValue() throws {
        let value = try decoded(
            """
            name: "7"   # a comment
            inner: {rate: 1e-3, count: -2, flags: [true, false]}
            shape: square
            table:
              a.b: 1
              c: 2.5
            list:
              - rate: .5
              - {rate: +3, count: 0}
            path: ../data/x.json
            """)
        #expect(
            value
                == Outer(
                    name: "7", inner: Inner(rate: 1e-3, count: -2, flags: [true, false]),
                    shape: .square, table: ["a.b": 1, "c": 2.5],
                    list: [Inner(rate: 0.5), Inner(rate: 3, count: 0)],
                    path: PlanPath("/base/data/x.json")))
    }

    @Test func unknownKeysAreNamedWithPlaceAndNearestName() {
        #expect(
            message("name: x\ninner:\n  rate: 1\n  cuont: 2\n")
                == "a.yaml:4:3: unknown key \"inner.cuont\"; did you mean \"count\"?")
        #expect(
            message("name: x\nlist:\n  - rate: 1\n  - {rate: 2, zebra: 3}\n")
                == "a.yaml:4:15: unknown key \"list.1.zebra\"; the keys here are count, flags, rate"
        )
    }

    @Test func aMissingKeyPointsAtItsMisspelling() {
        #expect(
            message("nmae: x\n")
                == "a.yaml:1:1: the key \"name\" is missing; is \"nmae\" a misspelling of it?")
        #expect(message("inner: {rate: 1}\n") == "a.yaml:1:1: the key \"name\" is missing")
    }

    @Test(arguments: [
        (
            "name: x\ninner: {rate: fast}",
            "a.yaml:2:15: \"inner.rate\" must be a number, but it is fast"
        ),
        (
            "name: x\ninner: {rate: 1, count: 1.5}",
            "a.yaml:2:25: \"inner.count\" must be a whole number, but it is 1.5"
        ),
        (
            "name: x\ninner: {rate: 1, count: \"3\"}",
            "a.yaml:2:25: \"inner.count\" must be a whole number, but it is the text \"3\""
        ),
        (
            "name: x\ninner: {rate: 1, count: 012}",
            "a.yaml:2:25: \"inner.count\" must be a whole number without leading zeros, but it is 012"
        ),
        (
            "name: x\ninner: {rate: 1, flags: [no]}",
            "a.yaml:2:26: \"inner.flags.0\" must be true or false, but it is no"
        ),
        ("name: [x]", "a.yaml:1:7: \"name\" must be a text, but it is a list"),
        ("name:", "a.yaml:1:6: \"name\" must be a text, but it is empty"),
        (
            "name: x\ninner: 3",
            "a.yaml:2:8: \"inner\" must be a mapping of keys to values, but it is 3"
        ),
        ("name: x\nlist: 3", "a.yaml:2:7: \"list\" must be a list, but it is 3"),
        (
            "name: x\ninner: {rate: 1e999}",
            "a.yaml:2:15: \"inner.rate\" must be a finite number, but it is 1e999"
        ),
        (
            "name: x\ninner: {rate: .nan}",
            "a.yaml:2:15: \"inner.rate\" must be a number, but it is .nan"
        ),
        (
            "name: x\nshape: cirle",
            "a.yaml:2:8: \"shape\": \"cirle\" is none of circle, square; did you mean \"circle\"?"
        ),
        ("- 1", "a.yaml:1:1: \"\" must be a mapping of keys to values, but it is a list"),
    ])
    func wrongValuesAreNamedWithLineAndColumn(text: String, expected: String) {
        #expect(message(text) == expected)
    }

    /// A section that refuses one of its values names that key and its place.
    @Test(arguments: [
        ("tasks={px_pint: 1}", "tasks", "there is no task px_pint; the tasks are vq_grid, "),
        ("probability=2", "probability", "2.0 is not in 0...1"),
        ("coarseGrid=0", "coarseGrid", "0 is not in 1...128"),
    ])
    func refusedValuesOfASectionAreNamed(override: String, key: String, reason: String) {
        let error = #expect(throws: StrictYAMLError.self) {
            try StrictYAML(text: "seed: 3", file: "a.yaml", overrides: [override])
                .decode(CognitionConfiguration.self)
        }
        #expect(
            error.map { "\($0)" }?.hasPrefix("--set \(override): \"\(key)\": \(reason)") == true)
    }

    @Test func overridesReplaceAddAndIndex() throws {
        let value = try decoded(
            "name: x\ninner: {rate: 1}\nlist: [{rate: 1}, {rate: 2}]\n",
            [
                "inner.rate=1e-4", "list.1.count=9", "shape=circle", "table.a=3",
                "inner.flags=[true]",
                "path=sub/file",
            ])
        #expect(value.inner == Inner(rate: 1e-4, flags: [true]))
        #expect(value.list?[1] == Inner(rate: 2, count: 9))
        #expect(value.shape == .circle)
        #expect(value.table == ["a": 3])
        let here = FileManager.default.currentDirectoryPath
        #expect(value.path == PlanPath(here + "/sub/file"))
    }

    @Test(arguments: [
        ("inner.rat=2", "--set inner.rat=2: unknown key \"inner.rat\"; did you mean \"rate\"?"),
        ("inner.rate=x", "--set inner.rate=x: \"inner.rate\" must be a number, but it is x"),
        ("inner", "--set inner: write key=value, for example optimizer.rate=1e-4"),
        ("a..b=1", "--set a..b=1: write key=value, for example optimizer.rate=1e-4"),
        ("name.x=1", "--set name.x=1: there is no \"x\" in x, which is a single value"),
        ("list.5.rate=1", "--set list.5.rate=1: \"5\" is not an index of a list of 1"),
        ("name={a: ", "--set name={a: : did not find expected node content"),
    ])
    func badOverridesAreNamed(override: String, expected: String) {
        #expect(
            message("name: x\ninner: {rate: 1}\nlist: [{rate: 1}]\n", [override]) == expected)
    }

    @Test func hostileDocumentsAreRefusedQuickly() {
        var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        for i in 1...9 {
            bomb +=
                "a\(i): &a\(i) [\(repeatElement("*a\(i - 1)", count: 10).joined(separator: ","))]\n"
        }
        let clock = ContinuousClock()
        let time = clock.measure {
            #expect(message(bomb).contains("aliases (&name, *name) are not supported"))
            #expect(message(bomb + "? *a9\n: 1\n").contains("aliases"))
            #expect(message("name: &x 3\n").contains("anchors"))
            #expect(message("name: *x\n").contains("undefined alias"))
            #expect(message("name: !!binary aGk=\n").contains("tags"))
            #expect(message("name: a\nname: b\n").contains("the key \"name\" is there twice"))
            #expect(message("name: a\n---\nname: b\n").contains("another document"))
            #expect(
                message("name: [" + String(repeating: "[", count: 1_000_000)).contains("a.yaml"))
            #expect(
                message(
                    "name: " + String(repeating: "[", count: 100)
                        + String(repeating: "]", count: 100)
                )
                .contains("nested too deeply"))
            #expect(
                message("list: [" + String(repeating: "1,", count: 30_000) + "1]")
                    .contains("too many values"))
            #expect(
                message("name: " + String(repeating: "x", count: 2_000_000))
                    .contains("more than 1048576"))
            #expect(message("name: 'x").contains("a.yaml:"))
            #expect(message("{[a]: 1}").contains("a key must be a word"))
        }
        #expect(time < .seconds(20))
    }

    @Test func unreadableFilesAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/yaml-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data([0xff, 0xfe, 0]).write(to: URL(fileURLWithPath: folder + "/bad.yaml"))
        for (path, reason) in [
            ("/missing.yaml", "no such file"), ("/bad.yaml", "is not UTF-8 text"),
            ("", "is a folder"),
        ] {
            let error = #expect(throws: StrictYAMLError.self) {
                try StrictYAML(path: folder + path)
            }
            #expect(error.map { "\($0)" } == "\(folder)\(path): \(reason)")
            #expect(error?.exitCode == 64)
        }
    }

    @Test(arguments: [
        ("rat", ["rate", "rates", "decay"], "rate"),
        ("perciever", ["perceiver", "vision"], "perceiver"),
        ("Optimizer", ["optimizer"], "optimizer"),
    ])
    func nearestNameFindsTheWordThatWasMeant(name: String, among: [String], expected: String) {
        #expect(nearestName(to: name, among: among) == expected)
        #expect(nearestName(to: "zzzzzz", among: among) == nil)
    }
}
