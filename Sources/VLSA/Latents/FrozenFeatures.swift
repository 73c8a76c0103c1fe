import Torch
import TorchNN

// Shapes: B batch, S the tower's picture side, N patches, D width.

/// A frozen network that says what is where in a picture: one vector a patch, as a target.
public protocol FeatureTarget {
    /// D.
    var width: Int { get }
    /// N, row by row of a square grid.
    var tokenCount: Int { get }

    /// Targets `[B, N, D]`, without gradients, of pixels `[B, 3, H, W]` in -1...1.
    func features(_ pixels: Tensor) -> Tensor
}

/// A vision tower as a frozen target: DINOv2's patch tokens, or a hidden state of any tower.
public struct FrozenFeatures: FeatureTarget {
    /// The tower.
    public let tower: any VisionTower
    /// The hidden state that is the target, without the class token; nil for the tower's own ending,
    /// which DINOv2 and SigLIP norm.
    public let layer: Int?

    public init(_ tower: any VisionTower, layer: Int? = nil) {
        self.tower = tower
        self.layer = layer
    }

    public var width: Int { tower.width }
    public var tokenCount: Int { tower.tokenCount }

    public func features(_ pixels: Tensor) -> Tensor {
        withoutGradients {
            let input = tower.input(pixels)
            if let layer { return tower.features(input, FeatureSelection(layer: layer)) }
            let last = tower.output(input).last
            let front = tower.configuration.hasClassToken ? 1 : 0
            return last.narrowed(axis: 1, start: front, length: last.shape[1] - front)
        }
    }
}

extension VisionTower {
    /// Pixels `[B, 3, H, W]` in -1...1 as this tower wants them, `[B, 3, S, S]`: resized bilinearly
    /// (half-pixel centres, no antialiasing) where they are not of its size, and normalised anew.
    public func input(_ pixels: Tensor) -> Tensor {
        let side = imageSize
        let fits = pixels.shape[2] == side && pixels.shape[3] == side
        let sized = fits ? pixels : pixels.resizedBilinear(height: side, width: side)
        let normalization = configuration.normalization
        guard normalization != .siglip else { return sized }
        func row(_ values: [Double]) -> Tensor {
            Tensor(values.map(Float.init), shape: [1, 3, 1, 1], device: pixels.device)
                .to(pixels.dtype)
        }
        return (sized * 0.5 + 0.5 - row(normalization.mean)) / row(normalization.deviation)
    }
}

extension CheckpointFolder {
    /// The tower of this folder as a frozen target, its weights in `store` below `prefix`.
    ///
    /// - Parameter layer: a hidden state; nil for the tower's own ending.
    public func featureTarget(
        layer: Int? = nil, into store: ParameterStore, at prefix: String = "target"
    ) throws -> FrozenFeatures {
        let tower = try visionTower(into: store, at: prefix)
        if let layer, !(-tower.layerCount - 1...tower.layerCount).contains(layer) {
            throw VLSAError.configuration(
                "\(path): hidden state \(layer) of a tower with \(tower.layerCount) layers; "
                    + "give \(-tower.layerCount - 1)...\(tower.layerCount)")
        }
        return FrozenFeatures(tower, layer: layer)
    }
}
