import AnyRes
import Foundation

/// Tiled pictures kept in memory up to a number of bytes, the least recently used leaving first.
final class PictureCache: @unchecked Sendable {  // every access holds the lock
    struct Entry: Sendable {
        let tiled: TiledPicture
        let key: String
        var byteCount: Int { tiled.snapshot.count + tiled.tiles.count }
    }

    private let lock = NSLock()
    private let capacity: Int
    private var entries: [String: (entry: Entry, used: UInt64)] = [:]
    private var byteCount = 0
    private var clock: UInt64 = 0

    init(capacity: Int) { self.capacity = capacity }

    subscript(path: String) -> Entry? {
        lock.withLock {
            guard let found = entries[path] else { return nil }
            clock += 1
            entries[path] = (found.entry, clock)
            return found.entry
        }
    }

    func insert(_ entry: Entry, for path: String) {
        guard entry.byteCount <= capacity else { return }
        lock.withLock {
            clock += 1
            if let old = entries.updateValue((entry, clock), forKey: path) {
                byteCount -= old.entry.byteCount
            }
            byteCount += entry.byteCount
            guard byteCount > capacity else { return }
            // Down to nine tenths at once, so that the sort is rare.
            for (path, old) in entries.sorted(by: { $0.value.used < $1.value.used }) {
                guard byteCount > capacity / 10 * 9, entries.count > 1 else { break }
                entries[path] = nil
                byteCount -= old.entry.byteCount
            }
        }
    }

    var count: Int { lock.withLock { entries.count } }
    var bytes: Int { lock.withLock { byteCount } }
}
