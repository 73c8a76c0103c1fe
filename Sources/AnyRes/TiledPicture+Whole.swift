extension TiledPicture {
    /// The padded picture that the tiles were cut from, put together again.
    public func paddedPicture() -> Pixels {
        let (tile, columns, rows) = (geometry.tile, geometry.columns, geometry.rows)
        guard !tiles.isEmpty else { return snapshotPixels }
        let (width, height) = (columns * tile.width, rows * tile.height)
        let bytes = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            tiles.withUnsafeBufferPointer { source in
                var place = 0
                for index in 0..<columns * rows {
                    let (left, top) = (index % columns * tile.width, index / columns * tile.height)
                    for channel in 0..<3 {
                        for y in 0..<tile.height {
                            var target = ((top + y) * width + left) * 3 + channel
                            for _ in 0..<tile.width {
                                buffer[target] = source[place]
                                place += 1
                                target += 3
                            }
                        }
                    }
                }
            }
            count = width * height * 3
        }
        return Pixels(width: width, height: height, bytes: bytes)
    }

    /// The same cut with every pixel at `level`: what a model sees when it is to answer blind.
    public func filled(with level: UInt8) -> TiledPicture {
        TiledPicture(
            snapshot: [UInt8](repeating: level, count: snapshot.count),
            tiles: [UInt8](repeating: level, count: tiles.count), geometry: geometry)
    }
}
