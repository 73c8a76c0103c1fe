import COpenBLAS
import Dispatch
import Foundation

/// The products and the eigendecomposition that the closed-form fits stand on, over OpenBLAS.
///
/// Matrices are row-major. One product runs on one thread, so that a result never depends on how many there
/// are; ``inBlocks(of:count:_:)`` spreads independent blocks over the cores.
public enum LinearAlgebra {
    /// Opens OpenBLAS, or says what to install. The other functions need it to have succeeded.
    public static func open() throws {
        if let problem = cob_open() { throw CodecError.library(String(cString: problem)) }
    }

    /// `C = A Bᵀ`, A `[m, k]`, B `[n, k]`, C `[m, n]`.
    static func product(
        _ a: UnsafePointer<Float>, transposed b: UnsafePointer<Float>, m: Int, n: Int, k: Int,
        into c: UnsafeMutablePointer<Float>
    ) {
        cob_sgemm(
            false, true, Int32(m), Int32(n), Int32(k), 1, a, Int32(k), b, Int32(k), 0, c, Int32(n))
    }

    /// `C = A B`, A `[m, k]`, B `[k, n]`, C `[m, n]`.
    static func product(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, m: Int, n: Int, k: Int,
        into c: UnsafeMutablePointer<Float>
    ) {
        cob_sgemm(
            false, false, Int32(m), Int32(n), Int32(k), 1, a, Int32(k), b, Int32(n), 0, c, Int32(n))
    }

    /// Adds the upper triangle of `AᵀA` to `gram`, A `[rows, columns]`.
    static func addGram(_ a: [Float], rows: Int, columns: Int, to gram: inout [Float]) {
        cob_ssyrk_transposed(
            Int32(columns), Int32(rows), 1, a, Int32(columns), &gram, Int32(columns))
    }

    /// Eigenvalues, largest first, and unit eigenvectors as rows, of a symmetric `[n, n]` matrix. Each
    /// vector's largest entry by magnitude is positive, which fixes its sign.
    public static func eigen(symmetric matrix: [Double], n: Int) throws -> (
        values: [Double], vectors: [Double]
    ) {
        var rows = matrix
        var ascending = [Double](repeating: 0, count: n)
        let status = cob_dsyevd(Int32(n), &rows, &ascending)
        guard status == 0 else {
            throw CodecError.fit(
                "the eigendecomposition of a \(n) x \(n) matrix failed (\(status))")
        }
        var vectors = [Double](repeating: 0, count: n * n)
        for row in 0..<n {
            let source = rows[(n - 1 - row) * n..<(n - row) * n]
            let largest = source.max { abs($0) < abs($1) } ?? 1
            let sign: Double = largest < 0 ? -1 : 1
            for (column, value) in source.enumerated() { vectors[row * n + column] = sign * value }
        }
        return (ascending.reversed(), vectors)
    }

    /// Calls `body` for consecutive ranges of at most `size` of `0..<count`, on all cores, in no order.
    static func inBlocks(
        of size: Int, count: Int, _ body: @Sendable (_ block: Int, Range<Int>) -> Void
    ) {
        let blocks = (count + size - 1) / size
        DispatchQueue.concurrentPerform(iterations: blocks) { block in
            body(block, block * size..<min(count, (block + 1) * size))
        }
    }
}
