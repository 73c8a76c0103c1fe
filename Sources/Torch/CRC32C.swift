import CFiles

/// CRC-32C (Castagnoli) checksums, as TFRecord files and checkpoint manifests carry them.
public struct CRC32C: Sendable {
    /// The checksum of everything taken in so far.
    public private(set) var value: UInt32 = 0

    public init() {}

    /// Takes in more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = crc32c(value, bytes.baseAddress, bytes.count)
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
}

/// Size and checksum of the bytes that were meant to be in a file.
public struct WrittenSum: Sendable {
    public private(set) var bytes = 0
    public private(set) var crc = CRC32C()

    public init() {}

    /// Takes in more bytes.
    public mutating func update(_ more: UnsafeRawBufferPointer) {
        bytes += more.count
        crc.update(more)
    }
}
