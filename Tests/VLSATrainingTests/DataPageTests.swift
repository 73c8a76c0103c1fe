import Corpus
import Foundation
import Prompting
import Testing

@testable import AnyRes
@testable import VLSATraining

@Suite struct DataPageTests {
    private func record(_ folder: String) throws -> Record {
        let path = folder + "/r.jsonl"
        let text = #"""
            {"id":"<b>7","image":"a & b.png","conversations":[
            {"from":"human","value":"<image>\nWhich code?","cognition":"vq_cell",
            "asked":{"picture":0,"regions":[[10,20,40,30]]}},
            {"from":"gpt","value":"17"},
            {"from":"human","value":"And here?","cognition":"px_point",
            "asked":{"picture":0,"regions":[[90,5,91,6]]}},
            {"from":"gpt","value":"(1,2,3)"},
            {"from":"human","value":"Which colours?","cognition":"px_window",
            "asked":{"picture":0,"regions":[[10,10,50,40]],"cells":[3,2]}},
            {"from":"gpt","value":"4,5,6 7,8,9\n<px_r_200><px_g_31><px_b_40>"},
            {"from":"human","value":"Where is 5 猫 of (9,8,7)?","cognition":"px_find",
            "asked":{"picture":0,"regions":[[50,10,99,40]]}},
            {"from":"gpt","value":"(1, 2)"},
            {"from":"human","value":"What is <i>this</i>?"},{"from":"gpt","value":"Noise & more."}]}
            """#.replacing("\n", with: "")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return try RecordCollection(path: path).record(at: 0)
    }

    /// The page holds the picture with the regions in its own pixels, the turns, and every token in its colour.
    @Test func recordsAreShownWhole() throws {
        let folder = try TemporaryFolder()
        let record = try record(folder.path)
        let tokenizer = try BPETrainer(vocabularySize: 300).train(["Which code? Noise"]).tokenizer()
        let builder = SampleBuilder(
            tokenizer: tokenizer, tiler: try Tiler(TilingConfiguration(tiling: .square)),
            folder: nil,
            settings: .init(format: .llama3), visualTokenCount: { _ in 4 })
        let prompt = try builder.prompt(of: record)
        let pixels = Pixels(width: 100, height: 50, colour: [9, 99, 199])
        var page = DataPage(title: "t", note: "n")
        try page.add(
            record, place: "here",
            pictures: [.success(Picture(pixels: pixels, original: pixels.size, shrink: 1))],
            tokens: (prompt, tokenizer))
        page.add(problem: "bad <thing>", place: "there")
        let html = page.html
        #expect(
            html.contains("<rect class=\"codes\" x=\"10\" y=\"20\" width=\"30\" height=\"10\"/>"))
        #expect(
            html.contains("<rect class=\"colours\" x=\"90\" y=\"5\" width=\"1\" height=\"1\"/>"))
        #expect(html.contains("<circle class=\"colours\" cx=\"90\" cy=\"5\""))
        #expect(
            html.contains(
                "<text class=\"colours\" x=\"85\" y=\"8\" font-size=\"8\" text-anchor=\"end\">3<"))
        #expect(html.contains("d=\"M30 10v30M10 20h40M10 30h40\""))
        #expect(html.matches(of: #/<path /#).count == 1)
        let patches = html.matches(of: /class="swatch" style="background:rgb\(([\d,]+)\)/)
            .map { String($0.output.1) }
        #expect(patches == ["1,2,3", "4,5,6", "7,8,9", "200,31,40", "9,8,7"])
        #expect(html.contains("猫") && !html.contains(/<span[^>]*><\/span>/))
        #expect(html.contains("viewBox=\"0 0 100 50\"") && html.contains("data:image/jpeg;base64,"))
        #expect(html.contains("&lt;b&gt;7") && html.contains("a &amp; b.png, 100 x 50"))
        #expect(html.contains("What is &lt;i&gt;this&lt;/i&gt;?") && !html.contains("<i>this"))
        #expect(html.contains("bad &lt;thing&gt;"))
        #expect(html.contains("\(prompt.ids.count) tokens, \(prompt.supervisedCount) trained on"))
        #expect(html.matches(of: /<span class="on"/).count == prompt.supervisedCount)
        #expect(html.matches(of: /\[picture\]/).count == 1)
        #expect(!html.contains("http"))
    }

    /// Regions that no picture can have are not drawn, and the page is made all the same.
    @Test(arguments: [
        "[0,0,9000000000000000000,10]", "[-9000000000000000000,0,9000000000000000000,10]",
        "[5,5,5,9]",
        "[0,9,5,3]", "[0,0,1e3,5]",
    ])
    func hostileRegionsAreNotDrawn(region: String) throws {
        let folder = try TemporaryFolder()
        let text =
            #"{"id":"x","image":"a.png","conversations":[{"from":"human","value":"<image>q","cognition":"#
            + #""px_window","asked":{"picture":0,"regions":[\#(region)]}},{"from":"gpt","value":"r"}]}"#
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path + "/r.jsonl"))
        let record = try RecordCollection(path: folder.path + "/r.jsonl").record(at: 0)
        let pixels = Pixels(width: 100, height: 50, colour: [9, 99, 199])
        var page = DataPage(title: "t", note: "n")
        try page.add(
            record, place: "here",
            pictures: [.success(Picture(pixels: pixels, original: pixels.size, shrink: 1))])
        #expect(!page.html.contains("<rect") && page.html.contains("<pre>r</pre>"))
    }

    @Test func aPictureThatCannotBeReadIsSaid() throws {
        struct Gone: Error, CustomStringConvertible { let description = "it is gone" }
        let folder = try TemporaryFolder()
        var page = DataPage(title: "t", note: "n")
        try page.add(try record(folder.path), place: "here", pictures: [.failure(Gone())])
        #expect(page.html.contains("it is gone") && !page.html.contains("class=\"tokens\""))
    }
}
