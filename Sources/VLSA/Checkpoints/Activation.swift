import Torch

/// The pointwise functions that configurations name.
public enum Activation: String, Codable, Equatable, Sendable {
    /// `x sigmoid(1.702 x)`, CLIP's.
    case quickGELU = "quick_gelu"
    /// The exact one, with the error function.
    case gelu
    /// The tanh approximation.
    case geluTanh = "gelu_pytorch_tanh"
    /// `x sigmoid(x)`.
    case silu

    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        let name = try value.decode(String.self)
        switch name {
        case "quick_gelu": self = .quickGELU
        case "gelu": self = .gelu
        case "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu-approximate": self = .geluTanh
        case "silu", "swish": self = .silu
        default:
            throw DecodingError.dataCorruptedError(
                in: value,
                debugDescription: "unknown activation \"\(name)\"; "
                    + "known are quick_gelu, gelu, gelu_pytorch_tanh, silu")
        }
    }

    /// The function of every element, as tensors take it.
    public var function: Tensor.Nonlinearity {
        switch self {
        case .quickGELU: .quickGELU
        case .gelu: .gelu
        case .geluTanh: .geluTanh
        case .silu: .silu
        }
    }
}
