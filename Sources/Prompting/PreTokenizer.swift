/// How text is cut into pieces: the `pre_tokenizer` part of a tokenizer file.
struct PreTokenizer: Sendable {
    /// When a Metaspace pre-tokenizer writes its marker before a piece.
    enum PrefixScheme: String, Sendable { case always, first, never }

    /// Blanks become `replacement`, which is also put before a piece as `scheme` says.
    struct Metaspace: Sendable {
        let replacement: [UInt8]
        let scheme: PrefixScheme
    }

    private(set) var metaspace: Metaspace?
    /// A blank is put before each piece that has none (ByteLevel with `add_prefix_space`).
    private(set) var prefixesBlank = false
    /// Each cuts the pieces of the one before.
    private(set) var patterns: [SplitPattern] = []
    private(set) var isByteLevel = false

    init(_ node: JSONNode?) throws {
        if let node { try add(node) }
    }

    /// Cuts at blanks where no merge can reach across, which changes no id and lets words be cached.
    ///
    /// SentencePiece tokenizers have no pre-tokenizer that cuts: the whole text is one piece.
    mutating func cutAtBlanks(for model: BytePairModel) {
        guard !isByteLevel, patterns.isEmpty, !model.ignoresMerges,
            model.vocabulary[Array("▁".utf8)]
                != nil
        else { return }
        patterns = [.beforeMarkerRun(BytePairModel.marker, except: model.joinedBeforeMarker)]
    }

    private mutating func add(_ node: JSONNode) throws {
        let type = try node.member("type").text()
        guard !isByteLevel, metaspace == nil else {
            throw node.unsupported("\(type) after ByteLevel or Metaspace", supported: "none there")
        }
        switch type {
        case "Sequence":
            for part in try node.member("pretokenizers").elements() { try add(part) }
        case "Split": patterns.append(try Self.split(node))
        case "Digits":
            patterns.append(.digits(single: try node.flag("individual_digits", default: false)))
        case "ByteLevel":
            prefixesBlank = try node.flag("add_prefix_space", default: true)
            if prefixesBlank, !patterns.isEmpty {
                throw node.unsupported(
                    "add_prefix_space after a Split", supported: "add_prefix_space: false")
            }
            if try node.flag("use_regex", default: true) { patterns.append(.gpt2) }
            isByteLevel = true
        case "Metaspace":
            guard patterns.isEmpty else {
                throw node.unsupported("Metaspace after a Split", supported: "Metaspace alone")
            }
            try addMetaspace(node)
        default:
            throw node.unsupported(
                "the pre-tokenizer \(type)",
                supported: "Split, Digits, ByteLevel, Metaspace, Sequence")
        }
    }

    private mutating func addMetaspace(_ node: JSONNode) throws {
        let replacement = try node.member("replacement")
        let scalars = Array(try replacement.text().unicodeScalars)
        guard scalars.count == 1 else { throw replacement.failure("expected one character") }
        let scheme: PrefixScheme
        if let named = node.optional("prepend_scheme") {
            guard let known = PrefixScheme(rawValue: try named.text()) else {
                throw named.unsupported(
                    "the scheme \"\(try named.text())\"", supported: "always, first, never")
            }
            scheme = known
        } else {
            scheme = try node.flag("add_prefix_space", default: true) ? .always : .never
        }
        metaspace = Metaspace(replacement: try replacement.bytes(), scheme: scheme)
        if try node.flag("split", default: true) { patterns = [.beforeMarker(scalars[0].value)] }
    }

    private static func split(_ node: JSONNode) throws -> SplitPattern {
        let behavior = try node.member("behavior")
        guard try behavior.text() == "Isolated" else {
            throw behavior.unsupported(
                "the behaviour \(try behavior.text())", supported: "Isolated")
        }
        if try node.flag("invert", default: false) {
            throw node.unsupported("an inverted Split", supported: "invert: false")
        }
        let pattern = try node.member("pattern")
        guard let regex = try pattern.optional("Regex")?.text() else {
            throw pattern.unsupported("a Split by plain text", supported: "Regex")
        }
        guard let known = SplitPattern.known.first(where: { $0.text == regex }) else {
            let names = SplitPattern.known.map(\.name).joined(separator: ", ")
            throw pattern.unsupported(
                "the pattern \(regex)", supported: "the patterns of \(names)")
        }
        return known.pattern
    }

    /// The text as the patterns see it.
    ///
    /// - Parameters:
    ///   - isStart: the text begins the whole input, as scheme `first` asks.
    ///   - continuing: the text goes on where other text ended, so nothing is put before it.
    func prepared(_ text: [UInt8], isStart: Bool, continuing: Bool) -> [UInt8] {
        if let metaspace {
            var text = Normalizer.replacing([0x20], with: metaspace.replacement, in: text)
            let isWanted =
                switch metaspace.scheme {
                case .always: true
                case .first: isStart
                case .never: false
                }
            if isWanted, !continuing, !text.isEmpty, !text.starts(with: metaspace.replacement) {
                text.insert(contentsOf: metaspace.replacement, at: 0)
            }
            return text
        }
        if prefixesBlank, !continuing, !text.isEmpty, text[0] != 0x20 { return [0x20] + text }
        return text
    }

    var changesText: Bool { metaspace != nil || prefixesBlank }
}
