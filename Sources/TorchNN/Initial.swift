import Torch

/// How a parameter is filled that no checkpoint provides.
public enum Initial {
    case zeros
    case ones
    case constant(Double)
    /// Normal with mean 0.
    case normal(deviation: Double)
    /// Even in `-bound...bound`.
    case uniform(bound: Double)
    /// Even in ±1/√(fan in), the fan in being the product of all sizes but the first.
    case fanIn
    /// Whatever the closure makes, which must have the parameter's shape.
    case tensor(() -> Tensor)

    /// - Parameter seed: decides the random values alone.
    func values(_ shape: [Int], seed: UInt64) -> Tensor {
        switch self {
        case .zeros: return .zeros(shape)
        case .ones: return .ones(shape)
        case .constant(let value): return .full(shape, value)
        case .normal(let deviation):
            return Tensor.normal(shape, generator: Generator(seed: seed)) * deviation
        case .uniform(let bound): return even(shape, bound: bound, seed: seed)
        case .fanIn:
            let fan = shape.dropFirst().reduce(1, *)
            return even(shape, bound: fan > 0 ? 1 / Double(fan).squareRoot() : 0, seed: seed)
        case .tensor(let make): return make().detached()
        }
    }

    private func even(_ shape: [Int], bound: Double, seed: UInt64) -> Tensor {
        Tensor.uniform(shape, generator: Generator(seed: seed)) * (2 * bound) - bound
    }
}

/// A seed for one name: the same on every machine and in every order, different for different names.
func seed(for name: String, run: UInt64) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    var mixed = hash ^ (run &* 0x9E37_79B9_7F4A_7C15)  // then SplitMix64's finaliser
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
}
