import Foundation
import Testing

@testable import Torch

@Suite struct SafetensorsTests {
    private static let folder = fixture("safetensors_cases")

    @Test func eachKindOfDamageHasItsName() throws {
        func error(_ name: String) -> SafetensorsError? {
            #expect(throws: SafetensorsError.self) {
                try SafetensorsFile(path: Self.folder + "/\(name)")
            }
        }
        let kinds: [(String, String)] = [
            ("bad_four_bytes", "4 bytes are too few"), ("bad_header_longer_than_file", "cut off"),
            ("bad_header_over_100mb", "header of 100000001 bytes"), ("bad_not_json", "bad header"),
            ("bad_header_length_max", "header of 18446744073709551615 bytes"),
            ("bad_utf8", "not UTF-8"), ("bad_overlap", "overlap"), ("bad_hole", "hole"),
            ("bad_end_past_file", "end at 32 of 24"),
            ("bad_unknown_dtype", "unknown dtype \"F33\""),
            ("bad_size_mismatch", "needs 20 bytes, data_offsets give 24"),
            ("bad_trailing_bytes", "2 bytes after the last tensor"),
            ("bad_shape_overflow", "larger than any memory"), ("bad_float_shape", "shape"),
            ("bad_metadata_number", "not a string"),
        ]
        for (name, words) in kinds {
            let text = error(name + ".safetensors").map { "\($0)" } ?? ""
            #expect(text.contains(words), "\(name): \(text)")
        }
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: "/nowhere/x") }
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: "/tmp") }
    }

    @Test func whatIsWrittenReadsBackEqual() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.safetensors"
            let generator = Generator(seed: 1)
            let tensors: [(String, Tensor)] = [
                ("byte", Tensor([1, 2, 3] as [UInt8], shape: [3])),
                (
                    "half \"quoted\" \\ ä \u{1}",
                    Tensor.normal([3, 5], generator: generator).to(.bfloat16)
                ),
                ("double", Tensor.normal([2, 2], dtype: .float64, generator: generator)),
                ("transposed", Tensor.normal([2, 3], generator: generator).transposed(0, 1)),
                ("scalar", Tensor(4)), ("empty", Tensor.zeros([0, 3])),
                ("mask", Tensor([true, false], shape: [2])),
            ]
            try SafetensorsFile.write(
                tensors, metadata: ["format": "pt", "note": "a\nb"], to: path)
            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == ["format": "pt", "note": "a\nb"])
            #expect(file.names.count == tensors.count)
            for (name, tensor) in tensors {
                let read = try file.tensor(name)
                #expect(read.shape == tensor.shape && read.dtype == tensor.dtype)
                #expect(read.bytes() == tensor.bytes(), "\(name)")
            }
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.safetensors"])
            #expect(throws: SafetensorsError.missing(path: path, name: "x")) {
                try file.tensor("x")
            }
        }
    }

    @Test func aTensorOutlivesItsFileAndNeverChangesIt() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsFile.write([("x", Tensor([1, 2] as [Float], shape: [2]))], to: path)
            let original = try Data(contentsOf: URL(fileURLWithPath: path))
            var file: SafetensorsFile? = try SafetensorsFile(path: path)
            let tensor = try #require(try file?.tensor("x"))
            let other = try #require(try file?.tensor("x"))
            file = nil
            tensor.add(.ones([2]))
            #expect(tensor.floats() == [2, 3])
            #expect(other.floats() == [2, 3])  // both look into the same mapping
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == original)
            try SafetensorsFile.write([("x", tensor)], to: path)  // while it is mapped
            #expect(tensor.floats() == [2, 3])
            #expect(try SafetensorsFile(path: path).tensor("x").floats() == [2, 3])
        }
    }

    /// In a process of its own, where nothing else takes memory.
    @Test func openingReadsOnlyTheHeaderWhateverTheFileClaims() async {
        await #expect(processExitsWith: .success) {
            try withTemporaryFolder { folder in
                let path = folder + "/big.safetensors"
                let bytes = 8 << 30
                let entry = #""dtype":"BF16","shape":[\#(bytes / 2)],"data_offsets":[0,\#(bytes)]"#
                let header = "{\"w\":{\(entry)}}"
                let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
                let count = padded.utf8.count
                var data = Data((0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) })
                data.append(contentsOf: padded.utf8)
                try data.write(to: URL(fileURLWithPath: path))
                // Sparse: it takes no disk.
                guard truncate(path, data.count + bytes) == 0 else { exit(2) }
                _ = Tensor.zeros([1]) + 1
                let before = TorchRuntime.residentBytes
                let tensor = try SafetensorsFile(path: path).tensor("w")
                guard tensor.count == bytes / 2, tensor[(-1)...].floats() == [0] else { exit(3) }
                for name in SafetensorsGoldenTests.names {
                    _ = try? SafetensorsFile(path: fixture("safetensors_cases/" + name))
                }
                guard TorchRuntime.residentBytes - before < 32 << 20 else { exit(4) }
            }
        }
    }

    @Test func aFailedWriteKeepsTheOldFileAndLeavesNothingBehind() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsFile.write([("x", Tensor(1))], to: path)
            let doubled = [("x", Tensor(2)), ("x", Tensor(3))]
            #expect(throws: SafetensorsError.self) { try SafetensorsFile.write(doubled, to: path) }
            #expect(try SafetensorsFile(path: path).tensor("x").item() == 1)
            let taken = folder + "/taken"
            try FileManager.default.createDirectory(
                atPath: taken + "/inner", withIntermediateDirectories: true)
            #expect(throws: SafetensorsError.self) {
                try SafetensorsFile.write([("x", Tensor(2))], to: taken)  // a folder cannot be replaced
            }
            #expect(throws: SafetensorsError.self) {
                try SafetensorsFile.write([("x", Tensor(2))], to: folder + "/none/a")
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(left == ["a.safetensors", "taken"])
        }
    }

    @Test func aFullDiskKeepsTheOldFile() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("torch-tests-\(UUID().uuidString)").path
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let path = folder + "/a.safetensors"
            try SafetensorsFile.write([("x", Tensor(1))], to: path)
            // A limit on the size of files stands for a full disk.
            var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            do {
                try SafetensorsFile.write([("x", .zeros([100_000]))], to: path)
                exit(3)
            } catch let error as SafetensorsError {
                guard "\(error)".contains("File too large") else { exit(4) }
            }
            guard try SafetensorsFile(path: path).tensor("x").item() == 1 else { exit(5) }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            exit(left == ["a.safetensors"] ? 0 : 6)
        }
    }

    /// One byte of the header changed, or the file cut: an error or a correct table, never a crash.
    @Test func damagedHeadersNeverCrash() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.safetensors"
            try SafetensorsFile.write(
                [("w", .ones([8, 8])), ("b", .zeros([8], dtype: .bfloat16))], to: path)
            let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            var random = SystemRandomNumberGenerator()
            for round in 0..<400 {
                var bytes = good
                if round % 4 == 0 {
                    bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
                } else {
                    let place = Int.random(in: 0..<good.count - 272, using: &random)
                    bytes[place] = UInt8.random(in: 0...255, using: &random)
                }
                try Data(bytes).write(to: URL(fileURLWithPath: path))
                do {
                    let file = try SafetensorsFile(path: path)
                    for (_, tensor) in try file.tensors() { #expect(tensor.byteCount <= 272) }
                } catch is SafetensorsError {
                }
            }
        }
    }
}
