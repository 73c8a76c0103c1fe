import Prompting

/// Who speaks in a turn of a record.
public enum Speaker: String, Codable, Sendable, CaseIterable {
    case system
    /// The user; `human` or `user` in files.
    case human
    /// The model; `gpt` or `assistant` in files.
    case gpt

    init?(fileName: String) {
        switch fileName {
        case "human", "user": self = .human
        case "gpt", "assistant": self = .gpt
        case "system": self = .system
        default: return nil
        }
    }
}

/// One turn of a record's conversation.
public struct RecordTurn: Equatable, Sendable {
    /// Who speaks.
    public var from: Speaker
    /// The text, with `<image>` where a picture stands.
    public var value: String
    /// Other fields of the turn, kept for rewriting.
    public var extra: JSONObject

    public init(from: Speaker, value: String, extra: JSONObject = JSONObject()) {
        (self.from, self.value, self.extra) = (from, value, extra)
    }
}

/// One conversation with its pictures: LLaVA's schema.
///
/// `id` is a string or a number (without one the record's index stands in), `image` a string or a list of
/// strings (`images` is accepted too), `conversations` a list of `{from, value}` or of `{role, content}`
/// (under `messages` too). All other fields are kept and written back.
public struct Record: Equatable, Sendable {
    /// Names the record in ledgers and seeds its randomness.
    public var id: String
    /// Picture paths beneath the picture folder, in the order of the `<image>` placeholders.
    public var images: [String]
    /// The conversation.
    public var turns: [RecordTurn]
    /// Other fields of the record, kept for rewriting.
    public var extra: JSONObject
    var spelling: Spelling

    /// How the file spelt what the schema allows to be spelt in several ways.
    struct Spelling: Equatable, Sendable {
        enum ID: Equatable, Sendable { case missing, number, string }
        var id = ID.string
        var isImageList = false
        var imageKey = "image"
        var turnsKey = "conversations"
        var usesRoles = false
    }

    /// A record in LLaVA's spelling.
    public init(
        id: String, images: [String] = [], turns: [RecordTurn], extra: JSONObject = JSONObject()
    ) {
        (self.id, self.images, self.turns, self.extra) = (id, images, turns, extra)
        spelling = Spelling()
    }
}

// MARK: - Reading

extension Record {
    /// Reads a record; `index` stands in for a missing id.
    init(_ value: JSONValue, index: Int) throws(RecordProblem) {
        guard case .object(var object) = value else {
            throw RecordProblem(kind: .schema, reason: "the record is \(value.kind), not an object")
        }
        var spelling = Spelling()
        switch object.remove("id") {
        case .string(let text): id = text
        case .number(let digits): (id, spelling.id) = (digits, .number)
        case nil, .null: (id, spelling.id) = ("#\(index)", .missing)
        case let other?:
            throw RecordProblem(
                kind: .schema, reason: "id is \(other.kind), not a string or a number")
        }
        let imageKey = object["image"] == nil && object["images"] != nil ? "images" : "image"
        spelling.imageKey = imageKey
        switch object.remove(imageKey) {
        case nil, .null: images = []
        case .string(let path): images = [path]
        case .array(let values):
            spelling.isImageList = true
            images = []
            for value in values {
                guard case .string(let path) = value else {
                    throw RecordProblem(
                        kind: .schema, reason: "\(imageKey) lists \(value.kind), not a path")
                }
                images.append(path)
            }
        case let other?:
            throw RecordProblem(
                kind: .schema, reason: "\(imageKey) is \(other.kind), not a path or a list of paths"
            )
        }
        if object["conversations"] == nil && object["messages"] != nil {
            spelling.turnsKey = "messages"
        }
        guard let list = object.remove(spelling.turnsKey) else {
            throw RecordProblem(kind: .schema, reason: "the key conversations is missing")
        }
        guard case .array(let values) = list else {
            throw RecordProblem(
                kind: .schema, reason: "\(spelling.turnsKey) is \(list.kind), not a list of turns")
        }
        turns = []
        turns.reserveCapacity(values.count)
        for (number, value) in values.enumerated() {
            let (turn, usesRoles) = try Self.turn(value, number: number)
            if number == 0 { spelling.usesRoles = usesRoles }
            turns.append(turn)
        }
        extra = object
        self.spelling = spelling
    }

    private static func turn(
        _ value: JSONValue, number: Int
    ) throws(RecordProblem) -> (RecordTurn, usesRoles: Bool) {
        func problem(_ text: String) -> RecordProblem {
            RecordProblem(kind: .schema, reason: "turn \(number): \(text)")
        }
        guard case .object(var object) = value else {
            throw problem("\(value.kind) instead of an object")
        }
        let usesRoles = object["from"] == nil
        let (speakerKey, textKey) = usesRoles ? ("role", "content") : ("from", "value")
        guard let speaker = object.remove(speakerKey) else {
            throw problem("the key from is missing")
        }
        guard case .string(let name) = speaker, let from = Speaker(fileName: name) else {
            let found = if case .string(let name) = speaker { "\"\(name)\"" } else { speaker.kind }
            throw problem("\(speakerKey) is \(found), not human, gpt, user, assistant or system")
        }
        guard let content = object.remove(textKey) else {
            throw problem("the key \(textKey) is missing")
        }
        guard case .string(let text) = content else {
            throw problem("\(textKey) is \(content.kind), not a string")
        }
        return (RecordTurn(from: from, value: text, extra: object), usesRoles)
    }
}

// MARK: - Writing

extension Record {
    /// The record as UTF-8 JSON on one line, spelt as it was read.
    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        json.write(to: &bytes)
        return bytes
    }

    private var json: JSONValue {
        var object = JSONObject()
        switch spelling.id {
        case .missing: break
        case .number: object.members.append(.init("id", .number(id)))
        case .string: object.members.append(.init("id", .string(id)))
        }
        if spelling.isImageList || images.count > 1 {
            object.members.append(.init(spelling.imageKey, .array(images.map(JSONValue.string))))
        } else if let image = images.first {
            object.members.append(.init(spelling.imageKey, .string(image)))
        }
        object.members.append(.init(spelling.turnsKey, .array(turns.map(json))))
        object.members += extra.members
        return .object(object)
    }

    private func json(_ turn: RecordTurn) -> JSONValue {
        let speaker =
            switch turn.from {
            case .system: "system"
            case .human: spelling.usesRoles ? "user" : "human"
            case .gpt: spelling.usesRoles ? "assistant" : "gpt"
            }
        let (speakerKey, textKey) = spelling.usesRoles ? ("role", "content") : ("from", "value")
        return .object(
            JSONObject(
                [.init(speakerKey, .string(speaker)), .init(textKey, .string(turn.value))]
                    + turn.extra.members))
    }
}

// MARK: - Checking

/// How large one record may be.
public struct RecordLimits: Codable, Equatable, Sendable {
    /// Bytes of its JSON.
    public var bytes: Int
    /// Levels of nested lists and objects.
    public var depth: Int
    /// Turns of its conversation.
    public var turns: Int
    /// Pictures.
    public var images: Int

    public init(bytes: Int = 32 << 20, depth: Int = 32, turns: Int = 1000, images: Int = 64) {
        (self.bytes, self.depth, self.turns, self.images) = (bytes, depth, turns, images)
    }
}

extension Record {
    /// Number of `<image>` placeholders in the conversation.
    public var imageTokenCount: Int {
        turns.reduce(0) { $0 + Turn.imageCount(in: $1.value) }
    }

    /// Throws what makes the record unfit to train on.
    ///
    /// A placeholder without a picture is refused even where there is none at all, although LLaVA reads it as
    /// text then: it is nearly always a lost picture.
    func check(_ limits: RecordLimits) throws(RecordProblem) {
        guard turns.count <= limits.turns else {
            throw RecordProblem(kind: .limits, reason: "\(turns.count) turns, over \(limits.turns)")
        }
        guard images.count <= limits.images else {
            throw RecordProblem(
                kind: .limits, reason: "\(images.count) pictures, over \(limits.images)")
        }
        guard turns.contains(where: { $0.from == .gpt }) else {
            let found = turns.isEmpty ? "the conversation is empty" : "no turn is the model's"
            throw RecordProblem(kind: .schema, reason: found)
        }
        var found = 0
        for (number, turn) in turns.enumerated() {
            if turn.value.allSatisfy(\.isWhitespace) {
                throw RecordProblem(kind: .schema, reason: "turn \(number) (\(turn.from)) is empty")
            }
            let count = Turn.imageCount(in: turn.value)
            if turn.from != .human && count > 0 {
                throw RecordProblem(
                    kind: .imageCount, reason: "turn \(number) (\(turn.from)) holds <image>")
            }
            found += count
        }
        guard found == images.count else {
            throw RecordProblem(
                kind: .imageCount,
                reason:
                    "\(found) <image> for \(images.count) picture\(images.count == 1 ? "" : "s")")
        }
    }
}
