import Torch
import TorchNN

// Shapes: B batch, C latent channels, h x w latent grid, p patch side, N = (h/p)(w/p) image tokens,
// L prompt tokens, D width.

/// The rectified-flow transformer of SD3 and SD3.5 (arXiv:2403.03206), under diffusers' names.
public struct MMDiT {
    /// The hyperparameters it was built from.
    public let configuration: MMDiTConfiguration
    let patches: LatentPatches
    let conditioning: Conditioning
    let promptEntry: Linear
    let blocks: [JointBlock]
    let modulation: Linear
    let out: Linear

    public init(_ configuration: MMDiTConfiguration, in scope: ParameterScope) throws {
        self.configuration = configuration
        let width = configuration.width
        let area = configuration.patchSize * configuration.patchSize
        patches = try LatentPatches(configuration, in: scope["pos_embed"])
        conditioning = try Conditioning(configuration, in: scope["time_text_embed"])
        promptEntry = try Linear(
            configuration.contextWidth, width,
            initial: .uniform(
                bound: (6 / Double(configuration.contextWidth + width)).squareRoot()),
            in: scope["context_embedder"])
        blocks = try (0..<configuration.layerCount).map { index in
            try JointBlock(configuration, index: index, in: scope["transformer_blocks"][index])
        }
        modulation = try Linear(width, 2 * width, initial: .zeros, in: scope["norm_out"]["linear"])
        out = try Linear(
            width, area * configuration.outputChannels, initial: .zeros, in: scope["proj_out"])
    }

    /// The velocity, noise minus data, at `latents`.
    ///
    /// - Parameters:
    ///   - latents: scaled and noised, `[B, C, h, w]`.
    ///   - timesteps: `[B]`, 1000 times the flow's time, so 0 is data and 1000 noise; keep it fp32.
    ///   - context: the prompt's vectors, `[B, L, contextWidth]`.
    ///   - pooled: the prompt's one vector, `[B, pooledWidth]`.
    ///   - isCheckpointed: keeps only what passes from block to block for the derivative.
    /// - Returns: `[B, C, h, w]`.
    public func callAsFunction(
        _ latents: Tensor, timesteps: Tensor, context: Tensor, pooled: Tensor,
        isCheckpointed: Bool = false
    ) -> Tensor {
        traced(
            latents, timesteps: timesteps, context: context, pooled: pooled,
            isCheckpointed: isCheckpointed
        ) { _, _, _ in }
    }

    /// The same, showing both streams after each block.
    func traced(
        _ latents: Tensor, timesteps: Tensor, context: Tensor, pooled: Tensor,
        isCheckpointed: Bool = false,
        show: (_ block: Int, _ image: Tensor, _ prompt: Tensor?) -> Void
    ) -> Tensor {
        let steer = conditioning(timesteps, pooled).silu().unsqueezed(1)  // [B, 1, D]
        var image = patches(latents)  // [B, N, D]
        var prompt = promptEntry(context)  // [B, L, D]
        for (index, block) in blocks.enumerated() {
            let (newImage, newPrompt) = block.passed(
                image, prompt, steer: steer, isCheckpointed: isCheckpointed)
            show(index, newImage, newPrompt)
            image = newImage
            prompt = newPrompt ?? prompt
        }
        let ending = modulation(steer).chunked(2, axis: -1)  // scale first here, then shift
        let tokens = out(modulated(image, shift: ending[1], scale: ending[0]))
        return unpatchified(
            tokens, rows: latents.shape[2] / configuration.patchSize,
            columns: latents.shape[3] / configuration.patchSize)
    }

    /// `[B, N, p p C]`, the channel fastest, to `[B, C, h, w]`.
    private func unpatchified(_ tokens: Tensor, rows: Int, columns: Int) -> Tensor {
        let (p, c) = (configuration.patchSize, configuration.outputChannels)
        return tokens.reshaped([tokens.shape[0], rows, columns, p, p, c])
            .permuted([0, 5, 1, 3, 2, 4])
            .reshaped([tokens.shape[0], c, rows * p, columns * p])
    }
}
