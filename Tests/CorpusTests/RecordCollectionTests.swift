import Foundation
import Testing

@testable import Corpus

struct RecordCollectionTests {
    private func withFiles<R>(_ body: (String) throws -> R) throws -> R {
        try withTemporaryFolder { folder in
            for (name, count) in [("a", 10), ("b", 7)] {
                let writer = try RecordWriter(path: "\(folder)/\(name).jsonl")
                for index in 0..<count { try writer.write(pictureRecord("\(name)\(index)")) }
                try writer.finish()
            }
            return try body(folder)
        }
    }

    private func ids(_ collection: RecordCollection) throws -> [String] {
        try (0..<collection.count).map { try collection.record(at: $0).id }
    }

    @Test func strategiesTakeTheirShare() throws {
        try withFiles { folder in
            func taken(_ strategy: String, seed: UInt64 = 0) throws -> [String] {
                let source = RecordCollection.Source(
                    path: folder + "/a.jsonl", strategy: try #require(SamplingStrategy(strategy)))
                return try ids(RecordCollection([source], seed: seed))
            }
            #expect(try taken("all").count == 10)
            #expect(try taken("first:3") == ["a0", "a1", "a2"])
            #expect(try taken("end:2") == ["a8", "a9"])
            #expect(try taken("first:25%") == ["a0", "a1", "a2"])
            #expect(try taken("end:1%") == ["a9"])
            #expect(try taken("first:0") == [])
            #expect(try taken("first:99").count == 10)
            let random = try taken("random:40%", seed: 1)
            #expect(random.count == 4 && Set(random).count == 4)
            #expect(try taken("random:40%", seed: 1) == random)
            #expect(try (2..<8).contains { try taken("random:40%", seed: $0) != random })
        }
        for bad in [
            "", "some", "first", "first:", "first:-1", "first:x", "random:101%", "first:1:2",
            "first:%",
        ] {
            #expect(SamplingStrategy(bad) == nil)
        }
    }

    @Test func mixturesJoinTheirFiles() throws {
        try withFiles { folder in
            try write(
                """
                datasets:
                  - json_path: a.jsonl
                    sampling_strategy: end:2
                  - json_path: \(folder)/b.jsonl
                    sampling_strategy: "first:50%"
                """, to: folder + "/mix.yaml")
            let mixture = try RecordCollection(path: folder + "/mix.yaml")
            #expect(try ids(mixture) == ["a8", "a9", "b0", "b1", "b2", "b3"])
            #expect(mixture.location(of: 3).position == 1)
            #expect(try RecordCollection(path: "\(folder)/{b,a}.jsonl").count == 17)
            #expect(
                try RecordCollection(path: "\(folder)/a.jsonl").fingerprint != mixture.fingerprint)
        }
    }

    @Test(arguments: [
        ("datasets: []", "list"), ("- a", "mapping"), ("data: []", "data"),
        ("datasets:\n  - a.jsonl", ":2"),
        ("datasets:\n  - json_path: a.jsonl\n    sampling: all", "sampling"),
        ("datasets:\n  - json_path: a.jsonl\n    sampling_strategy: half", "first:N"),
        ("datasets:\n  - sampling_strategy: all", "json_path"), ("datasets: [", "YAML"),
        ("", "mapping"),
        ("datasets:\n  - json_path: none.jsonl", "none.jsonl"),
    ])
    func badMixturesAreNamed(text: String, part: String) throws {
        try withTemporaryFolder { folder in
            try write(text, to: folder + "/mix.yaml")
            #expect {
                try RecordCollection(path: folder + "/mix.yaml")
            } throws: {
                // What the mixture says is a setting; a file that it names is not.
                guard "\($0)".contains(part) else { return false }
                return if case .setting = $0 as? CorpusError { part != "none.jsonl" } else {
                    part == "none.jsonl"
                }
            }
        }
    }

    /// A few hundred bytes of aliases must not cost time or memory.
    @Test(.timeLimit(.minutes(1))) func aliasBombsAreHarmless() throws {
        try withTemporaryFolder { folder in
            var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            for level in 1..<12 {
                let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
                text += "a\(level): &a\(level) [\(aliases)]\n"
            }
            try write(text + "datasets: *a11\n", to: folder + "/mix.yaml")
            #expect(throws: CorpusError.self) { try RecordCollection(path: folder + "/mix.yaml") }
        }
    }

    @Test(arguments: [0, 1, 2, 3, 4, 5, 16, 17, 100, 1000])
    func permutationsVisitEveryElementOnce(count: Int) {
        let order = SeededPermutation(count: count, seed: 3)
        #expect((0..<count).map { order[$0] }.sorted() == Array(0..<count))
        if count >= 16 {
            let other = SeededPermutation(count: count, seed: 4)
            #expect((0..<count).contains { order[$0] != other[$0] })
            #expect((0..<count).count { order[$0] == $0 } < count / 4)
        }
    }

    @Test func permutationsAreSpread() {
        // Over many seeds every element comes first about equally often.
        var counts = [Int](repeating: 0, count: 10)
        for seed in 0..<5000 { counts[SeededPermutation(count: 10, seed: UInt64(seed))[0]] += 1 }
        #expect(counts.allSatisfy { abs($0 - 500) < 110 })
    }
}
