import Prompting

extension Synthesis {
    /// The instruction record of a picture, in LLaVA's schema.
    ///
    /// Fields of its own carry the truth: `kinds` and `forms` of the questions, in the order of the
    /// turns, the `caption`, and the `regions`, as objects of `box` (`[x0, y0, x1, y1]` in pixels),
    /// `caption`, `kind`, `fine` for what a snapshot is too small for and, for a part, the index
    /// `parent`.
    public static func record(_ picture: Picture, id: String, image: String) -> Record {
        var record = record(picture, id: id, opening: Turn.imagePlaceholder)
        record.images = [image]
        record.extra.members += [
            .init("caption", .string(picture.caption)),
            .init("regions", .array(picture.regions.map(json))),
        ]
        return record
    }

    /// A conversation of the picture's questions; `opening` stands on a line before the first.
    static func record(_ picture: Picture, id: String, opening: String) -> Record {
        var turns: [RecordTurn] = []
        for question in picture.questions {
            let prefix = turns.isEmpty ? opening + "\n" : ""
            turns.append(RecordTurn(from: .human, value: prefix + question.question))
            turns.append(RecordTurn(from: .gpt, value: question.answer))
        }
        return Record(
            id: id, turns: turns,
            extra: JSONObject([
                .init("subject", .string(picture.subject.rawValue)),
                .init("kinds", .array(picture.questions.map { .string($0.kind.rawValue) })),
                .init("forms", .array(picture.questions.map { .string($0.form) })),
            ]))
    }

    /// The record that asks for a picture's caption and nothing else.
    public static func captionRecord(_ picture: Picture, id: String, image: String) -> Record {
        let wordings = ["Describe the picture.", "What does the picture show?", "Give a caption."]
        let wording = wordings[id.utf8.reduce(0) { $0 &+ Int($1) } % wordings.count]
        return Record(
            id: id, images: [image],
            turns: [
                RecordTurn(from: .human, value: Turn.imagePlaceholder + "\n" + wording),
                RecordTurn(from: .gpt, value: picture.caption),
            ])
    }

    /// The kinds of the questions of a record that ``record(_:id:image:)`` made, one for each pair
    /// of turns; nil for a record from elsewhere.
    public static func kinds(of record: Record) -> [QuestionKind]? {
        guard case .array(let values) = record.extra["kinds"] else { return nil }
        let kinds = values.compactMap { value in
            if case .string(let name) = value { QuestionKind(rawValue: name) } else { nil }
        }
        return kinds.count == values.count ? kinds : nil
    }

    /// The caption of a record that ``record(_:id:image:)`` made; nil for a record from elsewhere.
    public static func caption(of record: Record) -> String? {
        if case .string(let caption) = record.extra["caption"] { caption } else { nil }
    }

    /// The regions of a record that ``record(_:id:image:)`` made; nil for a record from elsewhere.
    public static func regions(of record: Record) -> [Region]? {
        guard case .array(let values) = record.extra["regions"] else { return nil }
        let regions = values.compactMap(region)
        let isWhole = regions.count == values.count
        let areParentsKnown = regions.allSatisfy { regions.indices.contains($0.parent ?? 0) }
        return isWhole && areParentsKnown ? regions : nil
    }

    private static func json(_ region: Region) -> JSONValue {
        let corners = [region.box.x0, region.box.y0, region.box.x1, region.box.y1]
        var object = JSONObject([
            .init("box", .array(corners.map { .number("\(Int($0.rounded()))") })),
            .init("caption", .string(region.caption)),
            .init("kind", .string(region.kind.rawValue)),
        ])
        if region.kind.isFine { object.members.append(.init("fine", .bool(true))) }
        if let parent = region.parent {
            object.members.append(.init("parent", .number("\(parent)")))
        }
        return .object(object)
    }

    private static func region(_ value: JSONValue) -> Region? {
        guard case .object(let object) = value, case .array(let corners) = object["box"],
            case .string(let caption) = object["caption"],
            case .string(let name) = object["kind"], let kind = Region.Kind(rawValue: name)
        else { return nil }
        let box = corners.compactMap { corner in
            if case .number(let digits) = corner { Double(digits) } else { nil }
        }
        guard box.count == 4 else { return nil }
        var parent: Int?
        if case .number(let digits) = object["parent"] { parent = Int(digits) }
        return Region(
            kind: kind, box: Box(box[0], box[1], box[2], box[3]), caption: caption, parent: parent)
    }
}
