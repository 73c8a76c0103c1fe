import Foundation
import Testing

@testable import Codecs

struct TensorFileTests {
    private func file(_ header: String, body: Int, length: UInt64? = nil) -> Data {
        var data = Data()
        withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) {
            data.append(contentsOf: $0)
        }
        data.append(Data(header.utf8))
        data.append(Data(count: body))
        return data
    }

    private func problem(_ data: Data) throws -> String {
        try withTemporaryFolder { folder in
            let path = folder + "/t.safetensors"
            try data.write(to: URL(fileURLWithPath: path))
            do {
                _ = try TensorFile(path: path)
                return "none"
            } catch {
                return "\(error)"
            }
        }
    }

    @Test func writtenFilesReadBack() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/t.safetensors"
            let a = TensorFile.Values(shape: [2, 3], values: [1, 2, 3, 4, 5, 6.5])
            let b = TensorFile.Values(shape: [0], values: [])
            try TensorFile.write([("b", b), ("a", a)], to: path)
            let file = try TensorFile(path: path)
            #expect(file.tensors == ["a": a, "b": b])
            #expect(throws: CodecError.self) { try file.values("a", shape: [3, 2]) }
            #expect(throws: CodecError.self) { try file.values("c", shape: [1]) }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(left == ["t.safetensors"])
        }
    }

    @Test func damagedFilesAreRefused() throws {
        let good = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        #expect(try problem(file(good, body: 8)) == "none")
        #expect(try problem(file(good, body: 7)).contains("offsets"))
        #expect(try problem(file(good, body: 9)).contains("beyond"))
        #expect(try problem(file(good, body: 8, length: 1 << 40)).contains("header"))
        #expect(try problem(file(good, body: 8, length: .max)).contains("header"))
        #expect(try problem(file(good, body: 8, length: 10)).contains("header"))
        #expect(try problem(Data([1, 2])).contains("short"))
        #expect(try problem(file(" " + good, body: 8)).contains("header"))
        #expect(
            try problem(file(good.replacingOccurrences(of: "F32", with: "F16"), body: 8)).contains(
                "F16"))
        #expect(
            try problem(file(good.replacingOccurrences(of: "[2]", with: "[3]"), body: 8)).contains(
                "offsets"))
        #expect(
            try problem(file(good.replacingOccurrences(of: "[2]", with: "[-2]"), body: 8)).contains(
                "shape"))
        let huge = "[4611686018427387904,4]"
        #expect(
            try problem(file(good.replacingOccurrences(of: "[2]", with: huge), body: 8)).contains(
                "shape"))
        let two = { (x: String, y: String) in
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":\#(x)},"b":{"dtype":"F32","shape":[1],"data_offsets":\#(y)}}"#
        }
        #expect(try problem(file(two("[0,4]", "[4,8]"), body: 8)) == "none")
        #expect(try problem(file(two("[0,4]", "[0,4]"), body: 8)).contains("offsets"))
        #expect(try problem(file(two("[0,4]", "[8,12]"), body: 12)).contains("offsets"))
    }
}
