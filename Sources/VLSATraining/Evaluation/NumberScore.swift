import Foundation

/// How near the numbers of some answers are to those expected: the score of the questions for codes and colours, of
/// which a long answer is hardly ever right as a whole.
public struct NumberScore: Codable, Equatable, Sendable {
    /// Numbers expected.
    public let expected: Int
    /// Share of them that the answer has at the same place, 0...1; what an answer leaves out counts as wrong.
    public let equal: Double
    /// Mean distance of the numbers that were given, one above all expected ones counting as the greatest of those;
    /// nil when none was.
    public let error: Double?
    /// What `equal` would be for the best answer that is the same to every question: chance.
    public let constantEqual: Double
    /// What `error` would be for the best such answer.
    public let constantError: Double

    /// - Parameter period: how many different numbers follow each other before the first comes again, such as 3 for red,
    ///   green and blue: the constant answer has one number for each.
    /// - Returns: nil where the expected answers hold no number.
    init?(_ pairs: [(expected: String, answer: String)], period: Int) {
        var columns = [[Int]](repeating: [], count: period)
        var (total, equalCount, given, distance) = (0, 0, 0, 0)
        let truths = pairs.map { NumberScore.numbers(in: $0.expected) }
        let greatest = truths.joined().max() ?? 0
        for (truth, pair) in zip(truths, pairs) {
            let said = NumberScore.numbers(in: pair.answer)
            for (place, number) in truth.enumerated() {
                columns[place % period].append(number)
                total += 1
                guard place < said.count else { continue }
                given += 1
                distance += abs(min(said[place], greatest) - number)
                if said[place] == number { equalCount += 1 }
            }
        }
        guard total > 0 else { return nil }
        self.expected = total
        equal = Double(equalCount) / Double(total)
        error = given == 0 ? nil : Double(distance) / Double(given)
        var (mostFrequent, leastDistance) = (0, 0)
        for column in columns where !column.isEmpty {
            mostFrequent +=
                Dictionary(column.map { ($0, 1) }, uniquingKeysWith: +).values.max() ?? 0
            let median = column.sorted()[column.count / 2]
            leastDistance += column.reduce(0) { $0 + abs($1 - median) }
        }
        constantEqual = Double(mostFrequent) / Double(total)
        constantError = Double(leastDistance) / Double(total)
    }

    /// The whole numbers of at most nine digits in a text, in their order.
    static func numbers(in text: String) -> [Int] {
        text.split { !("0"..."9").contains($0) }.compactMap { $0.count < 10 ? Int($0) : nil }
    }
}
