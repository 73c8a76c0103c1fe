import CPixels

extension TiledPicture {
    /// The padded picture that the tiles were cut from, put together again.
    public func paddedPicture() -> Pixels {
        guard !tiles.isEmpty else { return snapshotPixels }
        let (tile, columns) = (geometry.tile, geometry.columns)
        let (width, height) = (columns * tile.width, geometry.rows * tile.height)
        let bytes = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            tiles.withUnsafeBufferPointer { source in
                for index in 0..<geometry.tileCount {
                    let place = index / columns * tile.height * width + index % columns * tile.width
                    cpixels_from_planes(
                        source.baseAddress! + index * tile.area * 3, tile.width, tile.height,
                        buffer.baseAddress! + place * 3, width * 3)
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
