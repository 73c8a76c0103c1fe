/// A place in a parsed file: a value with the file's name and its key, for errors that say both.
struct JSONNode {
    let value: JSONTree
    let key: String
    let file: String

    init(_ value: JSONTree, key: String = "", file: String) {
        self.value = value
        self.key = key
        self.file = file
    }

    func failure(_ problem: String) -> PromptingError {
        .malformed(file: file, key: key.isEmpty ? "the file" : key, problem: problem)
    }

    func unsupported(_ component: String, supported: String) -> PromptingError {
        .unsupported(
            file: file, key: key.isEmpty ? "the file" : key, component: component,
            supported: supported)
    }

    private func child(_ value: JSONTree, _ name: String) -> JSONNode {
        JSONNode(value, key: key.isEmpty ? name : "\(key).\(name)", file: file)
    }

    /// The member `name`, or nil when it is missing or null.
    func optional(_ name: String) -> JSONNode? {
        guard let value = value[name] else { return nil }
        if case .null = value { return nil }
        return child(value, name)
    }

    /// The member `name`; throws when it is missing or null.
    func member(_ name: String) throws -> JSONNode {
        guard case .object = value else { throw failure("expected an object") }
        guard let node = optional(name) else { throw failure("the key \"\(name)\" is missing") }
        return node
    }

    func bytes() throws -> [UInt8] {
        guard case .string(let bytes) = value else { throw failure("expected a string") }
        return bytes
    }

    func text() throws -> String {
        String(decoding: try bytes(), as: UTF8.self)
    }

    func bool() throws -> Bool {
        guard case .bool(let value) = value else { throw failure("expected true or false") }
        return value
    }

    func integer() throws -> Int {
        guard case .integer(let value) = value else { throw failure("expected a whole number") }
        return value
    }

    /// A token id: a whole number in `0..<idLimit`.
    func tokenID() throws -> Int {
        let id = try integer()
        guard (0..<Self.idLimit).contains(id) else {
            throw failure("token id \(id) is outside 0..<\(Self.idLimit)")
        }
        return id
    }

    /// Ids index tables, so a damaged file must not ask for gigabytes of them.
    static let idLimit = 1 << 22

    func elements() throws -> [JSONNode] {
        guard case .array(let elements) = value else { throw failure("expected a list") }
        return elements.enumerated().map { index, value in
            JSONNode(value, key: "\(key)[\(index)]", file: file)
        }
    }

    func members() throws -> [JSONTree.Member] {
        guard case .object(let members) = value else { throw failure("expected an object") }
        return members
    }

    func flag(_ name: String, default value: Bool) throws -> Bool {
        try optional(name)?.bool() ?? value
    }
}
