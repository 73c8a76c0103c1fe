import Foundation
import Testing

@testable import Corpus

struct PictureFolderTests {
    @Test func onlyPicturesBeneathTheRootAreFound() throws {
        try withTemporaryFolder { outer in
            let manager = FileManager.default
            for folder in ["images/sub", "images_evil"] {
                try manager.createDirectory(
                    atPath: "\(outer)/\(folder)", withIntermediateDirectories: true)
            }
            for file in [
                "images/a.png", "images/sub/b.png", "images_evil/c.png", "secret.png",
                "images/..x.png",
            ] {
                try write("x", to: "\(outer)/\(file)")
            }
            for (link, target) in [
                ("images/out", ".."), ("images/evil", "../images_evil"),
                ("images/secret.png", "../secret.png"),
                ("images/in.png", "sub/b.png"), ("linked", "images"), ("images/loop", "loop"),
            ] {
                try manager.createSymbolicLink(
                    atPath: "\(outer)/\(link)", withDestinationPath: target)
            }

            for root in ["images", "linked", "images/", "images/sub/../../images"] {
                let folder = try PictureFolder("\(outer)/\(root)")
                for name in ["a.png", "sub/b.png", "./a.png", "in.png", "sub//b.png", "..x.png"] {
                    #expect(try folder.resolve(name).hasSuffix("png"))
                }
                for name in [
                    "", "/etc/passwd", "\(outer)/images/a.png", "../secret.png", "sub/../a.png",
                    "..", "a.png\0.jpg",
                    "out/secret.png", "evil/c.png", "secret.png", "../images_evil/c.png",
                    "out/images/../secret.png",
                    String(repeating: "a", count: 5000),
                ] {
                    #expect {
                        try folder.resolve(name)
                    } throws: {
                        ($0 as? RecordProblem)?.kind == .unsafePath
                    }
                }
                for name in ["none.png", "a.png/b.png", "loop", "sub/none/x.png"] {
                    #expect {
                        try folder.resolve(name)
                    } throws: {
                        ($0 as? RecordProblem)?.kind == .missingPicture
                    }
                }
            }
            #expect(throws: CorpusError.self) { try PictureFolder("\(outer)/none") }
            #expect(throws: CorpusError.self) { try PictureFolder("\(outer)/secret.png") }
        }
    }
}
