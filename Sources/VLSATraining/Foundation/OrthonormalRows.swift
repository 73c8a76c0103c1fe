import Torch

/// Random rows that are orthogonal to each other and of length one, in blocks of `columns` where there are more.
func orthonormalRows(_ rows: Int, _ columns: Int, generator: Generator) -> Tensor {
    let draws = Tensor.normal([rows, columns], generator: generator).floats()
    var basis: [[Float]] = []
    for row in 0..<rows {
        var vector = Array(draws[row * columns..<(row + 1) * columns])
        // Gram-Schmidt within the block, twice for rounding.
        for other in Array(basis[(row - row % columns)...]) + Array(basis[(row - row % columns)...])
        {
            let overlap = zip(vector, other).reduce(0) { $0 + $1.0 * $1.1 }
            for column in 0..<columns { vector[column] -= overlap * other[column] }
        }
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        basis.append(vector.map { $0 / length })
    }
    return Tensor(basis.flatMap { $0 }, shape: [rows, columns])
}
