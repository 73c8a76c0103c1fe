/// The strings that pictures show. Every long number to read and every word of running text belongs
/// to one split by its hash, whatever the seed, so what is read on a held-out picture was never
/// shown in training.
///
/// Single digits, axis numerals, the closed lists (titles, fields, days) and codes of fewer than
/// ``partedDigits`` digits belong to both. There are so few short codes that a model would learn
/// which ones training leaves out, and never say them, however well it sees.
struct SynthesisStrings {
    let split: Synthesis.Split

    static let titles = ["INVOICE", "REPORT", "TICKET", "MENU", "NOTICE", "ORDER"]
    static let fields = ["total", "room", "tax", "seat", "floor", "item"]
    static let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    /// Codes with at least so many digits are parted between the splits.
    static let partedDigits = 3

    static func split(of string: String) -> Synthesis.Split {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in string.lowercased().utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        return (hash ^ (hash >> 32)) % 100 < 20 ? .heldOut : .train
    }

    /// A code of so many digits; of ascending ones, it is known when its digits are, whatever their places.
    func code(_ random: inout SynthesisRandom, digits: Int, ascending: Bool) -> String {
        while true {
            let drawn =
                ascending
                ? random.shuffled(Array(0...9)).prefix(digits).sorted()
                : (0..<digits).map { _ in random.integer(0...9) }
            let code = drawn.map(String.init).joined()
            if digits < Self.partedDigits || Self.split(of: code) == split { return code }
        }
    }

    func word(_ random: inout SynthesisRandom) -> String {
        random.pick(split == .train ? Self.trainWords : Self.heldOutWords)
    }

    private static let trainWords = words.filter { split(of: $0) == .train }
    private static let heldOutWords = words.filter { split(of: $0) == .heldOut }

    static let words = """
        acorn album alley amber anchor angle apple apron arbor arrow aspen atlas attic autumn badge
        bakery balcony banner barley basin basket beacon beaver bicycle biscuit blanket blossom
        border bottle bramble branch bridge bronze bucket button cabin cabinet camel candle canoe
        canvas canyon captain carpet castle cedar cellar chapel cherry chimney circus citrus clover
        cobalt coffee comet copper coral corner cotton cottage crater creek cricket crystal curtain
        daisy delta desert diamond dragon drawer eagle ember engine estate falcon farmer feather
        fender ferry fiddle field finch flame forest fossil fountain foxglove galaxy garage garden
        garnet gate geyser ginger glacier glider gondola granite grape gravel grove guitar hammer
        hammock harbor harvest hazel heather hedge hermit heron hollow honey horizon hunter igloo
        indigo inlet island ivory jacket jasmine jersey jewel journal juniper kayak kennel kettle
        kingdom kitchen kite lagoon ladder lantern lark laurel lavender leather lemon library lilac
        linen lizard lobster locket lotus lumber magnet mango maple marble market marsh meadow
        melody melon meteor mill mirror mitten monarch mosaic mountain museum napkin nectar needle
        nest nickel noodle north nutmeg oasis oatmeal ocean olive onion opal orchard organ otter
        oyster paddle palace panther paper parade parcel parsley pasture peach pebble pelican
        pepper piano picnic pigeon pillow pioneer planet plaza plum pocket pond poplar porch
        pottery prairie puzzle quarry quartz quilt rabbit radish raft rainbow ranch raven reef
        ribbon river robin rocket rooster rosemary saddle saffron sailor salmon sandal satchel
        sequoia shadow shelter silver sparrow spruce stable station summit sunset swallow tablet
        tailor temple thicket thimble thunder timber tomato topaz tower trellis tulip tunnel turnip
        turtle umbrella valley vanilla velvet village violin violet voyage waffle wagon walnut
        wander water weaver wheat whistle willow window winter wolf yarn yonder zebra zenith zephyr
        """
        .split { $0 == " " || $0 == "\n" }.map(String.init)
}

/// The nine places of a picture, row by row.
enum SynthesisPlace {
    static let names = [
        "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom",
        "bottom right",
    ]

    /// The place with its preposition, as in `in the center`.
    static func phrase(_ place: Int) -> String {
        switch place {
        case 3, 5: "on the \(names[place])"
        case 4: "in the center"
        default: "at the \(names[place])"
        }
    }
}
