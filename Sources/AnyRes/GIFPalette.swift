/// Finds the colour that a GIF's palette holds for its transparent index.
///
/// libvips hands transparent pixels out black, since a viewer never shows their colour; Pillow's conversion to RGB
/// does show it.
enum GIFPalette {
    /// How much of a file is searched: palettes and extension blocks before the first frame's pixels.
    static let searchedBytes = 1 << 16

    /// The colour of transparent pixels in the first frame, nil where there are none. GIF89a, sections 18 to 23.
    static func transparentColour(in bytes: [UInt8]) -> [UInt8]? {
        func paletteBytes(_ flags: UInt8) -> Int {
            flags & 0x80 == 0 ? 0 : 3 << (Int(flags & 7) + 1)
        }
        guard bytes.count > 13 else { return nil }
        var palette = 13..<13 + paletteBytes(bytes[10])
        var position = palette.upperBound
        var index: Int?
        while position + 10 < bytes.count {
            switch bytes[position] {
            case 0x21:  // an extension: its label, then blocks up to an empty one
                if bytes[position + 1] == 0xF9, bytes[position + 3] & 1 == 1 {
                    index = Int(bytes[position + 6])
                }
                position += 2
                while position < bytes.count, bytes[position] != 0 {
                    position += Int(bytes[position]) + 1
                }
                position += 1
            case 0x2C:  // the first frame, perhaps with a palette of its own
                let own = paletteBytes(bytes[position + 9])
                if own > 0 { palette = position + 10..<position + 10 + own }
                guard let index, index * 3 + 3 <= palette.count, palette.upperBound <= bytes.count
                else { return nil }
                let start = palette.lowerBound + index * 3
                return Array(bytes[start..<start + 3])
            default:
                return nil
            }
        }
        return nil
    }
}
