import Foundation

// Shapes: N points, D dimensions, K centres.

/// Lloyd's algorithm from a k-means++ start; deterministic in its seed on any number of cores.
struct KMeans {
    let dimensions: Int
    /// `[K, D]`.
    private(set) var centres: [Float]
    /// Nearest centre of every point after the last step, `[N]`.
    private(set) var labels: [Int] = []
    /// Lloyd steps taken.
    private(set) var steps = 0

    var count: Int { centres.count / dimensions }

    /// Centres known already, `[K, D]`.
    init(centres: [Float], dimensions: Int) {
        (self.centres, self.dimensions) = (centres, dimensions)
    }

    /// Fits `count` centres to `points`, `[N, D]`.
    ///
    /// Stops after `steps` or when a step lowers the mean squared distance by less than 0.01%. A centre that
    /// loses its points moves to the point farthest from its own centre.
    init(
        _ points: [Float], dimensions: Int, count: Int, steps: Int, seed: UInt64,
        progress: ((_ step: Int, _ of: Int) -> Void)? = nil
    ) throws {
        self.dimensions = dimensions
        centres = try Self.spread(points, dimensions: dimensions, count: count, seed: seed)
        var previous = Double.infinity
        for step in 1...max(1, steps) {
            let (nearest, distances) = assign(points)
            labels = nearest
            self.steps = step
            let error = distances.reduce(0) { $0 + Double($1) } / Double(max(1, distances.count))
            progress?(step, steps)
            let dead = move(points, distances: distances)
            if dead == 0 && previous - error <= 1e-4 * error { break }
            previous = error
        }
        labels = assign(points).labels
    }

    /// Nearest centre of every row of `points`, `[N, D]`, ties to the lowest; and the squared distances.
    func assign(_ points: [Float]) -> (labels: [Int], distances: [Float]) {
        let (d, k) = (dimensions, count)
        let n = points.count / d
        let norms = Self.squaredNorms(centres, dimensions: d)
        let pointNorms = Self.squaredNorms(points, dimensions: d)
        var labels = [Int](repeating: 0, count: n)
        var distances = [Float](repeating: 0, count: n)
        let rows = max(16, min(2048, (1 << 21) / k))
        points.withUnsafeBufferPointer { points in
            centres.withUnsafeBufferPointer { centres in
                labels.withUnsafeMutableBufferPointer { labels in
                    distances.withUnsafeMutableBufferPointer { distances in
                        // Blocks read what does not change and write to ranges of their own.
                        nonisolated(unsafe) let (labels, distances) = (labels, distances)
                        nonisolated(unsafe) let (points, centres) = (points, centres)
                        LinearAlgebra.inBlocks(of: rows, count: n) { _, range in
                            let products = UnsafeMutablePointer<Float>.allocate(
                                capacity: range.count * k)
                            defer { products.deallocate() }
                            LinearAlgebra.product(
                                points.baseAddress! + range.lowerBound * d,
                                transposed: centres.baseAddress!,
                                m: range.count, n: k, k: d, into: products)
                            for (row, point) in range.enumerated() {
                                let (label, score) = Self.nearest(products + row * k, norms)
                                labels[point] = label
                                distances[point] = max(0, score + pointNorms[point])
                            }
                        }
                    }
                }
            }
        }
        return (labels, distances)
    }

    /// The first index of the smallest `norms[i] - 2 products[i]`, and that value.
    private static func nearest(
        _ products: UnsafePointer<Float>, _ norms: [Float]
    ) -> (index: Int, value: Float) {
        norms.withUnsafeBufferPointer { norms in
            let count = norms.count
            var least = Float.infinity
            let whole = count / 16 * 16
            if whole > 0 {
                let a = UnsafeRawPointer(norms.baseAddress!)
                let b = UnsafeRawPointer(products)
                var lanes = SIMD16<Float>(repeating: .infinity)
                for start in stride(from: 0, to: whole * 4, by: 64) {
                    let value =
                        a.loadUnaligned(fromByteOffset: start, as: SIMD16<Float>.self)
                        - 2 * b.loadUnaligned(fromByteOffset: start, as: SIMD16<Float>.self)
                    lanes = pointwiseMin(lanes, value)
                }
                least = lanes.min()
            }
            for index in whole..<count { least = min(least, norms[index] - 2 * products[index]) }
            var index = 0
            while index < count - 1 && norms[index] - 2 * products[index] != least { index += 1 }
            return (index, least)
        }
    }

    /// Moves every centre to the mean of its points; returns how many had none and were moved far out.
    private mutating func move(_ points: [Float], distances: [Float]) -> Int {
        let (d, k) = (dimensions, count)
        var sums = [Double](repeating: 0, count: k * d)
        var counts = [Int](repeating: 0, count: k)
        points.withUnsafeBufferPointer { points in
            sums.withUnsafeMutableBufferPointer { sums in
                for (point, label) in labels.enumerated() {
                    counts[label] += 1
                    for i in 0..<d { sums[label * d + i] += Double(points[point * d + i]) }
                }
            }
        }
        for centre in 0..<k where counts[centre] > 0 {
            for i in 0..<d {
                centres[centre * d + i] = Float(sums[centre * d + i] / Double(counts[centre]))
            }
        }
        let dead = (0..<k).filter { counts[$0] == 0 }
        guard !dead.isEmpty else { return 0 }
        let farthest = distances.indices.sorted {
            (distances[$0], $1) > (distances[$1], $0)  // ties to the earlier point
        }
        var next = farthest.makeIterator()
        for centre in dead {
            guard let point = next.next(), distances[point] > 0 else { break }
            for i in 0..<d { centres[centre * d + i] = points[point * d + i] }
        }
        return dead.count
    }

    /// k-means++ (Arthur and Vassilvitskii, 2007): each next centre is a point drawn in proportion to its
    /// squared distance from the centres so far, over at most 32 points a centre.
    private static func spread(
        _ points: [Float], dimensions d: Int, count: Int, seed: UInt64
    ) throws -> [Float] {
        var generator = SeededGenerator(seed: seed, "kmeans++")
        let candidates = generator.sample(max(4096, 32 * count), below: points.count / d)
        guard !candidates.isEmpty else {
            throw CodecError.fit("there are no points")
        }
        var centres: [Float] = []
        centres.reserveCapacity(count * d)
        var nearest = [Float](repeating: .infinity, count: candidates.count)
        var chosen = generator.element(of: candidates)
        for made in 1...count {
            centres.append(contentsOf: points[chosen * d..<(chosen + 1) * d])
            if made == count { break }
            var total = 0.0
            points.withUnsafeBufferPointer { points in
                nearest.withUnsafeMutableBufferPointer { nearest in
                    let centre = points.baseAddress! + chosen * d
                    for (slot, candidate) in candidates.enumerated() {
                        let point = points.baseAddress! + candidate * d
                        var distance: Float = 0
                        for i in 0..<d {
                            let difference = point[i] - centre[i]
                            distance += difference * difference
                        }
                        nearest[slot] = min(nearest[slot], distance)
                        total += Double(nearest[slot])
                    }
                }
            }
            guard total > 0 else {
                throw CodecError.fit(
                    "only \(made) different patches for \(count) codes: give more pictures or fewer codes"
                )
            }
            var left = generator.unit() * total
            var slot = candidates.count - 1
            for (index, distance) in nearest.enumerated() where distance > 0 {
                slot = index
                left -= Double(distance)
                if left < 0 { break }
            }
            chosen = candidates[slot]
        }
        return centres
    }

    private static func squaredNorms(_ rows: [Float], dimensions d: Int) -> [Float] {
        rows.withUnsafeBufferPointer { rows in
            (0..<rows.count / d).map { row in
                var sum: Float = 0
                for i in row * d..<(row + 1) * d { sum += rows[i] * rows[i] }
                return sum
            }
        }
    }
}
