import Torch

/// How much of the optimizer's work is divided between processes, as ZeRO (arXiv:1910.02054) counts its stages.
public enum ZeroStage: Int, Sendable, CaseIterable {
    /// Nothing: every process has all state and takes the whole step.
    case none = 0
    /// The optimizer's moments and masters: each process has its part of them and steps its part of the weights.
    case optimizer = 1
    /// The gradients' sums as well: each micro-batch's gradients go to the processes whose parts they are.
    case gradients = 2
}

/// Training with the same weights in several processes, each on samples of its own.
///
/// Weights stand in buckets, in the order of the groups; each bucket is exchanged in one operation, in fp32
/// whatever the weights are (fp64 for fp64). With a ``ZeroStage`` above 0 each process owns one stretch of every
/// bucket, and an ``AdamW`` over ``groups`` has state of it alone.
///
/// A step goes: after each micro-batch ``micro()``, then ``finish()``, ``clip(maxNorm:)``, the optimizer's step,
/// and ``spread()``. Every process has to make the same calls; one without gradients takes part with zeros.
public final class DataParallel {
    /// The processes.
    public let processes: ProcessGroup
    /// What is divided.
    public let zero: ZeroStage
    /// What this process' optimizer updates: pieces of the weights, flat, or all of them where nothing is divided.
    public private(set) var groups: [ParameterGroup]

    private struct Member {
        let name: String
        let weight: Tensor
        let start: Int
        var count: Int { weight.count }
    }

    private struct Piece {
        let weight: Tensor  // a view
        let member: Int
        let range: Range<Int>  // in this process' stretch
    }

    private final class Bucket {
        let members: [Member]
        let stretch: Int
        var pieces: [Piece] = []
        var sum: Tensor?

        init(_ members: [Member], size: Int) {
            self.members = members
            let length = members.last.map { $0.start + $0.count } ?? 0
            stretch = (length + size - 1) / size
        }

        var dtype: DType { members[0].weight.dtype }
        var device: Device { members[0].weight.device }
        /// The type that gradients and the optimizer's state have.
        var wide: DType { dtype == .float64 ? .float64 : .float32 }
    }

    private let buckets: [Bucket]
    private var touched: [Set<Int>]

    /// - Parameters:
    ///   - groups: all that is trained, the same in every process.
    ///   - bucketCount: values of a bucket, unless a single weight has more.
    public init(
        _ groups: [ParameterGroup], processes: ProcessGroup, zero: ZeroStage,
        bucketCount: Int = 1 << 24
    ) {
        self.processes = processes
        self.zero = zero
        self.groups = groups
        var buckets: [Bucket] = []
        var waiting: [Member] = []
        var length = 0
        func close() {
            if !waiting.isEmpty { buckets.append(Bucket(waiting, size: processes.size)) }
            (waiting, length) = ([], 0)
        }
        for (name, weight) in groups.flatMap(\.parameters) {
            guard weight.isContiguous else {
                fatalError("DataParallel: \(name) is not contiguous")
            }
            if let last = waiting.last,
                length + weight.count > bucketCount || last.weight.dtype != weight.dtype
            {
                close()
            }
            waiting.append(Member(name: name, weight: weight, start: length))
            length += weight.count
        }
        close()
        self.buckets = buckets
        touched = buckets.map { _ in [] }
        if zero != .none { divide() }
    }

    /// Replaces the groups' weights by this process' pieces of them.
    private func divide() {
        var owned: [String: Tensor] = [:]
        for bucket in buckets {
            let first = processes.rank * bucket.stretch
            for (index, member) in bucket.members.enumerated() {
                let start = max(first, member.start)
                let end = min(first + bucket.stretch, member.start + member.count)
                guard start < end else { continue }
                let view = member.weight.detached().flattened().narrowed(
                    axis: 0, start: start - member.start, length: end - start)
                bucket.pieces.append(
                    Piece(weight: view, member: index, range: start - first..<end - first))
                owned[member.name] = view
            }
        }
        groups = groups.map { group in
            ParameterGroup(
                name: group.name,
                parameters: group.parameters.compactMap { name, _ in owned[name].map { (name, $0) }
                },
                rate: group.rate, decay: group.decay)
        }
    }

    // MARK: Gradients

    /// Takes note of a micro-batch's gradients, or of there being none; with ``ZeroStage/gradients`` they go to
    /// their owners and are forgotten here.
    ///
    /// Every process calls it equally often.
    public func micro() throws {
        guard zero == .gradients else { return }
        try withoutGradients {
            for index in buckets.indices { try reduce(index) }
        }
    }

    /// Gives every weight, or every piece of one, the sum of its gradients over all processes and micro-batches.
    ///
    /// A weight without gradient in all processes has none afterwards.
    public func finish() throws {
        try withoutGradients {
            if zero != .gradients {
                for index in buckets.indices { try reduce(index) }
            }
            // A weight that had a gradient in any process has one in all.
            let flags = zip(buckets, touched).flatMap { bucket, touched in
                bucket.members.indices.map { touched.contains($0) ? 1 : 0 }
            }
            guard !flags.isEmpty else { return }
            let counted = Tensor(flags, shape: [flags.count])
            try processes.sum(counted)
            var present = counted.ints()[...]
            for (index, bucket) in buckets.enumerated() {
                give(bucket, present: Array(present.prefix(bucket.members.count)))
                present = present.dropFirst(bucket.members.count)
                bucket.sum = nil
                touched[index] = []
            }
        }
    }

    /// Adds a bucket's gradients up over the processes.
    private func reduce(_ index: Int) throws {
        let bucket = buckets[index]
        var parts: [Tensor] = []
        for (place, member) in bucket.members.enumerated() {
            if let gradient = member.weight.gradient {
                touched[index].insert(place)
                parts.append(gradient.to(bucket.wide).flattened())
                member.weight.gradient = nil
            } else {
                parts.append(
                    .zeros([member.count], dtype: bucket.wide, device: bucket.device))
            }
        }
        let length = parts.reduce(0) { $0 + $1.count }
        let padding = bucket.stretch * processes.size - length
        if padding > 0 {
            parts.append(.zeros([padding], dtype: bucket.wide, device: bucket.device))
        }
        let flat = Tensor.concatenated(parts, axis: 0)
        parts = []
        if zero == .none {
            try processes.sum(flat)
            bucket.sum = flat
        } else {
            let part = try processes.scatteredSum(flat)
            bucket.sum = bucket.sum.map { $0 + part } ?? part
        }
    }

    private func give(_ bucket: Bucket, present: [Int]) {
        guard let sum = bucket.sum else { return }
        guard zero == .none else {
            for piece in bucket.pieces where present[piece.member] > 0 {
                piece.weight.gradient = sum.narrowed(
                    axis: 0, start: piece.range.lowerBound, length: piece.range.count)
            }
            return
        }
        for (place, member) in bucket.members.enumerated() where present[place] > 0 {
            member.weight.gradient = sum.narrowed(
                axis: 0, start: member.start, length: member.count
            ).reshaped(member.weight.shape)
        }
    }

    /// Scales all gradients down, together, where their norm over all processes is above `maxNorm`.
    ///
    /// - Returns: the norm before, the same in every process; as of ``clipGradients(of:maxNorm:)``.
    public func clip(maxNorm: Double) throws -> Double {
        let weights = groups.flatMap { $0.parameters.map(\.tensor) }
        guard zero != .none else { return clipGradients(of: weights, maxNorm: maxNorm) }
        let gradients = weights.compactMap(\.gradient)
        let own = totalNorm(gradients).item()
        let total = Tensor(doubles: [own * own], shape: [1])
        try processes.sum(total)
        let norm = total.item().squareRoot()
        let factor = maxNorm / (norm + 1e-6)
        if norm.isFinite, factor < 1 { scale(gradients, by: factor) }
        return norm
    }

    /// Brings the stepped pieces together, so that every process has all weights as they are now.
    public func spread() throws {
        guard zero != .none else { return }
        try withoutGradients {
            for bucket in buckets {
                let own = own(of: bucket, dtype: bucket.dtype) { $0.weight }
                let whole = try processes.gathered(own)
                for member in bucket.members {
                    let values = whole.narrowed(
                        axis: 0, start: member.start, length: member.count)
                    member.weight.detached().flattened().copy(from: values)
                }
            }
        }
    }

    /// This process' stretch of a bucket, of one value of each piece.
    private func own(
        of bucket: Bucket, dtype: DType, _ value: (Piece) -> Tensor
    ) -> Tensor {
        var parts = bucket.pieces.map { value($0).flattened() }
        let rest = bucket.stretch - bucket.pieces.reduce(0) { $0 + $1.range.count }
        if rest > 0 { parts.append(.zeros([rest], dtype: dtype, device: bucket.device)) }
        return Tensor.concatenated(parts, axis: 0)
    }

    // MARK: State

    /// The optimizer's whole ``AdamW/state``, as of one process alone; empty in all but the first.
    ///
    /// It is put together in the first process' main memory, bucket after bucket.
    public func state(of optimizer: AdamW) throws -> [(String, Tensor)] {
        let own = optimizer.state
        guard zero != .none else { return processes.rank == 0 ? own : [] }
        let values = Dictionary(uniqueKeysWithValues: own)
        var whole: [(String, Tensor)] = []
        for bucket in buckets {
            // A weight's steps are equal in every piece: their largest count is of any that has one.
            let counts = bucket.members.map { values["\($0.name).step"]?.itemInt() ?? 0 }
            let all = try processes.gathered(Tensor(counts, shape: [counts.count])).ints()
            let steps = counts.indices.map { place in
                stride(from: place, to: all.count, by: counts.count).map { all[$0] }.max() ?? 0
            }
            var kinds = ["exp_avg", "exp_avg_sq"]
            if let kind = AdamW.masterKind(of: bucket.dtype) { kinds.append(kind) }
            var found: [[Tensor]] = []
            for kind in kinds {
                // Whole numbers of 16 bits are not exchanged, but their bits are.
                let isRemainder = kind == "remainder"
                let own = self.own(of: bucket, dtype: isRemainder ? .bfloat16 : bucket.wide) {
                    piece in
                    let name = "\(bucket.members[piece.member].name).\(kind)"
                    guard let tensor = values[name] else {
                        fatalError("DataParallel: the optimizer has no \(name)")
                    }
                    return isRemainder ? tensor.bitCast(to: .bfloat16) : tensor
                }
                let gathered = try processes.gathered(own)
                guard processes.rank == 0 else { continue }
                let kept = isRemainder ? gathered.to(.cpu).bitCast(to: .int16) : gathered.to(.cpu)
                found.append(
                    bucket.members.map {
                        kept.narrowed(axis: 0, start: $0.start, length: $0.count).reshaped(
                            $0.weight.shape)
                    })
            }
            guard processes.rank == 0 else { continue }
            for (place, member) in bucket.members.enumerated() {
                whole.append(("\(member.name).exp_avg", found[0][place]))
                whole.append(("\(member.name).exp_avg_sq", found[1][place]))
                whole.append(("\(member.name).step", Tensor([steps[place]], shape: [])))
                if found.count > 2 { whole.append(("\(member.name).\(kinds[2])", found[2][place])) }
            }
        }
        return whole
    }

    /// Continues from the whole state of one process alone, whatever number of processes saved it.
    ///
    /// - Throws: as ``AdamW/restore(_:)``.
    public func restore(_ optimizer: AdamW, _ tensor: (String) throws -> Tensor?) throws {
        guard zero != .none else { return try optimizer.restore(tensor) }
        var places: [String: (shape: [Int], start: Int, count: Int)] = [:]
        for bucket in buckets {
            let first = processes.rank * bucket.stretch
            for piece in bucket.pieces {
                let member = bucket.members[piece.member]
                places[member.name] = (
                    member.weight.shape, first + piece.range.lowerBound - member.start,
                    piece.range.count
                )
            }
        }
        try optimizer.restore { name in
            guard let found = try tensor(name), let dot = name.lastIndex(of: "."),
                let place = places[String(name[..<dot])], name[dot...] != ".step"
            else { return try tensor(name) }
            // A tensor of another shape is refused by its shape.
            guard found.shape == place.shape else { return found }
            return found.flattened().narrowed(axis: 0, start: place.start, length: place.count)
        }
    }
}
