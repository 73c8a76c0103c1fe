import Testing

@testable import Prompting

struct TurnTests {
    /// Placeholders are found by bytes, whatever stands beside them.
    @Test(arguments: [
        ("", [""]), ("no picture", ["no picture"]), ("<image>", ["", ""]),
        ("a<image>b\n<image>", ["a", "b\n", ""]), ("<image><image>猫", ["", "", "猫"]),
        ("<image>\u{301}é", ["", "\u{301}é"]), ("👩<image>\u{200D}👧", ["👩", "\u{200D}👧"]),
        ("<<image>< image><image<image", ["<", "< image><image<image"]), ("<imag", ["<imag"]),
    ])
    func picturesAreFoundByBytes(text: String, pieces: [String]) {
        let found = Turn.pieces(of: text)
        #expect(found.map { Array($0.utf8) } == pieces.map { Array($0.utf8) })
        #expect(Turn.imageCount(in: text) == pieces.count - 1)
    }
}
