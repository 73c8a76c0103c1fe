import Foundation
import Testing

@testable import Corpus

struct ContentStoreTests {
    /// Every entry file of a store.
    private func entries(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder)
            .filter { $0.contains("/") }.map { "\(folder)/\($0)" }.sorted()
    }

    @Test func valuesComeBackInLaterStores() throws {
        try withTemporaryFolder { folder in
            let values: [String: [UInt8]] = [
                "a": [], "b": [1, 2, 3], "é/../x": Array(repeating: 7, count: 100_000),
            ]
            let store = try ContentStore(folder: folder + "/s", limit: 1 << 20)
            for (key, value) in values {
                #expect(store.value(of: key) == nil)
                #expect(store.value(of: key) { value } == value)
            }
            let other = try ContentStore(folder: folder + "/s", limit: 1 << 20)
            for (key, value) in values {
                let found = other.value(of: key) {
                    Issue.record("made again")
                    return []
                }
                #expect(found == value)
            }
            #expect(other.use == .init(hits: 3))
            #expect(store.use == .init(misses: 6))
            #expect(try entries(folder + "/s").count == 3)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["s"])
        }
    }

    /// A cut, changed, foreign or empty entry is made anew and then found again.
    @Test(arguments: 0..<5)
    func damagedEntriesAreMadeAnew(kind: Int) throws {
        try withTemporaryFolder { folder in
            let store = try ContentStore(folder: folder, limit: 1 << 20)
            store.insert([9, 8, 7, 6], for: "key")
            store.insert([1], for: "other")
            let paths = try entries(folder)
            let path = try #require(
                paths.first { FileManager.default.contents(atPath: $0)?.contains(8) == true })
            let foreign = try #require(paths.first { $0 != path })
            var data = try #require(FileManager.default.contents(atPath: path))
            switch kind {
            case 0: data = data.dropLast(3)
            case 1: data[data.count - 10] ^= 1  // in the value
            case 2: data = Data()
            case 3: data = try #require(FileManager.default.contents(atPath: foreign))
            default: data[17] ^= 1  // in the key
            }
            try data.write(to: URL(fileURLWithPath: path))
            #expect(store.value(of: "key") { [5, 5] } == [5, 5])
            #expect(store.use.damaged == 1)
            #expect(store.value(of: "key") == [5, 5])
        }
    }

    /// The limit holds, and what was used last stays.
    @Test func theLeastRecentlyUsedLeave() throws {
        try withTemporaryFolder { folder in
            let limit = 40 * 4096
            let store = try ContentStore(folder: folder, limit: limit)
            for index in 0..<30 { store.insert([UInt8(index)], for: "\(index)") }
            #expect(store.use.evicted == 0)
            let old = Date(timeIntervalSinceNow: -1000)
            for path in try entries(folder) {
                try FileManager.default.setAttributes([.modificationDate: old], ofItemAtPath: path)
            }
            #expect(store.value(of: "3") == [3])  // makes it young again
            for index in 30..<60 { store.insert([UInt8(index)], for: "\(index)") }
            #expect((20..<29).contains(store.use.evicted))
            #expect(store.value(of: "3") == [3] && store.value(of: "59") == [59])
            #expect(try entries(folder).count <= 40)

            let fresh = try ContentStore(folder: folder, limit: 10 * 4096)
            fresh.insert([1], for: "one more")
            #expect(try entries(folder).count <= 10)
            #expect(fresh.value(of: "one more") == [1])
        }
    }

    @Test func manyWritersAgree() throws {
        try withTemporaryFolder { folder in
            let stores = try (0..<3).map { _ in try ContentStore(folder: folder, limit: 60 * 4096) }
            DispatchQueue.concurrentPerform(iterations: 300) { turn in
                let number = turn * 7 % 100
                let wanted = [UInt8](repeating: UInt8(number), count: 1 + number)
                if stores[turn % 3].value(of: "\(number)", making: { wanted }) != wanted {
                    Issue.record("another value under \(number)")
                }
            }
            for store in stores {
                #expect(store.use.problem == nil)
                #expect(store.use.damaged == 0)
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(!left.contains { $0.hasPrefix(".new") })
        }
    }

    @Test func unusableFoldersAreRefused() throws {
        try withTemporaryFolder { folder in
            try write("x", to: folder + "/file")
            #expect(throws: CorpusError.self) {
                try ContentStore(folder: folder + "/file", limit: 1000)
            }
            #expect(throws: CorpusError.self) { try ContentStore(folder: folder, limit: 0) }
            // A folder that vanishes costs the entry, not the value.
            let store = try ContentStore(folder: folder + "/s", limit: 1000)
            try FileManager.default.removeItem(atPath: folder + "/s")
            #expect(store.value(of: "a") { [1] } == [1])
            #expect(store.use.problem?.contains(folder + "/s") == true)
        }
    }
}
