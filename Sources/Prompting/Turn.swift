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
}
