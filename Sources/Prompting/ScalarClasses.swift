/// Unicode classes of scalars as the split patterns use them, looked up in a table.
///
/// The table is built once per process, from the standard library's Unicode data, and covers the
/// planes in which letters and numbers are assigned.
final class ScalarClasses: @unchecked Sendable {
    // Sendable because the table is filled in `init` and only read afterwards.
    static let letter: UInt8 = 1  // \p{L}
    static let number: UInt8 = 2  // \p{N}
    static let space: UInt8 = 4  // \s, White_Space
    static let newline: UInt8 = 8  // \r and \n

    static let shared = ScalarClasses()

    static let limit = 0x40000
    let table: UnsafeMutablePointer<UInt8>

    private init() {
        table = .allocate(capacity: Self.limit)
        table.initialize(repeating: 0, count: Self.limit)
        for value in 0..<UInt32(Self.limit) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            table[Int(value)] = Self.classes(of: scalar)
        }
    }

    deinit { table.deallocate() }

    private static func classes(of scalar: Unicode.Scalar) -> UInt8 {
        var result: UInt8 =
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter,
                .otherLetter:
                letter
            case .decimalNumber, .letterNumber, .otherNumber: number
            default: 0
            }
        if scalar.properties.isWhitespace { result |= space }
        if scalar == "\n" || scalar == "\r" { result |= newline }
        return result
    }

    /// Whether a regular expression's `\w` matches: letters, marks, digits, connectors, joiners.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
        return switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
            true
        default: false
        }
    }
}

/// A view of valid UTF-8 whose scalars can be read at any start.
struct ScalarView {
    let bytes: UnsafeBufferPointer<UInt8>

    /// The scalar that starts at `index`, and its length in bytes. The text must be valid UTF-8.
    @inline(__always)
    func scalar(at index: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(bytes[index])
        if first < 0x80 { return (first, 1) }
        if first < 0xE0 { return ((first & 0x1F) << 6 | continuation(index + 1), 2) }
        if first < 0xF0 {
            return (
                (first & 0x0F) << 12 | continuation(index + 1) << 6 | continuation(index + 2), 3
            )
        }
        let high = (first & 0x07) << 18 | continuation(index + 1) << 12
        return (high | continuation(index + 2) << 6 | continuation(index + 3), 4)
    }

    /// The scalar that ends before `index`, and its length in bytes.
    func scalar(before index: Int) -> (value: UInt32, length: Int) {
        var start = index - 1
        while bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return scalar(at: start)
    }

    @inline(__always)
    private func continuation(_ index: Int) -> UInt32 { UInt32(bytes[index] & 0x3F) }
}
