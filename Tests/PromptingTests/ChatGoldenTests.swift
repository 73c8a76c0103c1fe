import Foundation
import GoldenSupport
import Testing

@testable import Prompting

/// Renderings of the chat templates, and how they relate to the ids.
@Suite(.enabled(if: GoldenFolder.contains("chat"))) struct ChatGoldenTests {
    struct Case: Decodable {
        struct Message: Decodable {
            var role: Turn.Role
            var content: String
        }
        var format: String
        var messages: [Message]
        var addGenerationPrompt: Bool
        var text: String

        var turns: [Turn] { messages.map { Turn($0.role, $0.content) } }
    }

    /// Names in the fixture, the format, and a tokenizer of that family.
    static let families: [(String, ChatFormat, String)] = [
        ("llama3", .llama3, "llama3"), ("qwen2", .chatML, "qwen2"),
        ("llama2", .llama2, "llama2"), ("mistral_v0_2", .mistral, "llama2"),
        ("vicuna_v1", .vicunaV1, "llama2_metaspace"), ("vicuna_v1", .vicunaV1, "llama2"),
    ]

    static func cases(_ name: String) throws -> [Case] {
        try Fixture.decode([Case].self, from: "chat/cases.json").filter { $0.format == name }
    }

    @Test(arguments: families)
    func rendersLikeTheTemplates(name: String, format: ChatFormat, tokenizer: String) throws {
        let cases = try Self.cases(name)
        #expect(cases.count >= 8 || !GoldenFolder.isOwn)
        for example in cases {
            let text = try format.render(
                example.turns, addingGenerationPrompt: example.addGenerationPrompt)
            GoldenReport.record("chat", equal: text.bytes == example.text.bytes)
            #expect(text.bytes == example.text.bytes)
        }
    }

    /// Spans put together give the ids of the whole rendering, pictures apart.
    @Test(.enabled(if: GoldenFolder.contains("tokenizers")), arguments: families)
    func spansTokeniseLikeTheWhole(name: String, format: ChatFormat, tokenizer: String) throws {
        let tokenizer = try Fixture.tokenizer(tokenizer)
        for example in try Self.cases(name) where !example.text.contains("<image>") {
            let prompt = try format.encode(
                example.turns, tokenizer: tokenizer,
                addingGenerationPrompt: example.addGenerationPrompt)
            // The beginning token is part of the text, except in Vicuna's.
            let whole = tokenizer.encode(example.text, addingSpecial: format == .vicunaV1)
            #expect(prompt.ids == whole, "\(example.text.debugDescription)")
        }
    }
}
