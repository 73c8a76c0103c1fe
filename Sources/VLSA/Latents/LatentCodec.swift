import Torch

// Shapes: B batch, C latent channels, f downscale, h = H / f, w = W / f.

/// Pictures to the latents a denoiser works on, and back.
public protocol LatentCodec {
    associatedtype Configuration: Encodable
    /// What it was built from.
    var configuration: Configuration { get }
    /// C.
    var channels: Int { get }
    /// f.
    var downscale: Int { get }

    /// Scaled latents `[B, C, h, w]` of pixels `[B, 3, H, W]` in -1...1; a distribution's mean
    /// where there is one.
    func encode(_ pixels: Tensor) -> Tensor

    /// Pixels `[B, 3, H, W]` around -1...1, not clamped, of scaled latents `[B, C, h, w]`.
    func decode(_ latents: Tensor) -> Tensor
}

/// Pictures to a grid of codebook indices, and back.
public protocol ImageTokenizer {
    /// Rows of the codebook.
    var codeCount: Int { get }
    /// Pixels along the side of one code's cell.
    var downscale: Int { get }

    /// Nearest codes, int64 `[B, h, w]`, row by row, of pixels `[B, 3, H, W]` in -1...1.
    func indices(_ pixels: Tensor) -> Tensor

    /// Pixels `[B, 3, H, W]` around -1...1, not clamped, of indices `[B, h, w]`.
    func decode(indices: Tensor) -> Tensor
}
