/// How a family of language models writes conversations.
public enum ChatFormat: String, Sendable, Codable, CaseIterable {
    /// A picture and its caption, nothing else (LLaVA's first stage).
    case plain
    /// `SYSTEM USER: … ASSISTANT: …</s>` (Vicuna v1.1 and v1.5, LLaVA-1.5).
    case vicunaV1 = "vicuna_v1"
    /// `<|start_header_id|>ROLE<|end_header_id|>…<|eot_id|>` (Llama-3 Instruct).
    case llama3 = "llama_3"
    /// `<|im_start|>ROLE…<|im_end|>` (Qwen).
    case chatML = "chatml"
    /// `[INST] … [/INST]…</s>` (Mistral Instruct v0.2).
    case mistral
    /// `<s>[INST] <<SYS>>…<</SYS>> … [/INST] … </s>` (Llama-2 chat).
    case llama2 = "llama_2"

    /// The system text of LLaVA's Llama-3 models.
    public static let llavaSystem =
        "You are a helpful language and vision assistant. You are able to understand the visual "
        + "content that the user provides, and assist the user with a variety of tasks using "
        + "natural language."

    /// The system text used when a conversation brings none; nil when the format then has none.
    ///
    /// - Parameter compat: as the original LLaVA trains.
    public func defaultSystem(compat: Bool = false) -> String? {
        switch self {
        case .vicunaV1:
            "A chat between a curious user and an artificial intelligence assistant. The assistant "
                + "gives helpful, detailed, and polite answers to the user's questions."
        case .chatML: "You are a helpful assistant."
        case .llama3: compat ? Self.llavaSystem : nil
        case .plain, .mistral, .llama2: nil
        }
    }

    /// The ids of a conversation, and which of them are trained on.
    ///
    /// Ids are put together from spans whose part is known: what the assistant says, up to and with
    /// the token that ends its turn, is supervised, all else is not. Nothing is tokenised twice or
    /// searched for, so the ids with a generation prompt are a prefix of the ids with the answer, and
    /// a mask cannot slip. Special tokens that users write, such as `<|eot_id|>`, stay text.
    ///
    /// - Parameters:
    ///   - turns: user and assistant by turns, the user first; a system turn may come before.
    ///   - system: the system text when no system turn is there; empty for none at all; nil for the
    ///     format's own.
    ///   - addingGenerationPrompt: end with the words after which the assistant speaks. The last
    ///     turn must be the user's.
    ///   - imageCount: how many pictures the caller has; another number of placeholders is an error.
    ///   - compat: the label mask (and system text, and Mistral's blanks) of the original LLaVA
    ///     code, with its oddities: role headers are trained on, and end tokens of every turn.
    /// - Throws: ``PromptingError``.
    public func encode(
        _ turns: [Turn], tokenizer: Tokenizer, system: String? = nil,
        addingGenerationPrompt: Bool = false, imageCount: Int? = nil, compat: Bool = false
    ) throws -> PromptIDs {
        let segments = try segments(
            turns, system: system, addingGenerationPrompt: addingGenerationPrompt, compat: compat)
        let found = segments.count { $0.part == .image }
        if let imageCount, imageCount != found {
            throw PromptingError.imageCount(expected: imageCount, found: found)
        }

        var prompt = PromptIDs()
        if self == .plain || self == .vicunaV1 {
            for id in tokenizer.prefixIDs { prompt.append(id, supervised: false) }
        }
        var position = Tokenizer.Position.start
        for segment in segments {
            switch segment.part {
            case .image:
                prompt.append(PromptIDs.imageToken, supervised: false)
                position = .afterToken
            case .token(let token):
                let id = try self.id(of: token, in: tokenizer)
                prompt.append(id, supervised: segment.isSupervised)
                position = .afterToken
            case .text(let text):
                let ids = tokenizer.encode(text, at: position, parsingSpecial: false)
                for id in ids { prompt.append(id, supervised: segment.isSupervised) }
                position = .continuing
            }
        }
        if compat { try superviseMarkers(of: &prompt, tokenizer: tokenizer) }
        return prompt
    }

    /// The conversation as text, for people to read and for comparison with templates.
    public func render(
        _ turns: [Turn], system: String? = nil, addingGenerationPrompt: Bool = false,
        compat: Bool = false
    ) throws -> String {
        try segments(
            turns, system: system, addingGenerationPrompt: addingGenerationPrompt, compat: compat
        ).map { segment in
            switch segment.part {
            case .image: Turn.imagePlaceholder
            case .token(let token): token.text
            case .text(let text): text
            }
        }.joined()
    }

    /// Ids after which the assistant has finished, the format's own first.
    ///
    /// - Throws: ``PromptingError/missingToken(token:neededBy:)``.
    public func stopIDs(for tokenizer: Tokenizer) throws -> [Int] {
        var ids: [Int] = []
        switch self {
        case .llama3:
            ids.append(try id(of: .named("<|eot_id|>"), in: tokenizer))
            ids += [tokenizer.id(of: "<|end_of_text|>")].compactMap { $0 }
        case .chatML:
            ids.append(try id(of: .named("<|im_end|>"), in: tokenizer))
            ids += [tokenizer.id(of: "<|endoftext|>")].compactMap { $0 }
        case .vicunaV1, .mistral, .llama2:
            ids.append(try id(of: .end, in: tokenizer))
        case .plain:
            // A caption ends with a line break and no end token.
            let newline = tokenizer.encode("\n", at: .continuing, parsingSpecial: false)
            if newline.count == 1 { ids += newline }
        }
        if let end = tokenizer.endID, !ids.contains(end) { ids.append(end) }
        return ids
    }

    private func id(of token: ChatSegment.Token, in tokenizer: Tokenizer) throws -> Int {
        let id =
            switch token {
            case .named(let name): tokenizer.id(of: name)
            case .beginning: tokenizer.beginningID ?? tokenizer.id(of: token.text)
            case .end: tokenizer.endID ?? tokenizer.id(of: token.text)
            }
        guard let id else {
            throw PromptingError.missingToken(
                token: token.text, neededBy: "the chat format \(rawValue)")
        }
        return id
    }

    /// What the original code trains on besides: markers, wherever they stand.
    private func superviseMarkers(of prompt: inout PromptIDs, tokenizer: Tokenizer) throws {
        var markers: Set<Int> = []
        switch self {
        case .llama3:
            for name in ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
                + ["<|eot_id|>"]
            {
                markers.insert(try id(of: .named(name), in: tokenizer))
            }
        case .chatML:
            markers.insert(try id(of: .named("<|im_start|>"), in: tokenizer))
            markers.insert(try id(of: .named("<|im_end|>"), in: tokenizer))
            let newline = tokenizer.encode("\n", at: .continuing, parsingSpecial: false)
            if newline.count == 1 { markers.insert(newline[0]) }
        case .plain, .vicunaV1, .mistral, .llama2: return
        }
        for (index, id) in prompt.ids.enumerated() where markers.contains(id) {
            prompt.isSupervised[index] = true
        }
    }
}
