/// CRC-32C (Castagnoli) checksums, as TFRecord files and checkpoint manifests carry them.
public struct CRC32C: Sendable {
    private var state: UInt32 = 0xffff_ffff

    public init() {}

    /// The checksum of everything taken in so far.
    public var value: UInt32 { ~state }

    /// Takes in more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var crc = state
        CRC32C.tables.withUnsafeBufferPointer { table in
            var index = 0
            // Eight bytes at a time: one table for each byte's distance from the end of the word.
            while index + 8 <= bytes.count {
                let word =
                    UInt64(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    ^ UInt64(crc)
                crc = 0
                for byte in 0..<8 {
                    crc ^=
                        table[(7 - byte) << 8 | Int(truncatingIfNeeded: word >> (8 * byte)) & 0xff]
                }
                index += 8
            }
            while index < bytes.count {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[index])) & 0xff)]
                index += 1
            }
        }
        state = crc
    }

    /// The checksum of `bytes`.
    public static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc = CRC32C()
        Array(bytes).withUnsafeBytes { crc.update($0) }
        return crc.value
    }

    /// The checksum as TFRecord stores it: rotated and offset, so that a checksum of data that holds
    /// checksums stays sound.
    public static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
        let crc = checksum(bytes)
        return (crc >> 15 | crc << 17) &+ 0xa282_ead8
    }

    /// 8 tables of 256: entry `b` of table `k` is the effect of byte `b` followed by `k` zero bytes.
    private static let tables: [UInt32] = {
        var tables = (0..<256).map { byte -> UInt32 in
            (0..<8).reduce(UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0x82f6_3b78 : 0) }
        }
        for index in 256..<2048 {
            let previous = tables[index - 256]
            tables.append(previous >> 8 ^ tables[Int(previous & 0xff)])
        }
        return tables
    }()
}
