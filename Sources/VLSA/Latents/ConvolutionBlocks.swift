import Torch
import TorchNN

// Shapes: B batch, C channels, H x W grid.

/// Two normed convolutions around a shortcut; the shortcut is a 1 x 1 convolution where channels
/// change.
struct ResidualBlock {
    let norm1: GroupNorm
    let conv1: Conv2d
    let norm2: GroupNorm
    let conv2: Conv2d
    let shortcut: Conv2d?

    init(_ entry: Int, _ exit: Int, groups: Int, in scope: ParameterScope) throws {
        norm1 = try GroupNorm(groups, entry, epsilon: 1e-6, in: scope["norm1"])
        conv1 = try Conv2d(entry, exit, kernel: 3, padding: 1, in: scope["conv1"])
        norm2 = try GroupNorm(groups, exit, epsilon: 1e-6, in: scope["norm2"])
        conv2 = try Conv2d(exit, exit, kernel: 3, padding: 1, in: scope["conv2"])
        shortcut =
            entry == exit ? nil : try Conv2d(entry, exit, kernel: 1, in: scope["conv_shortcut"])
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let inner = conv2(norm2(conv1(norm1(x).silu())).silu())
        return (shortcut?(x) ?? x) + inner
    }
}

/// Attention of every place to every place, one head, norm inside and residual outside.
struct GridAttention {
    let norm: GroupNorm
    let query: Linear
    let key: Linear
    let value: Linear
    let out: Linear

    init(_ channels: Int, groups: Int, in scope: ParameterScope) throws {
        norm = try GroupNorm(groups, channels, epsilon: 1e-6, in: scope["group_norm"])
        query = try Linear(channels, channels, in: scope["to_q"])
        key = try Linear(channels, channels, in: scope["to_k"])
        value = try Linear(channels, channels, in: scope["to_v"])
        out = try Linear(channels, channels, in: scope["to_out"][0])
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let tokens = norm(x).reshaped([x.shape[0], x.shape[1], -1]).transposed(1, 2)  // [B, HW, C]
        let seen = Tensor.attention(
            query: query(tokens).unsqueezed(1), key: key(tokens).unsqueezed(1),
            value: value(tokens).unsqueezed(1)
        ).squeezed(1)
        return x + out(seen).transposed(1, 2).reshaped(x.shape)
    }
}

/// The blocks of one resolution, each with its attention where the level has any.
struct ResidualLevel {
    let blocks: [ResidualBlock]
    let attentions: [GridAttention]

    init(
        _ entry: Int, _ exit: Int, count: Int, attends: Bool, groups: Int, in scope: ParameterScope
    ) throws {
        blocks = try (0..<count).map { index in
            try ResidualBlock(
                index == 0 ? entry : exit, exit, groups: groups, in: scope["resnets"][index])
        }
        attentions =
            attends
            ? try (0..<count).map {
                try GridAttention(exit, groups: groups, in: scope["attentions"][$0])
            } : []
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        var x = x
        for (index, block) in blocks.enumerated() {
            x = block(x)
            if !attentions.isEmpty { x = attentions[index](x) }
        }
        return x
    }
}

/// Residual block, attention where wanted, residual block.
struct MiddleBlock {
    let first: ResidualBlock
    let attention: GridAttention?
    let second: ResidualBlock

    init(_ channels: Int, attends: Bool, groups: Int, in scope: ParameterScope) throws {
        first = try ResidualBlock(channels, channels, groups: groups, in: scope["resnets"][0])
        attention =
            attends ? try GridAttention(channels, groups: groups, in: scope["attentions"][0]) : nil
        second = try ResidualBlock(channels, channels, groups: groups, in: scope["resnets"][1])
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
        let x = first(x)
        return second(attention?(x) ?? x)
    }
}

/// Pictures to features, halving the sides after each level but the last.
struct ConvolutionEncoder {
    let entry: Conv2d
    let levels: [(level: ResidualLevel, halving: Conv2d?)]
    let middle: MiddleBlock
    let norm: GroupNorm
    let exit: Conv2d

    /// - Parameter channels: what comes out.
    init(_ configuration: ConvolutionConfiguration, channels: Int, in scope: ParameterScope) throws
    {
        let (widths, groups) = (configuration.widths, configuration.groups)
        entry = try Conv2d(
            configuration.inputChannels, widths[0], kernel: 3, padding: 1, in: scope["conv_in"])
        levels = try widths.indices.map { index in
            let own = scope["down_blocks"][index]
            let level = try ResidualLevel(
                widths[max(0, index - 1)], widths[index], count: configuration.blocksPerLevel,
                attends: configuration.encoderAttends[index], groups: groups, in: own)
            let halving =
                index == widths.count - 1
                ? nil
                : try Conv2d(
                    widths[index], widths[index], kernel: 3, stride: 2,
                    in: own["downsamplers"][0]["conv"])
            return (level, halving)
        }
        let last = widths[widths.count - 1]
        middle = try MiddleBlock(
            last, attends: configuration.middleAttends, groups: groups, in: scope["mid_block"])
        norm = try GroupNorm(groups, last, epsilon: 1e-6, in: scope["conv_norm_out"])
        exit = try Conv2d(last, channels, kernel: 3, padding: 1, in: scope["conv_out"])
    }

    /// Zeros stand on the right and at the bottom only before each halving.
    func callAsFunction(_ pixels: Tensor) -> Tensor {
        var x = entry(pixels)
        for (level, halving) in levels {
            x = level(x)
            if let halving { x = halving(x.padded([0, 1, 0, 1], value: 0)) }
        }
        return exit(norm(middle(x)).silu())
    }
}

/// Features to pictures, doubling the sides after each level but the last.
struct ConvolutionDecoder {
    let entry: Conv2d
    let middle: MiddleBlock
    let levels: [(level: ResidualLevel, doubling: Conv2d?)]
    let norm: GroupNorm
    let exit: Conv2d

    init(_ configuration: ConvolutionConfiguration, channels: Int, in scope: ParameterScope) throws
    {
        let (widths, groups) = (Array(configuration.widths.reversed()), configuration.groups)
        entry = try Conv2d(channels, widths[0], kernel: 3, padding: 1, in: scope["conv_in"])
        middle = try MiddleBlock(
            widths[0], attends: configuration.middleAttends, groups: groups, in: scope["mid_block"])
        levels = try widths.indices.map { index in
            let own = scope["up_blocks"][index]
            let level = try ResidualLevel(
                widths[max(0, index - 1)], widths[index], count: configuration.blocksPerLevel + 1,
                attends: configuration.decoderAttends[index], groups: groups, in: own)
            let doubling =
                index == widths.count - 1
                ? nil
                : try Conv2d(
                    widths[index], widths[index], kernel: 3, padding: 1,
                    in: own["upsamplers"][0]["conv"])
            return (level, doubling)
        }
        let last = widths[widths.count - 1]
        norm = try GroupNorm(groups, last, epsilon: 1e-6, in: scope["conv_norm_out"])
        exit = try Conv2d(
            last, configuration.outputChannels, kernel: 3, padding: 1, in: scope["conv_out"])
    }

    func callAsFunction(_ latents: Tensor) -> Tensor {
        var x = middle(entry(latents))
        for (level, doubling) in levels {
            x = level(x)
            if let doubling { x = doubling(x.upsampledNearest(factor: 2)) }
        }
        return exit(norm(x).silu())
    }
}
