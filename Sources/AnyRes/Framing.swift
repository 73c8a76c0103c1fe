extension PictureSize {
    /// The size whose shorter side is `edge`, the longer cut to a whole pixel, as CLIP's processor computes it.
    func scaled(shortestEdge edge: Int) -> PictureSize {
        let (short, long) = (min(width, height), max(width, height))
        let newLong = Int(Double(edge * long) / Double(short))
        return width <= height
            ? PictureSize(width: edge, height: newLong) : PictureSize(width: newLong, height: edge)
    }
}

extension Pixels {
    /// Longest side of a square canvas. A longer picture is first scaled down to it, so that a 1 x 60000 strip
    /// does not become 3.6 billion pixels.
    static let maxSquareSide = 8192

    /// The picture on a square canvas of its longer side.
    func paddedToSquare(colour: [UInt8], padding: Padding) -> Pixels {
        let longest = max(width, height)
        if longest > Self.maxSquareSide {
            let scale = Double(Self.maxSquareSide) / Double(longest)
            return resized(
                self, width: max(1, Int((Double(width) * scale).rounded())),
                height: max(1, Int((Double(height) * scale).rounded()))
            ).paddedToSquare(colour: colour, padding: padding)
        }
        guard width != height else { return self }
        let isCentred = padding == .centre
        return Pixels(width: longest, height: longest, colour: colour).pasting(
            self, x: isCentred ? (longest - width) / 2 : 0,
            y: isCentred ? (longest - height) / 2 : 0)
    }

    /// The centre of the picture resized to `size`, cut to `crop`; where that is larger, zeros around it.
    ///
    /// Only the visible part is computed, so that a 1 x 500 picture at shortest edge 336 costs 336 x 336.
    func resizedAndCropped(to size: PictureSize, crop: PictureSize, filter: ResizeFilter) -> Pixels
    {
        // Rounded down for both signs: the odd pixel of a crop is lost at the end, of padding put in front.
        let left = (size.width - crop.width) >> 1
        let top = (size.height - crop.height) >> 1
        let window = ResizeWindow(
            x: max(left, 0), y: max(top, 0), width: min(crop.width, size.width),
            height: min(crop.height, size.height))
        let part = resized(
            self, width: size.width, height: size.height, filter: filter, window: window)
        guard part.size != crop else { return part }
        return Pixels(width: crop.width, height: crop.height, colour: PadColour.black).pasting(
            part, x: max(-left, 0), y: max(-top, 0))
    }
}
