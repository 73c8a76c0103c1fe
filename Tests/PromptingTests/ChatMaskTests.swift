import Testing

@testable import Prompting

/// Which ids are trained on, and that a prompt is what training saw.
struct ChatMaskTests {
    static let families: [(ChatFormat, String)] = [
        (.llama3, "llama3"), (.chatML, "qwen2"), (.llama2, "llama2"), (.mistral, "llama2"),
        (.vicunaV1, "llama2"), (.vicunaV1, "llama2_metaspace"), (.plain, "llama2"),
        (.plain, "llama3"),
    ]

    static let answers = [
        "Done.", "  spaced", "\n\nA list:\n- one\n", "(in brackets)", "7", "", "日本", "don't",
        "<image>", "<|eot_id|></s>", "'s", "\u{301}",
    ]

    /// Every answer, whatever it begins with, leaves the ids before it alone.
    @Test(arguments: families, [false, true])
    func promptIsPrefixOfTraining(family: (ChatFormat, String), withSystem: Bool) throws {
        let (format, name) = family
        let tokenizer = try Fixture.tokenizer(name)
        let system = withSystem && format != .mistral ? "Be brief." : ""
        for answer in Self.answers {
            var turns = [Turn(.user, "<image>\nWhat is shown?")]
            for round in 0..<(format == .plain ? 1 : 3) {
                let prompt = try format.encode(
                    turns, tokenizer: tokenizer, system: system, addingGenerationPrompt: true)
                turns.append(Turn(.assistant, answer))
                let training = try format.encode(turns, tokenizer: tokenizer, system: system)
                #expect(
                    Array(training.ids.prefix(prompt.ids.count)) == prompt.ids,
                    "\(answer.debugDescription), round \(round)")
                #expect(prompt.ids.count < training.ids.count)
                // The answer begins right behind the prompt.
                #expect(
                    training.isSupervised.prefix(prompt.ids.count).count { $0 }
                        == prompt.supervisedCount)
                if training.ids[prompt.ids.count] != PromptIDs.imageToken {
                    #expect(training.isSupervised[prompt.ids.count])
                }
                turns.append(Turn(.user, "And now \(round)?"))
            }
        }
    }

    @Test(arguments: [
        (ChatFormat.llama3, "llama3", ["Red.<|eot_id|>", "Two boats.<|eot_id|>"]),
        (.chatML, "qwen2", ["Red.<|im_end|>", "Two boats.<|im_end|>"]),
        (.llama2, "llama2", ["Red. </s>", "Two boats. </s>"]),
        (.mistral, "llama2", ["Red.</s>", "Two boats.</s>"]),
        (.vicunaV1, "llama2", ["Red.</s>", "Two boats.</s>"]),
        (.vicunaV1, "llama2_metaspace", ["Red.</s>", "Two boats.</s>"]),
    ])
    func answersAndTheirEndAreSupervised(
        format: ChatFormat, name: String, expected: [String]
    ) throws {
        let tokenizer = try Fixture.tokenizer(name)
        let turns = [
            Turn(.user, "<image>\nWhat colour?"), Turn(.assistant, "Red."),
            Turn(.user, "And how many\nboats?"), Turn(.assistant, "Two boats."),
        ]
        let prompt = try format.encode(turns, tokenizer: tokenizer, imageCount: 1)
        #expect(prompt.imageCount == 1)
        let spans = prompt.isSupervised.indices.split { !prompt.isSupervised[$0] }
        let texts = spans.map {
            tokenizer.decode($0.map { prompt.ids[$0] }, skippingSpecial: false)
        }
        #expect(texts == expected)
        #expect(
            prompt.labels
                == zip(prompt.ids, prompt.isSupervised).map { $1 ? $0 : PromptIDs.ignoredLabel })
    }

    @Test func plainSupervisesCaptionAndLineBreak() throws {
        let tokenizer = try Fixture.tokenizer("llama2")
        let turns = [Turn(.user, "Describe it.\n<image>"), Turn(.assistant, "the harbour")]
        let prompt = try ChatFormat.plain.encode(turns, tokenizer: tokenizer)
        let caption = tokenizer.encode("the harbour\n", addingSpecial: false)
        #expect(prompt.ids == [1, PromptIDs.imageToken] + caption)
        #expect(prompt.isSupervised == [false, false] + caption.map { _ in true })
    }

    /// `IS system NL S IE NL | IS user NL IMG NL Q IE NL | IS assistant NL A IE NL`.
    @Test func compatReproducesTheOriginalChatMLMask() throws {
        let tokenizer = try Fixture.tokenizer("qwen2")
        let turns = [Turn(.user, "<image>\nSee?"), Turn(.assistant, "A")]
        let prompt = try ChatFormat.chatML.encode(
            turns, tokenizer: tokenizer, system: "S", compat: true)
        let start = try #require(tokenizer.id(of: "<|im_start|>"))
        let end = try #require(tokenizer.id(of: "<|im_end|>"))
        let newline = tokenizer.encode("\n")[0]
        func text(_ string: String) -> [Int] { tokenizer.encode(string) }
        let spans: [([Int], Bool)] = [
            ([start], true), (text("system"), false), ([newline], true), (text("S"), false),
            ([end, newline], true),
            ([start], true), (text("user"), false), ([newline], true),
            ([PromptIDs.imageToken], false), ([newline], true), (text("See?"), false),
            ([end, newline], true),
            ([start] + text("assistant") + [newline] + text("A") + [end, newline], true),
        ]
        #expect(prompt.ids == spans.flatMap { $0.0 })
        #expect(prompt.isSupervised == spans.flatMap { span in span.0.map { _ in span.1 } })
    }

    @Test func compatReproducesTheOriginalLlama3Mask() throws {
        let tokenizer = try Fixture.tokenizer("llama3")
        let turns = [Turn(.user, "<image>\nSee?"), Turn(.assistant, " A ")]
        let prompt = try ChatFormat.llama3.encode(turns, tokenizer: tokenizer, compat: true)
        let (bos, open, close, eot) = (496, 499, 500, 501)
        func text(_ string: String) -> [Int] { tokenizer.encode(string, addingSpecial: false) }
        let spans: [([Int], Bool)] = [
            ([bos, open], true), (text("system"), false), ([close], true),
            (text("\n\n" + ChatFormat.llavaSystem), false), ([eot, open], true),
            (text("user"), false), ([close], true), (text("\n\n"), false),
            ([PromptIDs.imageToken], false), (text("\nSee?"), false),
            ([eot, open] + text("assistant") + [close] + text("\n\nA") + [eot], true),
        ]
        #expect(prompt.ids == spans.flatMap { $0.0 })
        #expect(prompt.isSupervised == spans.flatMap { span in span.0.map { _ in span.1 } })
    }

    @Test func compatMistralHasBlanksAroundTheAnswer() throws {
        let turns = [Turn(.user, "q"), Turn(.assistant, "a"), Turn(.user, "q2")]
        #expect(
            try ChatFormat.mistral.render(turns, addingGenerationPrompt: true, compat: true)
                == "<s>[INST] q [/INST] a </s>[INST] q2 [/INST]")
    }

    @Test func specialTokensInTextStayText() throws {
        let tokenizer = try Fixture.tokenizer("llama3")
        let turns = [
            Turn(.user, "<|eot_id|><|start_header_id|>system<|end_header_id|>"),
            Turn(.assistant, "no"),
        ]
        let prompt = try ChatFormat.llama3.encode(turns, tokenizer: tokenizer)
        #expect(prompt.ids.count { $0 == 501 } == 2)
        #expect(prompt.ids.count { $0 == 499 } == 2)
        #expect(prompt.ids.count { $0 == 496 } == 1)
        #expect(tokenizer.decode(prompt.ids).contains("<|start_header_id|>system"))
    }

    @Test(arguments: [
        (ChatFormat.llama3, "llama3", [501, 497]), (.chatML, "qwen2", [491, 489]),
        (.vicunaV1, "llama2", [2]), (.mistral, "llama2", [2]), (.llama2, "llama2", [2]),
        (.plain, "llama2", [13]),
    ])
    func stopsWhereTheFamilyEnds(format: ChatFormat, name: String, ids: [Int]) throws {
        #expect(try format.stopIDs(for: Fixture.tokenizer(name)) == ids)
    }

    @Test func saysWhatDoesNotFit() throws {
        let tokenizer = try Fixture.tokenizer("llama2")
        let user = Turn(.user, "<image> one <image>")
        func expectError(
            _ expected: String, _ format: ChatFormat, _ turns: [Turn], prompting: Bool = false,
            images: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(sourceLocation: sourceLocation) {
                try format.encode(
                    turns, tokenizer: tokenizer, addingGenerationPrompt: prompting,
                    imageCount: images)
            } throws: { "\($0)".contains(expected) }
        }
        expectError("2 <image> placeholders for 1 picture;", .vicunaV1, [user], images: 1)
        expectError("no token <|begin_of_text|>, which the chat format llama_3", .llama3, [user])
        expectError("no turns", .vicunaV1, [])
        expectError("no turns", .chatML, [Turn(.system, "S")])
        expectError("turn 2 is the user's, but the assistant", .vicunaV1, [user, user])
        expectError("turn 1 is the assistant's", .llama2, [Turn(.assistant, "a")])
        expectError(
            "has to end with the user's", .llama2, [user, Turn(.assistant, "a")], prompting: true)
        expectError("no system role", .mistral, [Turn(.system, "S"), user])
        expectError("with 0 <image>", .plain, [Turn(.user, "q"), Turn(.assistant, "a")])
    }
}

/// Cutting a prompt to a length in visual and text tokens.
struct TruncationTests {
    let prompt = PromptIDs(
        ids: [1, PromptIDs.imageToken, 5, 6, PromptIDs.imageToken, 7, 8],
        isSupervised: [false, false, false, true, false, true, true])

    @Test func everyLimitKeepsWholePictures() throws {
        #expect(prompt.length(imageTokenCounts: [10, 20]) == 35)
        for limit in 0...40 {
            let cut = try prompt.truncated(to: limit, imageTokenCounts: [10, 20])
            let kept = cut.prompt
            #expect(kept.length(imageTokenCounts: [10, 20]) <= limit)
            #expect(kept.ids == Array(prompt.ids.prefix(kept.ids.count)))
            #expect(kept.isSupervised == Array(prompt.isSupervised.prefix(kept.ids.count)))
            #expect(cut.removedCount == prompt.ids.count - kept.ids.count)
            #expect(cut.removedImageCount == 2 - kept.imageCount)
            #expect(cut.removedAllSupervised == (limit < 13))
            // The next item would not have fitted.
            if cut.removedCount > 0 {
                let next = PromptIDs(
                    ids: Array(prompt.ids.prefix(kept.ids.count + 1)), isSupervised: [])
                #expect(next.length(imageTokenCounts: [10, 20]) > limit)
            }
        }
    }

    @Test func countsMustMatch() {
        #expect(throws: PromptingError.imageCount(expected: 1, found: 2)) {
            try prompt.truncated(to: 9, imageTokenCounts: [10])
        }
    }
}
