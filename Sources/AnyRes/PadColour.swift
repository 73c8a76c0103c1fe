/// Colours that pictures are padded with, `[red, green, blue]`.
public enum PadColour {
    /// CLIP's mean colour, `int(255 * mean)`: the pad of LLaVA-1.5.
    public static let clipMean: [UInt8] = [122, 116, 104]
    /// SigLIP's mean colour.
    public static let siglipMean: [UInt8] = [127, 127, 127]
    /// The pad of LLaVA-NeXT's tiles.
    public static let black: [UInt8] = [0, 0, 0]
    /// For pictures of documents and charts.
    public static let white: [UInt8] = [255, 255, 255]
}
