import Foundation
import GoldenSupport
import Testing

@testable import Torch

/// The files of `safetensors_cases`: read as the reference reads them, or refused.
@Suite(.enabled(if: GoldenFolder.contains("safetensors_cases"))) struct SafetensorsGoldenTests {
    private struct Expected: Decodable {
        struct Entry: Decodable {
            let dtype: String
            let shape: [Int]
            let bytes_hex: String
        }
        let accepted: Bool
        let tensors: [String: Entry]?
    }

    static let folder = fixture("safetensors_cases")

    private static func expected() throws -> [String: Expected] {
        let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/expected.json"))
        return try JSONDecoder().decode([String: Expected].self, from: data)
    }

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return files.filter { $0.hasSuffix(".safetensors") }.sorted()
    }()

    @Test func everyCaseIsThere() throws {
        #expect(Self.names == (try Self.expected()).keys.sorted())
        #expect(Self.names.count > 40 || !GoldenFolder.isOwn)
    }

    @Test("safetensors_cases", arguments: names)
    func agreesWithTheReference(_ name: String) throws {
        let problem = difference(name, from: try #require(try Self.expected()[name]))
        GoldenReport.record("safetensors_cases", equal: problem == nil)
        #expect(problem == nil)
    }

    /// How our reading of the file differs from the reference's; nil when it does not.
    private func difference(_ name: String, from expected: Expected) -> String? {
        let file: SafetensorsFile
        do {
            file = try SafetensorsFile(path: Self.folder + "/" + name)
        } catch {
            // Rejecting a name that is there twice is stricter than the reference, on purpose.
            let isStricter = "\(error)".hasSuffix("the name is there twice")
            return expected.accepted && !isStricter ? "refused: \(error)" : nil
        }
        guard expected.accepted, let tensors = expected.tensors else { return "accepted" }
        guard file.names.sorted() == tensors.keys.sorted() else { return "names \(file.names)" }
        for (name, entry) in tensors {
            guard let tensor = try? file.tensor(name) else { return "\(name) cannot be read" }
            let hex = tensor.bytes().map { String(format: "%02x", $0) }.joined()
            guard tensor.shape == entry.shape, hex == entry.bytes_hex,
                SafetensorsHeader.name(of: tensor.dtype) == entry.dtype
            else { return "\(name) is another tensor" }
        }
        return nil
    }
}
