/// The special tokens put around a text: the `post_processor` part of a tokenizer file.
struct PostProcessor: Sendable {
    enum Item: Equatable, Sendable {
        case tokens([Int])
        case first
        case second
    }

    private(set) var single: [Item] = [.first]
    private(set) var pair: [Item] = [.first, .second]

    init(_ node: JSONNode?) throws {
        if let node { try add(node) }
    }

    private mutating func add(_ node: JSONNode) throws {
        switch try node.member("type").text() {
        case "Sequence":
            for part in try node.member("processors").elements() { try add(part) }
        case "ByteLevel": return  // moves offsets only
        case "TemplateProcessing":
            guard single == [.first] else {
                throw node.unsupported("a second TemplateProcessing", supported: "one")
            }
            let tokens = node.optional("special_tokens")
            single = try node.member("single").elements().map { try Self.item($0, tokens) }
            pair = try node.member("pair").elements().map { try Self.item($0, tokens) }
            guard single.filter({ $0 == .first }).count == 1, !single.contains(.second) else {
                throw node.failure("the template \"single\" needs the sequence A, once, alone")
            }
        case let type:
            throw node.unsupported(
                "the post-processor \(type)", supported: "TemplateProcessing, ByteLevel, Sequence")
        }
    }

    private static func item(_ node: JSONNode, _ tokens: JSONNode?) throws -> Item {
        if let sequence = node.optional("Sequence") {
            switch try sequence.member("id").text() {
            case "A": return .first
            case "B": return .second
            case let id: throw sequence.failure("expected A or B, not \"\(id)\"")
            }
        }
        let name = try node.member("SpecialToken").member("id").text()
        guard let entry = tokens?.optional(name) else {
            throw node.failure("\"\(name)\" is not among the template's special_tokens")
        }
        return .tokens(try entry.member("ids").elements().map { try $0.tokenID() })
    }

    /// All ids that the templates add.
    var ids: [Int] {
        (single + pair).flatMap { item -> [Int] in
            if case .tokens(let ids) = item { return ids }
            return []
        }
    }

    /// Ids put before a single text.
    var prefix: [Int] {
        single.prefix { $0 != .first }.flatMap { item -> [Int] in
            if case .tokens(let ids) = item { return ids }
            return []
        }
    }

    func assembled(_ first: [Int], _ second: [Int]? = nil) -> [Int] {
        (second == nil ? single : pair).flatMap { item in
            switch item {
            case .tokens(let ids): ids
            case .first: first
            case .second: second ?? []
            }
        }
    }
}
