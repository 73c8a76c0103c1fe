import Codecs
import Corpus
import Foundation
import Torch
import TorchNN

/// Frozen latents of pictures kept on disk, so that a picture is encoded once for all epochs and runs.
///
/// An entry's name holds the picture's content and cut, the codec's kind, configuration and weights, the size and
/// the kind of device; another network or size never meets an old entry. What cannot be read is encoded anew, and a value
/// from the cache is to the bit what the codec gave.
public struct LatentCache {
    /// Where entries lie.
    public let store: ContentStore
    /// Hash of the codec: its kind and configuration, and names and bytes of all its tensors.
    let network: String

    /// A cache for the codec whose tensors are under `part` of `parameters`.
    public init(
        _ store: ContentStore, codec: any LatentCodec, in parameters: ParameterStore,
        part: String = "latents"
    ) throws {
        self.store = store
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let configuration = String(decoding: try encoder.encode(codec.configuration), as: UTF8.self)
        var hash = stableHash("\(type(of: codec)) \(configuration)")
        for (name, tensor) in parameters.tensors(under: part) {
            hash = stableHash("\(name) \(tensor.dtype) \(tensor.shape)", seed: hash)
            hash = tensor.withBytes { stableHash($0, seed: hash) }
        }
        network = String(hash, radix: 16)
    }

    /// The latent of a picture, `[C, h, w]`, float32: from disk, or made and stored.
    ///
    /// - Parameters:
    ///   - picture: key of the picture's content and cut.
    ///   - size: side of the encoded square, pixels.
    ///   - make: encodes it, to float32 of `shape`.
    func latent(
        of picture: String, size: Int, shape: [Int], device: Device, making make: () -> Tensor
    ) -> Tensor {
        let key = "latent/\(network)/\(size)/\(device.isCPU ? "cpu" : "cuda")/\(picture)"
        if let bytes = store.value(of: key), bytes.count == shape.reduce(4, *) {
            return bytes.withUnsafeBytes { Tensor(bytes: $0, shape: shape, dtype: .float32) }
                .to(device)
        }
        let made = make()
        store.insert(made.bytes(), for: key)
        return made
    }
}
