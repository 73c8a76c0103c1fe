/// Decodes nodes; the one place where scalars become Swift values.
struct YAMLSession {
    let folder: String

    func decode<T: Decodable>(_ type: T.Type, from node: YAMLNode, path: [any CodingKey]) throws
        -> T
    {
        if type == PlanPath.self {
            let text: String = try string(node, path)
            guard !text.isEmpty else { throw badValue(node, path, "is an empty path") }
            let base = if case .override = node.place { "." } else { folder }
            if let path = PlanPath.absolute(text, from: base) as? T { return path }
        }
        do {
            return try T(from: NodeDecoder(session: self, node: node, codingPath: path))
        } catch let error as PlanValueError {
            let entry = error.key.flatMap { node[$0] }
            let name = dotted(path) + (error.key.map { path.isEmpty ? $0 : ".\($0)" } ?? "")
            throw StrictYAMLError.badValue(
                place: entry?.value.place ?? node.place, key: name, reason: error.reason)
        } catch DecodingError.dataCorrupted(let context) {
            if case .scalar(let text, _) = node.content, let words = words(of: type) {
                let nearest = nearestName(to: text, among: words)
                throw badValue(
                    node, path,
                    "\"\(text)\" is none of " + words.joined(separator: ", ")
                        + (nearest.map { "; did you mean \"\($0)\"?" } ?? ""))
            }
            // A section may refuse the value of one of its keys.
            let place = context.codingPath.dropFirst(path.count).reduce(node) {
                $0[$1.stringValue]?.value ?? $0
            }
            throw badValue(place, context.codingPath, context.debugDescription)
        } catch let error as StrictYAMLError {
            throw error
        } catch {
            throw badValue(node, path, "\(error)")
        }
    }

    func string(_ node: YAMLNode, _ path: [any CodingKey]) throws -> String {
        guard case .scalar(let text, _) = node.content, !node.isNull else {
            throw wrongType(node, path, "a text")
        }
        return text
    }

    func boolean(_ node: YAMLNode, _ path: [any CodingKey]) throws -> Bool {
        switch node.content {
        case .scalar("true", isPlain: true): return true
        case .scalar("false", isPlain: true): return false
        default: throw wrongType(node, path, "true or false")
        }
    }

    func integer<I: FixedWidthInteger>(_ node: YAMLNode, _ path: [any CodingKey]) throws -> I {
        guard case .scalar(let text, isPlain: true) = node.content, !text.isEmpty,
            text.drop(while: { $0 == "-" || $0 == "+" }).allSatisfy({ ("0"..."9").contains($0) })
        else { throw wrongType(node, path, "a whole number") }
        let digits = text.drop { $0 == "-" || $0 == "+" }
        guard digits.count == 1 || digits.first != "0" else {
            throw wrongType(node, path, "a whole number without leading zeros")
        }
        guard let value = I(text) else {
            throw wrongType(node, path, "a whole number from \(I.min) to \(I.max)")
        }
        return value
    }

    func real(_ node: YAMLNode, _ path: [any CodingKey]) throws -> Double {
        guard case .scalar(let text, isPlain: true) = node.content,
            text.allSatisfy({ "0123456789+-.eE".contains($0) }), let value = Double(text)
        else { throw wrongType(node, path, "a number") }
        guard value.isFinite else { throw wrongType(node, path, "a finite number") }
        return value
    }

    func wrongType(
        _ node: YAMLNode, _ path: [any CodingKey], _ expected: String
    ) -> StrictYAMLError {
        .wrongType(place: node.place, key: dotted(path), expected: expected, found: node.kind)
    }

    func badValue(_ node: YAMLNode, _ path: [any CodingKey], _ reason: String) -> StrictYAMLError {
        .badValue(place: node.place, key: dotted(path), reason: reason)
    }

    func dotted(_ path: [any CodingKey]) -> String {
        path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
}

/// The words that may stand for an enumeration of texts, in the order of declaration.
private func words(of type: Any.Type) -> [String]? {
    func listed<C: CaseIterable>(_ type: C.Type) -> [String] {
        type.allCases.compactMap { ($0 as? any RawRepresentable<String>)?.rawValue }
    }
    guard let choice = type as? any CaseIterable.Type else { return nil }
    let words = listed(choice)
    return words.isEmpty ? nil : words
}

struct NodeDecoder: Decoder {
    let session: YAMLSession
    let node: YAMLNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(
            try KeyedNodes<Key>(session: session, node: node, codingPath: codingPath))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try NodeList(session: session, node: node, codingPath: codingPath)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer {
        SingleNode(session: session, node: node, codingPath: codingPath)
    }
}

struct KeyedNodes<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let session: YAMLSession
    let node: YAMLNode
    let codingPath: [any CodingKey]

    init(session: YAMLSession, node: YAMLNode, codingPath: [any CodingKey]) throws {
        (self.session, self.node, self.codingPath) = (session, node, codingPath)
        // A section whose keys are all commented out is an empty mapping.
        if node.isNull { node.content = .mapping([]) }
        guard case .mapping = node.content else {
            throw session.wrongType(node, codingPath, "a mapping of keys to values")
        }
        if node.askedKeys == nil { node.askedKeys = [] }
    }

    var allKeys: [Key] {
        // Of the keys a type knows, those that are there; for a dictionary, all. They are not yet asked for.
        guard case .mapping(let entries) = node.content else { return [] }
        return entries.compactMap { Key(stringValue: $0.key) }
    }

    private func entry(_ key: Key) -> YAMLNode? {
        node.askedKeys?.insert(key.stringValue)
        return node[key.stringValue]?.value
    }

    private func value(_ key: Key) throws -> YAMLNode {
        if let value = entry(key) { return value }
        var others: [String] = []
        if case .mapping(let entries) = node.content {
            others = entries.map(\.key).filter { node.askedKeys?.contains($0) != true }
        }
        let misspelling = nearestName(to: key.stringValue, among: others)
        throw StrictYAMLError.missingKey(
            place: misspelling.flatMap { node[$0]?.place } ?? node.place,
            key: session.dotted(codingPath + [key]), misspelling: misspelling)
    }

    func contains(_ key: Key) -> Bool { entry(key) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { entry(key)?.isNull ?? true }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        try session.decode(type, from: try value(key), path: codingPath + [key])
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> {
        try NodeDecoder(session: session, node: try value(key), codingPath: codingPath + [key])
            .container(keyedBy: Nested.self)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try NodeList(session: session, node: try value(key), codingPath: codingPath + [key])
    }

    func superDecoder() throws -> any Decoder {
        NodeDecoder(session: session, node: node, codingPath: codingPath)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        NodeDecoder(session: session, node: try value(key), codingPath: codingPath + [key])
    }
}

struct NodeList: UnkeyedDecodingContainer {
    let session: YAMLSession
    let codingPath: [any CodingKey]
    let place: YAMLPlace
    let values: [YAMLNode]
    var currentIndex = 0

    init(session: YAMLSession, node: YAMLNode, codingPath: [any CodingKey]) throws {
        (self.session, self.codingPath, place) = (session, codingPath, node.place)
        guard case .sequence(let values) = node.content else {
            throw session.wrongType(node, codingPath, "a list")
        }
        self.values = values
    }

    struct Index: CodingKey {
        let intValue: Int?
        var stringValue: String { "\(intValue ?? 0)" }
        init(_ value: Int) { intValue = value }
        init?(intValue: Int) { self.init(intValue) }
        init?(stringValue: String) { nil }
    }

    var count: Int? { values.count }
    var isAtEnd: Bool { currentIndex == values.count }

    private mutating func next() throws -> (YAMLNode, [any CodingKey]) {
        guard !isAtEnd else {
            throw StrictYAMLError.badValue(
                place: place, key: session.dotted(codingPath),
                reason: "the list has \(values.count) values, more are needed")
        }
        defer { currentIndex += 1 }
        return (values[currentIndex], codingPath + [Index(currentIndex)])
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, values[currentIndex].isNull else { return false }
        currentIndex += 1
        return true
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
        let (node, path) = try next()
        return try session.decode(type, from: node, path: path)
    }

    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> {
        let (node, path) = try next()
        return try NodeDecoder(session: session, node: node, codingPath: path)
            .container(keyedBy: Nested.self)
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let (node, path) = try next()
        return try NodeList(session: session, node: node, codingPath: path)
    }

    mutating func superDecoder() throws -> any Decoder {
        let (node, path) = try next()
        return NodeDecoder(session: session, node: node, codingPath: path)
    }
}

struct SingleNode: SingleValueDecodingContainer {
    let session: YAMLSession
    let node: YAMLNode
    let codingPath: [any CodingKey]

    func decodeNil() -> Bool { node.isNull }
    func decode(_ type: Bool.Type) throws -> Bool { try session.boolean(node, codingPath) }
    func decode(_ type: String.Type) throws -> String { try session.string(node, codingPath) }
    func decode(_ type: Double.Type) throws -> Double { try session.real(node, codingPath) }
    func decode(_ type: Float.Type) throws -> Float { Float(try session.real(node, codingPath)) }
    func decode(_ type: Int.Type) throws -> Int { try session.integer(node, codingPath) }
    func decode(_ type: Int8.Type) throws -> Int8 { try session.integer(node, codingPath) }
    func decode(_ type: Int16.Type) throws -> Int16 { try session.integer(node, codingPath) }
    func decode(_ type: Int32.Type) throws -> Int32 { try session.integer(node, codingPath) }
    func decode(_ type: Int64.Type) throws -> Int64 { try session.integer(node, codingPath) }
    func decode(_ type: UInt.Type) throws -> UInt { try session.integer(node, codingPath) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try session.integer(node, codingPath) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try session.integer(node, codingPath) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try session.integer(node, codingPath) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try session.integer(node, codingPath) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        try session.decode(type, from: node, path: codingPath)
    }
}
