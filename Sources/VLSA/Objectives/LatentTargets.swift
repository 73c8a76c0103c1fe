import AnyRes
import Torch

// Shapes: B pictures, C latent channels, h x w latent cells.

/// The pixels that the grid of a picture's visual tokens lies over, from which a frozen target is made.
enum TargetFrame: Equatable {
    /// The padded picture at its own resolution, which the tiles show as well.
    case padded
    /// The snapshot, where it shows the picture otherwise than the tiles do.
    case snapshot

    /// The frame of pictures that are cut so.
    init(_ tiling: TilingConfiguration) {
        self = tiling.snapshotSource == .original ? .snapshot : .padded
    }

    func pixels(of picture: TiledPicture) -> Pixels {
        self == .padded ? picture.paddedPicture() : picture.snapshotPixels
    }

    /// The key of what is made of these pixels of the picture with the key `picture`.
    func key(_ picture: String) -> String { self == .padded ? picture : picture + "/snapshot" }
}

/// Frozen latents of pictures, each brought to the same square and encoded on its own, so that it depends on no other.
struct LatentTargets {
    let codec: any LatentCodec
    /// Side of the encoded square, pixels; a multiple of the codec's cell.
    let size: Int
    let latent: LatentTarget
    let frame: TargetFrame

    /// - Throws: ``VLSAError/configuration(_:)`` for draws of latents that are no distribution.
    init(_ codec: any LatentCodec, size: Int, latent: LatentTarget, frame: TargetFrame) throws {
        guard latent == .mean || codec is AutoencoderKL else {
            throw VLSAError.configuration(
                "objective.latent is sample, but the latents are no distribution; write objective.latent: mean"
            )
        }
        (self.codec, self.size, self.latent, self.frame) = (codec, size, latent, frame)
    }

    /// The latents, `[B, C, h, w]`, float32.
    ///
    /// - Parameters:
    ///   - keys: of the pictures' content and cut, for the cache; as many as pictures.
    ///   - cache: where latents are kept; nil encodes every picture.
    ///   - generators: one for each picture, or the same for several, with ``LatentTarget/sample``; nil takes the
    ///     means all the same.
    func callAsFunction(
        of pictures: [TiledPicture], keys: [String] = [], cache: LatentCache? = nil,
        generators: [Generator]? = nil, device: Device
    ) -> Tensor {
        if let generators, let codec = codec as? AutoencoderKL, latent == .sample {
            return Tensor.stacked(
                zip(pictures, generators).map { picture, generator in
                    target(of: picture, device: device) { codec.encode($0, generator: generator) }
                }, axis: 0)
        }
        let side = size / codec.downscale
        return Tensor.stacked(
            pictures.enumerated().map { index, picture in
                guard let cache, index < keys.count else {
                    return target(of: picture, device: device, codec.encode)
                }
                return cache.latent(
                    of: frame.key(keys[index]), size: size, shape: [codec.channels, side, side],
                    device: device
                ) { target(of: picture, device: device, codec.encode) }
            }, axis: 0)
    }

    private func target(
        of picture: TiledPicture, device: Device, _ encode: (Tensor) -> Tensor
    ) -> Tensor {
        let square = resized(frame.pixels(of: picture), width: size, height: size)
        let pixels = Tensor(square.planar(), shape: [1, 3, size, size], device: device)
        return withoutGradients {
            encode(pixels.to(.float32) * (2 / 255) - 1)[0].to(.float32)
        }
    }
}
