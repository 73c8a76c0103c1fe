import Foundation

/// Reads the safetensors files of the fixtures: enough for `U8` and `F32`.
struct FixtureTensors: Sendable {
    struct Entry: Sendable {
        let shape: [Int]
        let bytes: [UInt8]

        var floats: [Float] {
            bytes.withUnsafeBytes { raw in
                stride(from: 0, to: raw.count, by: 4).map {
                    raw.loadUnaligned(fromByteOffset: $0, as: Float.self)
                }
            }
        }
    }

    private struct Header: Decodable {
        let shape: [Int]
        let offsets: [Int]

        enum CodingKeys: String, CodingKey {
            case shape
            case offsets = "data_offsets"
        }
    }

    private struct Directory: Decodable {
        var entries: [String: Header] = [:]

        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: Key.self)
            for key in values.allKeys where key.stringValue != "__metadata__" {
                entries[key.stringValue] = try values.decode(Header.self, forKey: key)
            }
        }
    }

    private let entries: [String: Header]
    private let data: Data
    private let start: Int

    init(path: String) throws {
        data = try Data(contentsOf: URL(fileURLWithPath: path))
        let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        start = 8 + length
        entries = try JSONDecoder().decode(Directory.self, from: data[8..<start]).entries
    }

    var names: [String] { entries.keys.sorted() }

    subscript(name: String) -> Entry? {
        guard let header = entries[name] else { return nil }
        let (low, high) = (start + header.offsets[0], start + header.offsets[1])
        return Entry(shape: header.shape, bytes: Array(data[low..<high]))
    }
}
