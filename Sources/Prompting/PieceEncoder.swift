/// Encodes pieces with a ``BytePairModel``: working memory and a cache of pieces seen before.
///
/// Not for concurrent use: ``Tokenizer`` lends one to each call.
final class PieceEncoder: @unchecked Sendable {
    // Sendable because one call at a time has it: it is taken out of the pool and put back.
    private let model: BytePairModel
    private var cache = ByteTable()
    private var cached: [UInt32] = []  // for each entry its id count, then the ids
    private var ids: [UInt32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var pending: [UInt64] = []
    private var heap: [UInt64] = []

    private static let cachedPieceLimit = 48  // bytes
    private static let cacheLimit = 1 << 16  // pieces
    private static let scanLimit = 48  // symbols; above it a heap is faster than scanning

    init(_ model: BytePairModel) {
        self.model = model
    }

    /// Appends the ids of one piece.
    func encode(_ piece: UnsafeBufferPointer<UInt8>, into result: inout [Int]) {
        if piece.count > Self.cachedPieceLimit {
            merge(piece)
            for id in ids { result.append(Int(id)) }
            return
        }
        if let offset = cache.value(of: piece) {
            let count = Int(cached[Int(offset)])
            for id in cached[Int(offset) + 1..<Int(offset) + 1 + count] { result.append(Int(id)) }
            return
        }
        merge(piece)
        if cache.count >= Self.cacheLimit {
            cache.removeAll()
            cached.removeAll(keepingCapacity: true)
        }
        cache.set(piece, to: UInt32(cached.count))
        cached.append(UInt32(ids.count))
        cached.append(contentsOf: ids)
        for id in ids { result.append(Int(id)) }
    }

    private func merge(_ piece: UnsafeBufferPointer<UInt8>) {
        ids.removeAll(keepingCapacity: true)
        if model.ignoresMerges, let id = model.pieces.value(of: piece) {
            ids.append(id)
            return
        }
        readSymbols(of: piece)
        if ids.count < 2 { return }
        if ids.count <= Self.scanLimit { mergeByScanning() } else { mergeByHeap() }
    }

    private func readSymbols(of piece: UnsafeBufferPointer<UInt8>) {
        var unknown: UInt32?
        func addUnknown() {
            guard let id = model.unknownID else { return }
            if let unknown, !model.fusesUnknown { ids.append(unknown) }
            unknown = id
        }
        func add(_ id: UInt32) {
            if let waiting = unknown {
                ids.append(waiting)
                unknown = nil
            }
            ids.append(id)
        }
        switch model.alphabet {
        case .bytes(let single):
            for byte in piece {
                let id = single[Int(byte)]
                if id == BytePairModel.absent { addUnknown() } else { add(id) }
            }
        case .scalars:
            let view = ScalarView(bytes: piece)
            var index = 0
            while index < piece.count {
                let length = view.scalar(at: index).length
                let scalar = UnsafeBufferPointer(rebasing: piece[index..<index + length])
                index += length
                if let id = model.vocabulary.value(of: scalar) {
                    add(id)
                } else if let bytes = model.byteTokens,
                    scalar.allSatisfy({ bytes[Int($0)] != BytePairModel.absent })
                {
                    ids.append(contentsOf: scalar.lazy.map { bytes[Int($0)] })
                } else {
                    addUnknown()
                }
            }
        }
        if let unknown { ids.append(unknown) }
    }

    /// Merges the leftmost pair of least rank until none is left. Quadratic, for short pieces.
    private func mergeByScanning() {
        var count = ids.count
        if pending.count < count {
            pending = Array(repeating: MergeTable.none, count: max(count, Self.scanLimit))
        }
        let merges = model.merges
        ids.withUnsafeMutableBufferPointer { ids in
            pending.withUnsafeMutableBufferPointer { pending in
                for index in 0..<count - 1 {
                    pending[index] = merges.merge(ids[index], ids[index + 1])
                }
                while true {
                    var best = MergeTable.none
                    var place = 0
                    for index in 0..<count - 1 where pending[index] < best {
                        best = pending[index]
                        place = index
                    }
                    if best == MergeTable.none { break }
                    ids[place] = UInt32(truncatingIfNeeded: best)
                    count -= 1
                    for index in place + 1..<max(count, place + 1) {
                        ids[index] = ids[index + 1]
                        pending[index - 1] = pending[index]
                    }
                    if place > 0 { pending[place - 1] = merges.merge(ids[place - 1], ids[place]) }
                    if place + 1 < count {
                        pending[place] = merges.merge(ids[place], ids[place + 1])
                    }
                    if count < 2 { break }
                }
            }
        }
        ids.removeLast(ids.count - count)
    }

    /// The same with a linked list and a heap of (rank, place), for long pieces.
    private func mergeByHeap() {
        let count = ids.count
        next = (0..<Int32(count)).map { $0 + 1 < Int32(count) ? $0 + 1 : -1 }
        previous = (0..<Int32(count)).map { $0 - 1 }
        pending = Array(repeating: MergeTable.none, count: max(count, Self.scanLimit))
        heap.removeAll(keepingCapacity: true)
        let merges = model.merges
        for index in 0..<count - 1 {
            let merge = merges.merge(ids[index], ids[index + 1])
            pending[index] = merge
            if merge != MergeTable.none { push((merge >> 32) << 32 | UInt64(index)) }
        }
        while let top = popLeast() {
            let place = Int(top & 0xFFFF_FFFF)
            let merge = pending[place]
            // Outdated when the pair at this place has merged or changed since.
            guard merge != MergeTable.none, merge >> 32 == top >> 32 else { continue }
            let right = Int(next[place])
            ids[place] = UInt32(truncatingIfNeeded: merge)
            pending[right] = MergeTable.none
            let after = next[right]
            next[place] = after
            next[right] = -2  // gone
            pending[place] = MergeTable.none
            if after >= 0 {
                previous[Int(after)] = Int32(place)
                renew(place, Int(after))
            }
            let before = previous[place]
            if before >= 0 { renew(Int(before), place) }
        }
        var kept = 0
        var index: Int32 = 0
        while index >= 0 {
            ids[kept] = ids[Int(index)]
            kept += 1
            index = next[Int(index)]
        }
        ids.removeLast(count - kept)
    }

    private func renew(_ left: Int, _ right: Int) {
        let merge = model.merges.merge(ids[left], ids[right])
        pending[left] = merge
        if merge != MergeTable.none { push((merge >> 32) << 32 | UInt64(left)) }
    }

    private func push(_ value: UInt64) {
        heap.append(value)
        heap.withUnsafeMutableBufferPointer { heap in
            var index = heap.count - 1
            while index > 0 {
                let parent = (index - 1) / 2
                if heap[parent] <= value { break }
                heap[index] = heap[parent]
                index = parent
            }
            heap[index] = value
        }
    }

    private func popLeast() -> UInt64? {
        guard let value = heap.popLast() else { return nil }
        return heap.withUnsafeMutableBufferPointer { heap in
            guard let least = heap.first else { return value }
            var index = 0
            while true {
                var child = 2 * index + 1
                if child >= heap.count { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                if heap[child] >= value { break }
                heap[index] = heap[child]
                index = child
            }
            heap[index] = value
            return least
        }
    }
}
