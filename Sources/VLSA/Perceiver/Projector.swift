import Torch
import TorchNN

/// LLaVA's `mlp2x_gelu`: Linear → exact GELU → Linear, from tower width to language width.
public struct Projector {
    let linear1: Linear
    let linear2: Linear

    public init(from visionWidth: Int, to languageWidth: Int, in scope: ParameterScope) throws {
        linear1 = try Linear(visionWidth, languageWidth, in: scope["linear_1"])
        linear2 = try Linear(languageWidth, languageWidth, in: scope["linear_2"])
    }

    /// `[..., tower width]` to `[..., language width]`.
    public func callAsFunction(_ features: Tensor) -> Tensor {
        linear2(linear1.activated(.gelu, features))
    }
}
