/// The questions that a picture could be asked, from which a conversation is drawn.
struct SynthesisDraft {
    /// A candidate. `asks` names the fact that is asked for and `reveals` those that the question
    /// gives away, so that no turn of a conversation answers a later one.
    struct Candidate {
        let kind: Synthesis.QuestionKind
        let form: String
        let wordings: [String]
        let answer: String
        let asks: String
        let reveals: [String]
    }

    private(set) var candidates: [Candidate] = []
    private var required: [Candidate] = []

    /// - Parameter isRequired: whether the question is to be asked before all others. Questions
    ///   whose answers would lean to one side if other questions crowded them out are asked this
    ///   way, after a draw that does not depend on the answer.
    mutating func ask(
        _ kind: Synthesis.QuestionKind, _ form: String, _ wordings: [String], _ answer: String,
        asks: String, reveals: [String] = [], isRequired: Bool = false
    ) {
        let candidate = Candidate(
            kind: kind, form: "\(kind.rawValue).\(form)", wordings: wordings, answer: answer,
            asks: asks, reveals: reveals)
        if isRequired { required.append(candidate) } else { candidates.append(candidate) }
    }

    /// Keeps the candidates of the wanted forms or kinds, or all where there would be none.
    mutating func keep(_ forms: [String]) {
        func isWanted(_ candidate: Candidate) -> Bool {
            forms.contains(candidate.form) || forms.contains(candidate.kind.rawValue)
        }
        guard required.contains(where: isWanted) || candidates.contains(where: isWanted) else {
            return
        }
        required.removeAll { !isWanted($0) }
        candidates.removeAll { !isWanted($0) }
    }

    /// At most `count` questions in random order, half of them fine where there are so many, none
    /// of them answered by the text of another. A question's form is drawn before the question, so
    /// that a picture with many things to ask for does not crowd out the other forms.
    func chosen(_ count: Int, _ random: inout SynthesisRandom) -> [Synthesis.Question] {
        var asked: Set<String> = []
        var revealed: Set<String> = []
        var taken: [Candidate] = []
        func take(_ candidate: Candidate) -> Bool {
            guard taken.count < count, !asked.contains(candidate.asks),
                !revealed.contains(candidate.asks), asked.isDisjoint(with: candidate.reveals)
            else { return false }
            taken.append(candidate)
            asked.insert(candidate.asks)
            revealed.formUnion(candidate.reveals)
            return true
        }
        for candidate in required { _ = take(candidate) }
        let shuffled = random.shuffled(candidates)
        let forms = random.shuffled(Set(candidates.map(\.form)).sorted())
        var queues = forms.map { form in shuffled.filter { $0.form == form } }
        for wantsFine in [true, false, true, false] {
            let limit = wantsFine ? (count + 1) / 2 : count
            for index in queues.indices where queues[index].first?.kind.isFine == wantsFine {
                guard taken.count(where: { $0.kind.isFine == wantsFine }) < limit else { break }
                while !queues[index].isEmpty {
                    if take(queues[index].removeFirst()) { break }
                }
            }
        }
        return random.shuffled(taken).map { candidate in
            .init(
                kind: candidate.kind, form: candidate.form,
                question: random.pick(candidate.wordings), answer: candidate.answer)
        }
    }
}
