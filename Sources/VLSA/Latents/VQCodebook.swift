import AnyRes
import Codecs
import Foundation
import Torch
import TorchNN

/// A VQ network as the codebook of the cognition tasks: ITHQ's VQModel, LlamaGen's VQ-8 and VQ-16.
///
/// Unchecked, because tensors may not be shared: the network is only used under the lock.
public final class VQCodebook: Codebook, @unchecked Sendable {
    public let name: String
    public let fingerprint: String
    public let codeCount: Int
    public let stride: Int

    private let lock = NSLock()
    private let network: any ImageTokenizer

    /// Loads the network of a folder, in fp32.
    public init(folder: String) throws {
        let checkpoint = try CheckpointFolder(folder)
        let store = ParameterStore(seed: 0)
        network = try checkpoint.imageTokenizer(into: store)
        try store.checkComplete()
        codeCount = network.codeCount
        stride = network.downscale
        name = "vq-\(codeCount)"
        fingerprint = try fileFingerprint(
            checkpoint.weightFiles().map(\.path).sorted() + [folder + "/config.json"], "vq")
    }

    /// Codes of the whole picture at once, row by row: a cell's code depends on what is around it.
    public func indices(of pixels: Pixels) throws -> CodeGrid {
        let (width, height) = (pixels.width, pixels.height)
        guard width % stride == 0, height % stride == 0 else {
            throw CodecError.size(
                "\(width) x \(height) pixels are no whole number of \(stride) x \(stride) cells")
        }
        let shape = GridShape(rows: height / stride, columns: width / stride)
        let values = lock.withLock {
            withoutGradients {
                let bytes = Tensor(pixels.planar(), shape: [1, 3, height, width])
                return network.indices(bytes.to(.float32) / 127.5 - 1).ints()
            }
        }
        return CodeGrid(shape: shape, values: values)
    }
}

/// A hexadecimal hash of all bytes of some files, and of the kind of network they hold.
func fileFingerprint(_ paths: [String], _ kind: String) throws -> String {
    let hash = try paths.reduce(stableHash(kind)) { hash, path in
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
        return data.withUnsafeBytes { stableHash($0, seed: hash) }
    }
    return String(hash, radix: 16)
}

/// The codebook of a folder: k-means as `vlsa codec fit` writes it, or a VQ network.
public func codebook(folder: String) throws -> any Codebook {
    let kind = try CheckpointFolder(folder).kind
    switch kind {
    case KMeansCodebook.kind: return try KMeansCodebook(folder: folder)
    case "VQModel": return try VQCodebook(folder: folder)
    default:
        throw CheckpointError.wrongKind(
            folder: folder, kind: kind, expected: [KMeansCodebook.kind, "VQModel"])
    }
}
