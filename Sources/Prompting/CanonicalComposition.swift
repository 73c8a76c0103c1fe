import Foundation

/// Unicode normal form C.
///
/// Foundation's own composition on Linux goes wrong in rare places: it composes old Hangul letters
/// that have no composite, and supplementary scalars as if cut to 16 bits. Its decomposition is
/// sound, so this composes again from that, by the algorithm of the Unicode Standard, section 3.11.
enum CanonicalComposition {
    /// The composed form of valid UTF-8.
    static func composed(_ text: [UInt8]) -> [UInt8] {
        let string = String(decoding: text, as: UTF8.self)
        var scalars = Array(string.decomposedStringWithCanonicalMapping.unicodeScalars)
        compose(&scalars)
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for scalar in scalars { result.append(contentsOf: UTF8.encode(scalar)!) }
        return result
    }

    private static func compose(_ scalars: inout [Unicode.Scalar]) {
        var kept = 0
        var starter: Int?
        var lastClass: UInt8 = 0
        for scalar in scalars {
            let combining = scalar.properties.canonicalCombiningClass.rawValue
            // A mark reaches its starter unless one of the same class stands between them.
            if let place = starter, kept == place + 1 || lastClass < combining,
                let composite = composite(scalars[place], scalar)
            {
                scalars[place] = composite
                continue
            }
            if combining == 0 { starter = kept }
            lastClass = combining
            scalars[kept] = scalar
            kept += 1
        }
        scalars.removeLast(scalars.count - kept)
    }

    private static func composite(
        _ first: Unicode.Scalar, _ second: Unicode.Scalar
    ) -> Unicode.Scalar? {
        let (a, b) = (first.value, second.value)
        if (0x1100..<0x1113).contains(a), (0x1161..<0x1176).contains(b) {
            return Unicode.Scalar(0xAC00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28)
        }
        if (0xAC00..<0xD7A4).contains(a), (a - 0xAC00) % 28 == 0, (0x11A8..<0x11C3).contains(b) {
            return Unicode.Scalar(a + b - 0x11A7)
        }
        return pairs[UInt64(a) << 32 | UInt64(b)]
    }

    /// Blocks that hold characters composed of two others.
    private static let blocks: [Range<UInt32>] = [
        0xC0..<0x2B00, 0x3000..<0x3100, 0x10000..<0x12000, 0x16000..<0x17000,
    ]

    /// From two scalars to the one they compose to, Hangul syllables apart.
    private static let pairs: [UInt64: Unicode.Scalar] = {
        var whole: [(scalar: Unicode.Scalar, parts: [Unicode.Scalar])] = []
        for value in blocks.joined() {
            guard let scalar = Unicode.Scalar(value),
                !scalar.properties.isFullCompositionExclusion
            else { continue }
            let parts = Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
            if parts.count > 1 { whole.append((scalar, parts)) }
        }
        var pairs: [UInt64: Unicode.Scalar] = [:]
        for (scalar, parts) in whole.sorted(by: { $0.parts.count < $1.parts.count }) {
            // All parts but the last have a composite of their own, found in an earlier turn.
            var first: Unicode.Scalar? = parts[0]
            for part in parts.dropFirst().dropLast() {
                first = first.flatMap { pairs[UInt64($0.value) << 32 | UInt64(part.value)] }
            }
            if let first, let last = parts.last {
                pairs[UInt64(first.value) << 32 | UInt64(last.value)] = scalar
            }
        }
        return pairs
    }()
}
