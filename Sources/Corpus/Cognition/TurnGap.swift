import Foundation
import Prompting

/// A place between the turns of a record where a question with its answer may stand.
struct TurnGap: Equatable {
    /// Index of the turn before which it lies; the number of turns for the end.
    let turn: Int
    /// Pictures shown before it.
    let shown: Int
    /// Pictures of the turn after it that can be moved before what is inserted here.
    let movable: Int

    /// Whether a question here can be about the picture at an index.
    func shows(_ picture: Int) -> Bool { picture < shown + movable }

    /// The gaps of a record: before a human turn that starts a round, and after the model's last answer.
    ///
    /// Where the next turn's pictures all stand at its start or all at its end, they may move to the first question
    /// inserted before it, so that a picture still comes before all that is asked of it.
    static func gaps(in record: Record) -> [TurnGap] {
        var gaps: [TurnGap] = []
        var shown = 0
        let turns = record.turns
        for index in 0...turns.count {
            let startsRound =
                index == turns.count
                ? turns.last?.from == .gpt
                : turns[index].from == .human && (index == 0 || turns[index - 1].from != .human)
            let images = index < turns.count ? Turn.imageCount(in: turns[index].value) : 0
            if startsRound {
                let movable = images > 0 && withoutImages(turns[index].value) != nil
                gaps.append(TurnGap(turn: index, shown: shown, movable: movable ? images : 0))
            }
            if index < turns.count, turns[index].from == .human { shown += images }
        }
        return gaps
    }

    /// `text` without its pictures, if they all stand at its start or all at its end and text is left.
    static func withoutImages(_ text: String) -> String? {
        let pieces = Turn.pieces(of: text).map {
            $0.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let words = pieces.filter { !$0.isEmpty }
        guard pieces.count > 1, words.count == 1,
            pieces.first?.isEmpty == false || pieces.last?.isEmpty == false
        else { return nil }
        return words[0]
    }
}

/// A question with its answer, and where it goes.
struct Insertion {
    let gap: TurnGap
    let mark: CognitionMark
    let question: String
    let answer: String
}

extension TurnGap {
    /// The record with the insertions in their gaps, those of one gap in the order given.
    static func inserting(_ insertions: [Insertion], into record: Record) -> Record {
        guard !insertions.isEmpty else { return record }
        var result = record
        result.turns = []
        for index in 0...record.turns.count {
            let here = insertions.filter { $0.gap.turn == index }
            var next = index < record.turns.count ? record.turns[index] : nil
            var lead = ""
            if let gap = here.first?.gap, here.contains(where: { $0.mark.picture >= gap.shown }),
                let rest = next.flatMap({ withoutImages($0.value) })
            {
                next?.value = rest
                lead = String(repeating: Turn.imagePlaceholder + "\n", count: gap.movable)
            }
            for insertion in here {
                result.turns.append(
                    RecordTurn(
                        from: .human, value: lead + insertion.question,
                        extra: insertion.mark.fields))
                result.turns.append(RecordTurn(from: .gpt, value: insertion.answer))
                lead = ""
            }
            if let next { result.turns.append(next) }
        }
        return result
    }
}
