import Foundation

/// A number that a configuration's Python reader wants as a float.
///
/// JSONEncoder writes 1.0 as `1`, which transformers 5 refuses for such a key. In files that
/// ``saveFolder(_:part:of:to:)`` writes, whole numbers keep their decimal point.
struct DecimalNumber: Encodable {
    let value: Double

    init(_ value: Double) { self.value = value }

    private static let isWanted = CodingUserInfoKey(rawValue: "decimalPoints")
    private static let mark = "decimal:"

    func encode(to encoder: any Encoder) throws {
        var place = encoder.singleValueContainer()
        let isMarked = Self.isWanted.flatMap { encoder.userInfo[$0] } != nil
        if isMarked, value == value.rounded(), abs(value) < 1e15 {
            try place.encode("\(Self.mark)\(value)")
        } else {
            try place.encode(value)
        }
    }

    /// JSON with sorted keys and decimal points where they are wanted.
    static func json(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        if let isWanted { encoder.userInfo[isWanted] = true }
        let text = String(decoding: try encoder.encode(value), as: UTF8.self)
        let plain = text.replacing(/"decimal:(-?[0-9]+\.0)"/) { $0.output.1 }
        return Data((plain + "\n").utf8)
    }
}
