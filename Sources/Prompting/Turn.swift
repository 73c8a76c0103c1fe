import Foundation

/// One turn of a conversation.
public struct Turn: Sendable, Equatable, Codable {
    /// Who speaks.
    public enum Role: String, Sendable, Equatable, Codable {
        case system, user, assistant
    }

    public var role: Role
    /// What is said; `<image>` stands for a picture.
    public var text: String

    public init(_ role: Role, _ text: String) {
        self.role = role
        self.text = text
    }

    /// What stands for a picture in a turn's text.
    public static let imagePlaceholder = "<image>"

    /// How many pictures stand in a text.
    public static func imageCount(in text: String) -> Int { pieces(of: text).count - 1 }

    /// The text between placeholders, found by bytes: fast, and a combining mark may follow one directly.
    public static func pieces(of text: String) -> [Substring] {
        var text = text
        let length = imagePlaceholder.utf8.count
        let starts = text.withUTF8 { bytes in
            var starts: [Int] = []
            guard let base = UnsafeRawPointer(bytes.baseAddress) else { return starts }
            var rest = base
            let end = base + bytes.count
            while let found = memchr(rest, Int32(UInt8(ascii: "<")), end - rest) {
                let place = UnsafeRawPointer(found)
                if end - place >= length, memcmp(place, imagePlaceholder, length) == 0 {
                    starts.append(place - base)
                    rest = place + length
                } else {
                    rest = place + 1
                }
            }
            return starts
        }
        var pieces: [Substring] = []
        var rest = text.startIndex
        for start in starts {
            let place = text.utf8.index(text.startIndex, offsetBy: start)
            pieces.append(text[rest..<place])
            rest = text.utf8.index(place, offsetBy: length)
        }
        return pieces + [text[rest...]]
    }
}
