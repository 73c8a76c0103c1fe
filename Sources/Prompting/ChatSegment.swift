/// A span of a conversation that is all trained on or all not.
struct ChatSegment: Equatable, Sendable {
    enum Token: Equatable, Sendable {
        case named(String)
        /// The tokenizer's beginning-of-text token.
        case beginning
        /// The tokenizer's end-of-text token.
        case end

        var text: String {
            switch self {
            case .named(let name): name
            case .beginning: "<s>"
            case .end: "</s>"
            }
        }
    }

    enum Part: Equatable, Sendable {
        case text(String)
        case token(Token)
        case image
    }

    var part: Part
    var isSupervised: Bool
}

/// Collects spans, joining neighbouring text so that it is tokenised as one.
private struct SegmentList {
    private(set) var segments: [ChatSegment] = []

    mutating func add(token: ChatSegment.Token, supervised: Bool = false) {
        segments.append(ChatSegment(part: .token(token), isSupervised: supervised))
    }

    /// Adds text in which `<image>` stands for a picture.
    mutating func add(_ text: String, supervised: Bool = false) {
        var isFirst = true
        for piece in Turn.pieces(of: text) {
            if !isFirst { segments.append(ChatSegment(part: .image, isSupervised: false)) }
            isFirst = false
            if piece.isEmpty { continue }
            if let last = segments.last, last.isSupervised == supervised,
                case .text(let before) = last.part
            {
                segments[segments.count - 1].part = .text(before + piece)
            } else {
                segments.append(ChatSegment(part: .text(String(piece)), isSupervised: supervised))
            }
        }
    }

    mutating func addImage() {
        segments.append(ChatSegment(part: .image, isSupervised: false))
    }
}

extension ChatFormat {
    /// The spans of a conversation, in order.
    func segments(
        _ turns: [Turn], system: String?, addingGenerationPrompt: Bool, compat: Bool
    ) throws -> [ChatSegment] {
        var turns = turns
        var system = system ?? defaultSystem(compat: compat) ?? ""
        if let first = turns.first, first.role == .system {
            system = first.text
            turns.removeFirst()
        }
        try check(turns, addingGenerationPrompt: addingGenerationPrompt)
        return switch self {
        case .plain: try plainSegments(turns)
        case .vicunaV1:
            vicunaSegments(turns, system: system, prompting: addingGenerationPrompt)
        case .llama3:
            llama3Segments(turns, system: system, prompting: addingGenerationPrompt, compat)
        case .chatML:
            chatMLSegments(turns, system: system, prompting: addingGenerationPrompt, compat)
        case .mistral: try mistralSegments(turns, system: system, compat)
        case .llama2: llama2Segments(turns, system: system)
        }
    }

    private func check(_ turns: [Turn], addingGenerationPrompt: Bool) throws {
        func failure(_ problem: String) -> PromptingError {
            .conversation(format: rawValue, problem: problem)
        }
        if turns.isEmpty { throw failure("the conversation has no turns") }
        for (index, turn) in turns.enumerated() {
            let expected: Turn.Role = index % 2 == 0 ? .user : .assistant
            if turn.role != expected {
                throw failure(
                    "turn \(index + 1) is the \(turn.role.rawValue)'s, but the "
                        + "\(expected.rawValue) is due; they speak by turns, the user first")
            }
        }
        if addingGenerationPrompt, turns.last?.role != .user {
            throw failure("to be answered, a conversation has to end with the user's turn")
        }
    }

    private func plainSegments(_ turns: [Turn]) throws -> [ChatSegment] {
        var list = SegmentList()
        let images = Turn.imageCount(in: turns[0].text)
        guard turns.count <= 2, images > 0 else {
            throw PromptingError.conversation(
                format: rawValue,
                problem: "expected one turn of the user with an <image> and one answer, found "
                    + "\(turns.count) turns with \(images) <image> in the first")
        }
        for _ in 0..<images { list.addImage() }
        if turns.count == 2 { list.add(turns[1].text + "\n", supervised: true) }
        return list.segments
    }

    private func vicunaSegments(
        _ turns: [Turn], system: String, prompting: Bool
    ) -> [ChatSegment] {
        var list = SegmentList()
        if !system.isEmpty { list.add(system + " ") }
        for (index, turn) in turns.enumerated() {
            if turn.role == .user {
                list.add("USER: " + turn.text)
                if prompting || index + 1 < turns.count { list.add(" ASSISTANT:") }
            } else {
                list.add(" " + turn.text, supervised: true)
                list.add(token: .end, supervised: true)
            }
        }
        return list.segments
    }

    private func llama3Segments(
        _ turns: [Turn], system: String, prompting: Bool, _ compat: Bool
    ) -> [ChatSegment] {
        var list = SegmentList()
        func addHeader(_ role: Turn.Role, supervised: Bool) {
            list.add(token: .named("<|start_header_id|>"), supervised: supervised)
            list.add(role.rawValue, supervised: supervised)
            list.add(token: .named("<|end_header_id|>"), supervised: supervised)
            list.add("\n\n", supervised: supervised)
        }
        list.add(token: .named("<|begin_of_text|>"))
        for turn in (system.isEmpty ? [] : [Turn(.system, system)]) + turns {
            let isAnswer = turn.role == .assistant
            addHeader(turn.role, supervised: isAnswer && compat)
            list.add(trimmed(turn.text), supervised: isAnswer)
            list.add(token: .named("<|eot_id|>"), supervised: isAnswer)
        }
        if prompting { addHeader(.assistant, supervised: compat) }
        return list.segments
    }

    private func chatMLSegments(
        _ turns: [Turn], system: String, prompting: Bool, _ compat: Bool
    ) -> [ChatSegment] {
        var list = SegmentList()
        func addHeader(_ role: Turn.Role, supervised: Bool) {
            list.add(token: .named("<|im_start|>"), supervised: supervised)
            list.add(role.rawValue + "\n", supervised: supervised)
        }
        for turn in (system.isEmpty ? [] : [Turn(.system, system)]) + turns {
            let isAnswer = turn.role == .assistant
            addHeader(turn.role, supervised: isAnswer && compat)
            list.add(turn.text, supervised: isAnswer)
            list.add(token: .named("<|im_end|>"), supervised: isAnswer)
            list.add("\n", supervised: isAnswer && compat)
        }
        if prompting { addHeader(.assistant, supervised: compat) }
        return list.segments
    }

    private func mistralSegments(
        _ turns: [Turn], system: String, _ compat: Bool
    ) throws -> [ChatSegment] {
        guard system.isEmpty else {
            throw PromptingError.conversation(
                format: rawValue,
                problem: "there is no system role; put its text before the first question")
        }
        var list = SegmentList()
        list.add(token: .beginning)
        for turn in turns {
            if turn.role == .user {
                list.add("[INST] " + turn.text + " [/INST]")
            } else {
                list.add(compat ? " \(turn.text) " : turn.text, supervised: true)
                list.add(token: .end, supervised: true)
            }
        }
        return list.segments
    }

    private func llama2Segments(_ turns: [Turn], system: String) -> [ChatSegment] {
        var list = SegmentList()
        for (index, turn) in turns.enumerated() {
            if turn.role == .user {
                let preface =
                    index == 0 && !system.isEmpty ? "<<SYS>>\n\(system)\n<</SYS>>\n\n" : ""
                list.add(token: .beginning)
                list.add("[INST] " + trimmed(preface + turn.text) + " [/INST]")
            } else {
                list.add(" " + trimmed(turn.text) + " ", supervised: true)
                list.add(token: .end, supervised: true)
            }
        }
        return list.segments
    }

    /// Without white space at both ends.
    private func trimmed(_ text: String) -> String {
        func isBlank(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
        }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isBlank($0) }),
            let last = scalars.lastIndex(where: { !isBlank($0) })
        else { return "" }
        return String(scalars[first...last])
    }
}
