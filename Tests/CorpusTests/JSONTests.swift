import Testing

@testable import Corpus

struct JSONTests {
    private func parse(_ text: String, depth: Int = 8) throws -> JSONValue {
        try Array(text.utf8).withUnsafeBytes { try JSONParser.parse($0, depthLimit: depth) }
    }

    private func problem(_ bytes: [UInt8], depth: Int = 8) -> String? {
        do {
            _ = try bytes.withUnsafeBytes { (raw) throws(JSONProblem) in
                try JSONParser.parse(raw, depthLimit: depth)
            }
            return nil
        } catch let error as JSONProblem {
            return error.text
        } catch {
            return "another error"
        }
    }

    @Test func valuesKeepTheirOrderAndDigits() throws {
        let text = #"{"z": 1.50, "a": [true, null, -0, 1e-3, "x\ny\u00e9\ud83d\ude00\/"], "": {}}"#
        let value = try parse(text)
        #expect(
            value
                == .object(
                    JSONObject([
                        .init("z", .number("1.50")),
                        .init(
                            "a",
                            .array([
                                .bool(true), .null, .number("-0"), .number("1e-3"),
                                .string("x\nyé😀/"),
                            ])),
                        .init("", .object(JSONObject())),
                    ])))
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"z": 1.50, "a": [true, null, -0, 1e-3, "x\nyé😀/"], "": {}}"#)
    }

    @Test func everyControlCharacterSurvives() throws {
        let text = String(String.UnicodeScalarView((0..<0x80).compactMap(Unicode.Scalar.init)))
        var bytes: [UInt8] = []
        JSONValue.string(text).write(to: &bytes)
        #expect(bytes.allSatisfy { $0 >= 0x20 })
        #expect(try parse(String(decoding: bytes, as: UTF8.self)) == .string(text))
    }

    @Test(arguments: [
        "", " ", "{", "[1,", "[1 2]", "{\"a\" 1}", "{\"a\":1,}", "[1,]", "{a:1}", "'a'", "01", "1.",
        ".5", "1e", "+1",
        "-", "NaN", "Infinity", "nul", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00 \"",
        "\"\\ud800\\u0041\"", "\"a\nb\"", "1 2", "{\"a\":1,\"a\":2}", "{}{}",
    ])
    func brokenTextsAreRefused(text: String) {
        #expect(problem(Array(text.utf8)) != nil)
    }

    @Test func brokenUTF8IsRefused() {
        for bytes: [UInt8] in [
            [0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0xAF], [0xF5, 0x80, 0x80, 0x80],
        ] {
            #expect(problem([0x22] + bytes + [0x22])?.contains("UTF-8") == true)
            #expect(problem([0x22, 0x5C, 0x6E] + bytes + [0x22])?.contains("UTF-8") == true)
        }
    }

    @Test func depthIsBounded() {
        func nested(_ depth: Int) -> [UInt8] {
            [UInt8](repeating: UInt8(ascii: "["), count: depth)
                + [UInt8](repeating: UInt8(ascii: "]"), count: depth)
        }
        #expect(problem(nested(8)) == nil)
        #expect(problem(nested(9))?.contains("deeper") == true)
        #expect(
            problem([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000))?.contains("deeper")
                == true)
    }
}
