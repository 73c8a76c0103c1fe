import Foundation

// Hub configurations leave out keys that equal the family's default, write null for "none", and
// write numbers as they like. These readers take all of that and reject what no model can have.

extension KeyedDecodingContainer {
    /// A whole number of at least one; `standard` where the key is missing or null.
    func size(_ key: Key, standard: Int? = nil, limit: Int = 1 << 31) throws -> Int {
        guard let value = try decodeIfPresent(Int.self, forKey: key) ?? standard else {
            throw DecodingError.keyNotFound(
                key, .init(codingPath: codingPath, debugDescription: "missing"))
        }
        guard value >= 1, value < limit else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self,
                debugDescription: "must be a whole number of 1 or more, not \(value)")
        }
        return value
    }

    /// A finite number; `standard` where the key is missing or null.
    func number(_ key: Key, standard: Double) throws -> Double {
        let value = try decodeIfPresent(Double.self, forKey: key) ?? standard
        guard value.isFinite else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "must be finite, not \(value)")
        }
        return value
    }

    /// A number above zero; `standard` where the key is missing or null.
    func positive(_ key: Key, standard: Double) throws -> Double {
        let value = try number(key, standard: standard)
        guard value > 0 else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "must be above 0, not \(value)")
        }
        return value
    }

    /// true or false; `standard` where the key is missing or null.
    func flag(_ key: Key, standard: Bool) throws -> Bool {
        try decodeIfPresent(Bool.self, forKey: key) ?? standard
    }

    /// Throws unless `condition` holds; `problem` says what is wrong with `key`.
    func require(_ condition: Bool, _ key: Key, _ problem: String) throws {
        guard condition else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: problem)
        }
    }
}

extension CheckpointError {
    /// The named error of a failed decoding of `file`.
    init(_ error: DecodingError, file: String) {
        func name(_ context: DecodingError.Context, _ key: (any CodingKey)? = nil) -> String {
            (context.codingPath + (key.map { [$0] } ?? []))
                .map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
                .joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            self = .configuration(file: file, key: name(context, key), problem: "missing")
        case .typeMismatch(let type, let context):
            self = .configuration(
                file: file, key: name(context), problem: "expected a value of type \(type)")
        case .valueNotFound(let type, let context):
            self = .configuration(
                file: file, key: name(context), problem: "null where a \(type) is needed")
        case .dataCorrupted(let context):
            self = .configuration(
                file: file, key: name(context), problem: context.debugDescription)
        @unknown default:
            self = .configuration(file: file, key: "", problem: "\(error)")
        }
    }
}
