import AnyRes
import Foundation
import Testing

@testable import Corpus

/// The truth, balance and separation of synthetic pictures, without rendering most of them.
struct SynthesisTests {
    private func pictures(
        _ split: Synthesis.Split, _ count: Int, seed: UInt64 = 7, binding: Bool = false
    ) throws -> [Synthesis.Picture] {
        var configuration = Synthesis.Configuration()
        configuration.seed = seed
        configuration.binding = binding
        configuration.codeLength = binding ? 4 : 2
        let synthesis = try Synthesis(configuration)
        return (0..<count).map { synthesis.picture(split, $0) }
    }

    @Test func aPictureDependsOnSeedSplitAndIndexAlone() throws {
        let first = try pictures(.train, 20)
        var other = Synthesis.Configuration()
        other.seed = 7
        other.trainCount = 3
        let again = try Synthesis(other)
        for index in [19, 0, 7] {
            #expect(again.picture(.train, index).svg == first[index].svg)
            #expect(again.picture(.train, index).questions == first[index].questions)
            #expect(again.picture(.train, index).regions == first[index].regions)
        }
        #expect(try pictures(.train, 20, seed: 8).map(\.svg) != first.map(\.svg))
        #expect(Set(first.map(\.svg)).count == 20)
    }

    @Test func subjectsHaveTheirShares() throws {
        let subjects = try pictures(.train, 400).map(\.subject)
        let configuration = Synthesis.Configuration()
        for subject in Synthesis.Subject.allCases {
            let count = Double(subjects.count { $0 == subject })
            #expect(abs(count - 400 * configuration.share(subject)) <= 4, "\(subject)")
        }
        var pages = Synthesis.Configuration()
        (pages.scenes, pages.signs, pages.charts) = (0, 0, 0)
        let synthesis = try Synthesis(pages)
        #expect((0..<50).allSatisfy { synthesis.picture(.train, $0).subject == .page })
    }

    @Test(arguments: [false, true])
    func splitsShareNoPictureAndNoString(binding: Bool) throws {
        let train = try pictures(.train, 1500, binding: binding)
        let heldOut = try pictures(.heldOut, 400, binding: binding)
        func codes(_ pictures: [Synthesis.Picture]) -> Set<String> {
            Set(pictures.flatMap { $0.regions.filter { $0.kind == .text }.map(\.caption) })
        }
        if binding {
            #expect(codes(train).count > 1000)
            #expect(codes(heldOut).count > 200)
            #expect(codes(train).isDisjoint(with: codes(heldOut)))
        } else {
            // All 45 ascending codes of two digits are shown in training: short codes are not parted.
            #expect(codes(train).count == 45)
            #expect(codes(train).allSatisfy { String($0.sorted()) == $0 })
            #expect(codes(heldOut).isSubset(of: codes(train)) && codes(heldOut).count > 30)
        }
        #expect(Set(train.map(\.svg)).isDisjoint(with: heldOut.map(\.svg)))
        func words(_ pictures: [Synthesis.Picture]) -> Set<String> {
            let drawn = pictures.flatMap { picture in
                picture.svg.components(separatedBy: "</text>").dropLast().flatMap { part in
                    part[(part.lastIndex(of: ">") ?? part.startIndex)...].lowercased()
                        .split { !$0.isLetter }.map(String.init)
                }
            }
            return Set(drawn).intersection(SynthesisStrings.words)
        }
        #expect(words(train).count > 150)
        #expect(words(heldOut).count > 15)
        #expect(words(train).isDisjoint(with: words(heldOut)))
    }

    @Test(arguments: [false, true])
    func answersAreBalancedWithinEachForm(binding: Bool) throws {
        var answers: [String: [String: Int]] = [:]
        for picture in try pictures(.train, 5000, binding: binding) {
            for question in picture.questions {
                answers[question.form, default: [:]][question.answer, default: 0] += 1
            }
        }
        let forms = binding ? Synthesis.boundForms : Synthesis.unboundForms
        #expect(answers.keys.sorted() == forms)
        for (form, counts) in answers {
            let total = counts.values.reduce(0, +)
            let most = Double(counts.values.max() ?? 0) / Double(total)
            guard counts.count <= 12 else {
                #expect(most < 0.05, "\(form): one answer has a share of \(most)")
                continue
            }
            let even = 1 / Double(counts.count)
            let noise = 3.5 * (even * (1 - even) / Double(total)).squareRoot()
            #expect(most < even * 1.12 + noise, "\(form): one of \(counts) has a share of \(most)")
        }
    }

    @Test(arguments: [false, true])
    func answersAgreeWithTheRegions(binding: Bool) throws {
        for picture in try pictures(.train, 600, binding: binding) {
            func count(_ kind: Synthesis.Region.Kind) -> String {
                "\(picture.regions.count { $0.kind == kind })"
            }
            func box(_ caption: String) -> Synthesis.Box? {
                picture.regions.first { $0.caption == caption }?.box
            }
            for question in picture.questions {
                let name = String(
                    question.question.dropFirst("Where is the ".count).dropLast(1))
                func only(_ kind: Synthesis.Region.Kind) throws -> Synthesis.Region {
                    let found = picture.regions.filter { $0.kind == kind }
                    return try #require(found.count == 1 ? found[0] : nil, "\(question)")
                }
                func place(_ box: Synthesis.Box) -> String {
                    let column = Int(box.midX / Double(picture.width) * 3)
                    let row = Int(box.midY / Double(picture.height) * 3)
                    return SynthesisPlace.names[row * 3 + column]
                }
                func extreme(_ sign: Double) -> Synthesis.Region? {
                    picture.regions.filter { $0.kind == .bar }
                        .max { sign * $0.box.height < sign * $1.box.height }
                }
                switch question.form {
                case "color.only":
                    #expect(try only(.shape).caption.hasPrefix(question.answer + " "))
                case "shape.only":
                    #expect(try only(.shape).caption.hasSuffix(" " + question.answer))
                case "position.only": #expect(try place(only(.shape).box) == question.answer)
                case "color.only-sign":
                    #expect(try only(.plate).caption == question.answer + " sign")
                case "position.only-sign": #expect(try place(only(.plate).box) == question.answer)
                case "color.header" where !binding:
                    #expect(try only(.header).caption == question.answer + " header")
                case "text.only": #expect(try only(.text).caption == question.answer)
                case "field.number" where !binding:
                    #expect(try only(.text).caption == question.answer)
                case "chart.highest":
                    #expect(extreme(1)?.caption == question.answer + " bar")
                case "chart.lowest":
                    #expect(extreme(-1)?.caption == question.answer + " bar")
                case "chart.peak":
                    let value = picture.regions.filter { $0.kind == .glyph }
                        .min { $0.box.y0 < $1.box.y0 }
                    #expect(value?.caption == question.answer)
                case "chart.last" where !binding:
                    #expect(try only(.glyph).caption == question.answer)
                case "chart.slope":
                    let points = picture.regions.filter { $0.kind == .point }.map(\.box.midY)
                    let isRising = points[0] > points[points.count - 1]
                    #expect(question.answer == (isRising ? "rising" : "falling"))
                    #expect(points == points.sorted { isRising ? $0 > $1 : $0 < $1 })
                case "color.line":
                    #expect(
                        picture.regions.filter { $0.kind == .point }
                            .allSatisfy { $0.caption == question.answer + " point" })
                case "color.dots":
                    #expect(
                        picture.regions.filter { $0.kind == .dot }
                            .allSatisfy { $0.caption == question.answer + " dot" })
                case "relation.shape", "relation.color":
                    let shapes = picture.regions.filter { $0.kind == .shape }
                    let (a, b) = (shapes[0].box, shapes[1].box)
                    let isLevel = abs(a.midX - b.midX) > 2 * abs(a.midY - b.midY)
                    #expect(isLevel || abs(a.midY - b.midY) > 2 * abs(a.midX - b.midX))
                    let ordered = shapes.sorted {
                        isLevel ? $0.box.midX < $1.box.midX : $0.box.midY < $1.box.midY
                    }
                    let side = isLevel ? ["left?", "right?"] : ["top?", "bottom?"]
                    let end = try #require(side.firstIndex(where: question.question.hasSuffix))
                    let words = ordered[end].caption.split(separator: " ").map(String.init)
                    #expect(question.answer == words[question.form == "relation.shape" ? 1 : 0])
                    #expect(shapes.count == 2)
                case "count.all": #expect(question.answer == count(.shape))
                case "count.signs": #expect(question.answer == count(.plate))
                case "count.bars": #expect(question.answer == count(.bar))
                case "small-count.dots": #expect(question.answer == count(.dot))
                case "page.rows": #expect(question.answer == count(.row))
                case "page.paragraphs": #expect(question.answer == count(.paragraph))
                case "position.shape", "position.sign":
                    let found = try #require(box(name), "\(name)")
                    #expect(place(found) == question.answer)
                case "relation.side":
                    let ends = name.components(separatedBy: " relative to the ")
                    let (a, b) = (try #require(box(ends[0])), try #require(box(ends[1])))
                    let (dx, dy) = (a.midX - b.midX, a.midY - b.midY)
                    let side =
                        abs(dx) > abs(dy) ? (dx < 0 ? "left" : "right") : dy < 0 ? "above" : "below"
                    #expect(question.answer == side)
                case "text.code", "text.place", "field.number", "field.value":
                    #expect(
                        picture.regions.contains {
                            $0.kind == .text && $0.caption == question.answer
                        })
                default: break
                }
            }
        }
    }

    @Test(arguments: [false, true])
    func fineTextNeedsTheTiles(binding: Bool) throws {
        for picture in try pictures(.train, 400, binding: binding) {
            let long = Double(max(picture.width, picture.height))
            for text in picture.regions where text.kind == .text {
                #expect((0.03...0.061).contains(text.box.height / long))
                let glyphs = picture.regions.filter {
                    $0.kind == .glyph && $0.parent.map { picture.regions[$0] } == text
                }
                #expect(glyphs.map(\.caption).joined() == text.caption)
                #expect(glyphs.allSatisfy { $0.box.share(in: text.box) > 0.99 })
            }
            for dot in picture.regions where dot.kind == .dot {
                #expect((0.02...0.03).contains(dot.box.width / long))
            }
        }
    }

    @Test(arguments: [false, true])
    func thingsLieApartAndWithin(binding: Bool) throws {
        for picture in try pictures(.train, 800, binding: binding) {
            let frame = Synthesis.Box(0, 0, Double(picture.width), Double(picture.height))
            #expect(picture.regions.allSatisfy { $0.box.share(in: frame) > 0.999 })
            #expect((700...2000).contains(picture.width) && (700...2000).contains(picture.height))
            let things = picture.regions.filter { [.shape, .plate, .dot, .bar].contains($0.kind) }
            for (index, thing) in things.enumerated() {
                #expect(!things[..<index].contains { $0.box.overlaps(thing.box) })
            }
        }
    }

    @Test(arguments: [false, true])
    func noQuestionIsAskedTwiceInAPicture(binding: Bool) throws {
        for picture in try pictures(.train, 400, binding: binding) {
            let range = binding ? 2...8 : 1...6
            #expect(range.contains(picture.questions.count), "\(picture.subject)")
            let asked = picture.questions.map(\.question)
            #expect(Set(asked).count == asked.count)
        }
    }

    @Test func scenesAreComposedForTheirQuestions() throws {
        let scenes = try pictures(.train, 2000).filter { $0.subject == .scene }
        var shares = [0.0, 0, 0]  // one shape, a pair, a crowd
        for scene in scenes {
            let shapes = scene.regions.filter { $0.kind == .shape }
            let forms = Set(scene.questions.map(\.form))
            let dots: Set = ["small-count.dots", "color.dots"]
            let hasDots = scene.regions.contains { $0.kind == .dot }
            if forms.contains("shape.only") {
                shares[0] += 1
                let diameter = shapes[0].box.width / Double(max(scene.width, scene.height))
                #expect((0.119...0.351).contains(diameter))
                #expect(forms.subtracting(dots) == ["shape.only", "color.only", "position.only"])
            } else if forms.contains("relation.shape") {
                shares[1] += 1
                #expect(forms == ["relation.shape", "relation.color"] && !hasDots)
                #expect(scene.questions.count == 4)
            } else {
                shares[2] += 1
                #expect(forms.subtracting(dots) == ["count.all"] && (2...7).contains(shapes.count))
            }
            #expect(forms.isSuperset(of: dots) == hasDots)
        }
        let total = shares.reduce(0, +)
        for (share, expected) in zip(shares, [0.45, 0.25, 0.3]) {
            #expect(abs(share / total - expected) < 0.06)
        }
        let signs = try pictures(.train, 2000).filter { $0.subject == .signs }
        let single = signs.count { picture in picture.regions.count { $0.kind == .plate } == 1 }
        #expect(abs(Double(single) / Double(signs.count) - 0.75) < 0.06)
    }

    @Test func drawnColorsAreTheNamedOnes() throws {
        var checked = 0
        for picture in try pictures(.heldOut, 24) {
            let pixels = try renderSVG(picture.svg)
            #expect(pixels.width == picture.width && pixels.height == picture.height)
            let marked = Set(picture.regions.compactMap(\.parent))
            for (index, region) in picture.regions.enumerated() where !marked.contains(index) {
                let hasPlainCentre =
                    [.dot, .marker].contains(region.kind)
                    || (region.kind == .shape && !region.caption.hasSuffix("ring"))
                guard hasPlainCentre else { continue }
                let seen = pixels[Int(region.box.midX), Int(region.box.midY)].map(Int.init)
                let nearest = SynthesisColor.named.min { a, b in
                    distance(a, seen) < distance(b, seen)
                }
                #expect(region.caption.contains(nearest?.name ?? "?"), "\(region) \(seen)")
                checked += 1
            }
        }
        #expect(checked > 20)
    }

    private func distance(_ color: SynthesisColor, _ seen: [Int]) -> Int {
        let (r, g, b) = (color.red - seen[0], color.green - seen[1], color.blue - seen[2])
        return r * r + g * g + b * b
    }

    @Test func glyphsAreInkOnTheirPlate() throws {
        let pictures = try pictures(.heldOut, 30, binding: true)
        let signs = try #require(pictures.first { $0.subject == .signs })
        let pixels = try renderSVG(signs.svg)
        for glyph in signs.regions where glyph.kind == .glyph {
            var (dark, light) = (0, 0)
            for y in Int(glyph.box.y0.rounded(.up))..<Int(glyph.box.y1) {
                for x in Int(glyph.box.x0.rounded(.up))..<Int(glyph.box.x1) {
                    let sum = pixels[x, y].reduce(0) { $0 + Int($1) }
                    if sum < 200 { dark += 1 }
                    if sum > 550 { light += 1 }
                }
            }
            let share = Double(dark) / Double(max(1, dark + light))
            #expect((0.15...0.6).contains(share), "digit \(glyph.caption): \(share) of ink")
        }
    }
}
