import Foundation
import Testing
import Torch

@testable import VLSATraining

/// An empty folder that goes when the value does.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/vlsa-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct MetricsTests {
    /// RFC 3720, B.4, and the check value of the CRC catalogue.
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xe306_9283), ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 255, count: 32), 0x62a8_ab43), (Array(0..<32), 0x46dd_794e),
            (Array((0..<32).reversed()), 0x113f_db5c), ([], 0),
        ] as [([UInt8], UInt32)])
    func checksumsMatchThePublishedVectors(bytes: [UInt8], expected: UInt32) {
        #expect(CRC32C.checksum(bytes) == expected)
        for cut in 0...bytes.count {
            var crc = CRC32C()
            bytes[..<cut].withUnsafeBytes { crc.update($0) }
            bytes[cut...].withUnsafeBytes { crc.update($0) }
            #expect(crc.value == expected)
        }
    }

    @Test func recordsAreFramedAsTFRecordWants() {
        // Length 5, its masked checksum, the data, its masked checksum.
        let record = TFRecord.framed(Array("hello".utf8))
        #expect(record.count == 8 + 4 + 5 + 4)
        #expect(record[..<8].elementsEqual([5, 0, 0, 0, 0, 0, 0, 0]))
        #expect(record[12..<17].elementsEqual("hello".utf8))
        #expect(record[8..<12].elementsEqual(littleEndianBytes(CRC32C.masked(record[..<8]))))
        #expect(record[17...].elementsEqual(littleEndianBytes(CRC32C.masked(record[12..<17]))))
        #expect(CRC32C.masked("123456789".utf8) == 0xc78a_b0e5)
    }

    @Test func messagesAreEncodedAsProtocolBuffers() {
        var message = ProtobufMessage()
        message.integer(2, 300)
        message.text(1, "ab")
        message.float(2, 1)
        message.double(1, 1)
        #expect(
            message.encoded == [
                0x10, 0xac, 0x02, 0x0a, 2, 97, 98, 0x15, 0, 0, 0x80, 0x3f, 0x09, 0, 0, 0, 0, 0, 0,
                0xf0, 0x3f,
            ])
    }

    @Test func anEventFileHoldsWholeRecords() throws {
        let folder = try TemporaryFolder()
        let file = try EventFile(folder: folder.path, resumingAt: 7)
        let other = try EventFile(folder: folder.path)
        #expect(file.path != other.path)
        try file.add([("loss", 0.5), ("rate", 1e-3)], step: 8)
        try file.add(picture: [1, 2, 3], tag: "reconstruction", width: 2, height: 1, step: 8)
        var rest = try [UInt8](Data(contentsOf: URL(fileURLWithPath: file.path)))[...]
        var records: [[UInt8]] = []
        while rest.count >= 16 {
            let start = rest.startIndex
            let length = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            let data = rest[(start + 12)..<(start + 12 + length)]
            #expect(
                rest[(start + 8)..<(start + 12)].elementsEqual(
                    littleEndianBytes(CRC32C.masked(rest.prefix(8)))))
            #expect(
                rest[(start + 12 + length)...].prefix(4).elementsEqual(
                    littleEndianBytes(CRC32C.masked(data))))
            records.append(Array(data))
            rest = rest.dropFirst(16 + length)
        }
        #expect(rest.isEmpty)
        #expect(records.count == 4)
        #expect(String(decoding: records[0], as: UTF8.self).contains("brain.Event:2"))
        #expect(records[1].suffix(4) == [0x3a, 2, 0x08, 1])  // session_log { status: START }
        #expect(String(decoding: records[2], as: UTF8.self).contains("rate"))
    }

    @Test func aResumedMetricLogHasNoLineTwice() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/metrics.jsonl"
        let first = try MetricLog(path: path)
        for step in 1...4 { try first.add("train", step: step, [("loss", 1 / Double(step))]) }
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"kind\":\"train\",\"st".utf8))
        let second = try MetricLog(path: path, resumingAt: 2)
        try second.add("train", step: 3, [("loss", .nan), ("a\"b", 2)])
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(
            text == """
                {"kind":"train","step":1,"loss":1.0}
                {"kind":"train","step":2,"loss":0.5}
                {"kind":"train","step":3,"loss":"nan","a\\"b":2.0}

                """)
    }
}
