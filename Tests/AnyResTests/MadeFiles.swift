/// Picture files made byte by byte, for what no encoder would write.
enum MadeFiles {
    static func bigEndian(_ value: Int, _ count: Int = 4) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * (count - 1 - $0))) }
    }

    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = .max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }

    static func chunk(_ kind: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(kind.utf8) + data
        return bigEndian(data.count) + body + bigEndian(Int(crc32(body)))
    }

    static func adler32(_ bytes: [UInt8]) -> [UInt8] {
        var (a, b) = (1, 0)
        for byte in bytes {
            a = (a + Int(byte)) % 65521
            b = (b + a) % 65521
        }
        return bigEndian(b << 16 | a)
    }

    /// A zlib stream of stored blocks.
    static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x78, 0x01]
        var start = 0
        repeat {
            let end = min(start + 65535, bytes.count)
            let length = end - start
            out += [end == bytes.count ? 1 : 0, UInt8(length & 255), UInt8(length >> 8)]
            out += [UInt8(~length & 255), UInt8(~length >> 8 & 255)]
            out += bytes[start..<end]
            start = end
        } while start < bytes.count
        return out + adler32(bytes)
    }

    /// A zlib stream of `count` zeros: 13 bits for every 258 of them.
    static func zeros(_ count: Int) -> [UInt8] {
        // Fixed Huffman codes: a literal 0, copies of 258 bytes from 1 back, literals for the rest, the end.
        var out: [UInt8] = [0x78, 0x01]
        var (pending, bits) = (0, 0)
        func put(_ code: Int, _ length: Int, reversed: Bool) {
            for i in 0..<length {
                let bit = code >> (reversed ? length - 1 - i : i) & 1
                pending |= bit << bits
                bits += 1
                if bits == 8 {
                    out.append(UInt8(pending))
                    (pending, bits) = (0, 0)
                }
            }
        }
        put(1, 1, reversed: false)
        put(1, 2, reversed: false)
        put(0x30, 8, reversed: true)
        var copies = (count - 1) / 258
        let rest = count - 1 - copies * 258
        func copy() {
            put(0b1100_0101, 8, reversed: true)
            put(0, 5, reversed: true)
            copies -= 1
        }
        // Eight copies are thirteen bytes whatever the bit they start at, so that the pattern can be repeated.
        if copies >= 32 {
            for _ in 0..<8 { copy() }
            let start = out.count
            for _ in 0..<8 { copy() }
            let pattern = Array(out[start...])
            let times = copies / 8
            out.reserveCapacity(out.count + times * 13)
            for _ in 0..<times { out += pattern }
            copies -= times * 8
        }
        while copies > 0 { copy() }
        for _ in 0..<rest { put(0x30, 8, reversed: true) }
        put(0, 7, reversed: true)
        if bits > 0 { out.append(UInt8(pending)) }
        return out + bigEndian((count % 65521) << 16 | 1)
    }

    /// A PNG around a zlib stream. Colour 0 is grey, 2 RGB, 4 grey with alpha, 6 RGB with alpha.
    static func png(
        width: Int, height: Int, depth: Int = 8, colour: Int = 2, isInterlaced: Bool = false,
        extra: [UInt8] = [], stream: [UInt8]
    ) -> [UInt8] {
        let header =
            bigEndian(width) + bigEndian(height)
            + [UInt8(depth), UInt8(colour), 0, 0, isInterlaced ? 1 : 0]
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + chunk("IHDR", header) + extra
            + chunk("IDAT", stream) + chunk("IEND", [])
    }

    /// A black 8-bit picture of any size.
    static func blackPNG(width: Int, height: Int, colour: Int = 2, isInterlaced: Bool = false)
        -> [UInt8]
    {
        let row = 1 + width * (colour == 2 ? 3 : 1)
        return png(
            width: width, height: height, colour: colour, isInterlaced: isInterlaced,
            stream: zeros(row * height))
    }

    /// A PNG of unfiltered rows of samples.
    static func png(
        width: Int, height: Int, depth: Int = 8, colour: Int, extra: [UInt8] = [], rows: [[UInt8]]
    ) -> [UInt8] {
        png(
            width: width, height: height, depth: depth, colour: colour, extra: extra,
            stream: stored(rows.flatMap { [0] + $0 }))
    }

    /// A TIFF structure with nothing but an orientation, as EXIF holds it.
    static func exif(orientation: Int) -> [UInt8] {
        Array("MM".utf8) + [0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1]
            + bigEndian(orientation, 2) + [0, 0, 0, 0, 0, 0]
    }

    /// A JPEG with a segment put in after its first marker.
    static func jpeg(_ jpeg: [UInt8], marker: UInt8, segment: [UInt8]) -> [UInt8] {
        Array(jpeg[0..<2]) + [0xFF, marker] + bigEndian(segment.count + 2, 2) + segment
            + Array(jpeg[2...])
    }

    static func jpeg(_ file: [UInt8], orientation: Int) -> [UInt8] {
        jpeg(file, marker: 0xE1, segment: Array("Exif\0\0".utf8) + exif(orientation: orientation))
    }

    static func jpeg(_ file: [UInt8], profile: [UInt8]) -> [UInt8] {
        jpeg(file, marker: 0xE2, segment: Array("ICC_PROFILE\0".utf8) + [1, 1] + profile)
    }

    /// An RGB matrix profile with sRGB's primaries and a straight line for its curves, called `name`.
    static func linearProfile(name: String) -> [UInt8] {
        func fixed(_ value: Double) -> [UInt8] { bigEndian(Int((value * 65536).rounded())) }
        func xyz(_ x: Double, _ y: Double, _ z: Double) -> [UInt8] {
            Array("XYZ ".utf8) + [0, 0, 0, 0] + fixed(x) + fixed(y) + fixed(z)
        }
        func padded(_ bytes: [UInt8]) -> [UInt8] {
            bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
        }
        let ascii = Array(name.utf8) + [0]
        let description =
            Array("desc".utf8) + [0, 0, 0, 0] + bigEndian(ascii.count) + ascii
            + [UInt8](repeating: 0, count: 78)
        let curve = Array("curv".utf8) + [0, 0, 0, 0] + bigEndian(0)
        let tags: [(String, [UInt8])] = [
            ("desc", padded(description)),
            ("cprt", padded(Array("text".utf8) + [0, 0, 0, 0, 65, 0])),
            ("wtpt", xyz(0.9642, 1, 0.8249)), ("rXYZ", xyz(0.4361, 0.2225, 0.0139)),
            ("gXYZ", xyz(0.3851, 0.7169, 0.0971)), ("bXYZ", xyz(0.1431, 0.0606, 0.7141)),
            ("rTRC", curve), ("gTRC", curve), ("bTRC", curve),
        ]
        var directory = bigEndian(tags.count)
        var data: [UInt8] = []
        let start = 128 + 4 + 12 * tags.count
        for (tag, bytes) in tags {
            directory += Array(tag.utf8) + bigEndian(start + data.count) + bigEndian(bytes.count)
            data += bytes
        }
        var header = bigEndian(start + data.count) + [0, 0, 0, 0, 2, 0x40, 0, 0]
        header += Array("mntrRGB XYZ ".utf8)
        header += [UInt8](repeating: 0, count: 12) + Array("acsp".utf8)
        header += [UInt8](repeating: 0, count: 28)
        header += fixed(0.9642) + fixed(1) + fixed(0.8249)
        header += [UInt8](repeating: 0, count: 128 - header.count)
        return header + directory + data
    }
}
