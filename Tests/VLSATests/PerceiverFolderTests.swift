import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

@Suite struct PerceiverFolderTests {
    private static func folder() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    }

    @Test("a perceiver's folder gives its weights back to the bit")
    func roundTrip() throws {
        let folder = Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let configuration = PerceiverConfiguration(headCount: 2, cropPosition: .gaussian)
        let store = ParameterStore(seed: 3)
        _ = try SAPerceiver(configuration, width: 8, in: store.scope["perceiver"])
        try SAPerceiver.save(configuration, width: 8, of: store, to: folder)

        let other = ParameterStore(seed: 4)
        try SAPerceiver.load(folder, expecting: configuration, into: other)
        _ = try SAPerceiver(configuration, width: 8, in: other.scope["perceiver"])
        try other.checkComplete()
        #expect(other.names == store.names)
        for name in store.names {
            #expect(other[name]?.floats() == store[name]?.floats(), "\(name)")
        }
    }

    @Test("a folder with another perceiver is refused by name")
    func otherKind() throws {
        let folder = Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = ParameterStore(seed: 3)
        let saved = PerceiverConfiguration(headCount: 2)
        _ = try SAPerceiver(saved, width: 8, in: store.scope["perceiver"])
        try SAPerceiver.save(saved, width: 8, of: store, to: folder)
        let asked = PerceiverConfiguration(headCount: 4)
        let error = #expect(throws: VLSAError.self) {
            try SAPerceiver.load(folder, expecting: asked, into: ParameterStore(seed: 1))
        }
        let message = "\(try #require(error))"
        #expect(message.contains("model.perceiver: \(folder)"))
        #expect(message.hasSuffix("asks for: heads 2 there, 4 here"), "\(message)")
    }
}
