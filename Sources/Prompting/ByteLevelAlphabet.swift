/// The printable characters that byte-level vocabularies write bytes with.
///
/// Bytes 33-126, 161-172 and 174-255 stand for themselves, the others are 256, 257, … in order.
enum ByteLevelAlphabet {
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (0..<256).map { byte in
            if (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            {
                return Unicode.Scalar(UInt8(byte))
            }
            defer { next += 1 }
            return Unicode.Scalar(next)!
        }
    }()

    /// The byte that a scalar below 324 writes, or -1.
    private static let bytes: [Int16] = {
        var table = [Int16](repeating: -1, count: 324)
        for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
        return table
    }()

    /// The UTF-8 text that writes `bytes`.
    static func text(for bytes: some Sequence<UInt8>) -> [UInt8] {
        bytes.flatMap { UTF8.encode(scalars[Int($0)])! }
    }

    /// The bytes that a token's text stands for, or nil when it holds any other character.
    static func bytes(of text: [UInt8]) -> [UInt8]? {
        text.withUnsafeBufferPointer { text in
            let view = ScalarView(bytes: text)
            var result: [UInt8] = []
            result.reserveCapacity(text.count)
            var index = 0
            while index < text.count {
                let (value, length) = view.scalar(at: index)
                guard value < bytes.count, bytes[Int(value)] >= 0 else { return nil }
                result.append(UInt8(bytes[Int(value)]))
                index += length
            }
            return result
        }
    }
}
