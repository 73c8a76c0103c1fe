import Foundation
import GoldenSupport

@testable import Prompting

/// The files of the reference's results.
enum Fixture {
    static let root = URL(fileURLWithPath: GoldenFolder.path)

    static func data(_ path: String) throws -> Data {
        try Data(contentsOf: root.appendingPathComponent(path))
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: data(path))
    }

    static func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer(folder: root.appendingPathComponent("tokenizers/\(name)").path)
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try data(path), as: UTF8.self)
    }

    /// A fixture's tokenizer file with one piece of its text replaced; nil when it does not occur.
    static func tokenizerFile(_ name: String, replacing old: String, with new: String) throws
        -> Data?
    {
        let file = try text("tokenizers/\(name)/tokenizer.json")
        guard file.contains(old) else { return nil }
        return Data(file.replacingOccurrences(of: old, with: new).utf8)
    }
}

extension String {
    /// UTF-8 bytes, which tell apart what `==` holds for the same text.
    var bytes: [UInt8] { Array(utf8) }
}
