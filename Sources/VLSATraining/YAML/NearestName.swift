/// The member of `names` that `name` was probably meant to be, or nil when none is close.
///
/// Close means an edit distance (insert, delete, replace, swap of neighbours) of at most a third of the
/// longer name, case ignored; ties go to the first in alphabetical order.
public func nearestName(to name: String, among names: some Sequence<String>) -> String? {
    let wanted = Array(name.lowercased())
    var best: (name: String, distance: Int)?
    for candidate in Set(names).sorted() where candidate != name {
        let other = Array(candidate.lowercased())
        let distance = editDistance(wanted, other)
        guard distance <= max(1, max(wanted.count, other.count) / 3) else { continue }
        if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
    }
    return best?.name
}

/// Optimal string alignment distance between two short words.
func editDistance(_ a: [Character], _ b: [Character]) -> Int {
    var rows = [Array(0...b.count)]
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var cost = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                cost = min(cost, rows[i - 1][j - 1] + 1)
            }
            row.append(cost)
        }
        rows.append(row)
    }
    return rows[a.count][b.count]
}
