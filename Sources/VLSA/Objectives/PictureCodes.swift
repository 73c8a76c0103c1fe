import AnyRes
import Codecs
import Foundation
import Torch
import TorchNN

/// Frozen codes of the cells under a picture's visual tokens, the target of ``ASVR``.
public protocol PictureCodes {
    /// A hexadecimal hash of everything that decides the codes; part of the key of cached ones.
    var fingerprint: String { get }
    /// Codes are `0..<codeCount`, K.
    var codeCount: Int { get }
    /// Codes of a cell, each of what the ones before left over: D.
    var depth: Int { get }
    /// Width of a code's vector, C; 0 where no code follows another.
    var width: Int { get }
    /// Bytes of the numbers behind the codes.
    var byteCount: Int { get }

    /// Throws ``VLSAError/configuration(_:)`` where a grid of `side` cells a side cannot be had.
    func check(side: Int) throws
    /// The codes of a picture brought to a square of `side` x `side` cells, row by row, a cell's D codes beside each
    /// other: a grid of `side` rows and `side` D columns.
    func codes(of pixels: Pixels, side: Int) throws -> CodeGrid
    /// Vectors, fp32 `[M, D, C]`, of codes int64 `[M, D]` of more than one depth.
    func vectors(of codes: Tensor) -> Tensor
}

/// The codes of a ``Codecs/Codebook``, one a cell: k-means, or a VQ network.
struct CodebookCodes: PictureCodes {
    let codebook: any Codebook
    let byteCount: Int

    var fingerprint: String { codebook.fingerprint }
    var codeCount: Int { codebook.codeCount }
    var depth: Int { 1 }
    var width: Int { 0 }

    func check(side: Int) {}

    func codes(of pixels: Pixels, side: Int) throws -> CodeGrid {
        try codebook.indices(
            of: GridShape(rows: side, columns: side).fitted(pixels, stride: codebook.stride))
    }

    func vectors(of codes: Tensor) -> Tensor { fatalError("vectors of codes of one depth") }
}

/// The codes of a ``SemanticTokenizer``, its D residual codes a cell.
struct SemanticCodes: PictureCodes {
    let tokenizer: SemanticTokenizer
    let fingerprint: String
    let byteCount: Int
    let device: Device

    /// Loads the tokenizer of a folder, in fp32, on `device`; on ``Torch/Device/meta`` without values.
    init(folder: CheckpointFolder, device: Device) throws {
        let store = ParameterStore(device: device, seed: 0)
        tokenizer = try folder.semanticTokenizer(into: store)
        try store.checkComplete()
        let files = try folder.weightFiles().map(\.path).sorted() + [folder.path + "/config.json"]
        fingerprint = device == .meta ? "" : try fileFingerprint(files, "semantic")
        byteCount = store.tensors().reduce(0) { $0 + $1.tensor.byteCount }
        self.device = device
    }

    var codeCount: Int { tokenizer.quantizer.codeCount }
    var depth: Int { tokenizer.quantizer.depth }
    var width: Int { tokenizer.quantizer.width }

    func check(side: Int) throws {
        guard tokenizer.tokenCount == side * side else {
            throw VLSAError.configuration(
                "the codebook's tower has \(tokenizer.tokenCount) tokens, the model's \(side * side): ASVR "
                    + "needs a code for each visual token")
        }
    }

    func codes(of pixels: Pixels, side: Int) throws -> CodeGrid {
        let size = tokenizer.configuration.vision.imageSize
        let square = resized(pixels, width: size, height: size)
        let bytes = Tensor(square.planar(), shape: [1, 3, size, size], device: device)
        return CodeGrid(
            shape: GridShape(rows: side, columns: side * depth),
            values: tokenizer.codes(bytes.to(.float32) / 127.5 - 1).ints())
    }

    func vectors(of codes: Tensor) -> Tensor { tokenizer.quantizer.embeddings(of: codes) }
}

extension CheckpointFolder {
    /// The frozen codes of this folder: a semantic tokenizer's, or those of a ``codebook(folder:)``.
    func pictureCodes(device: Device) throws -> any PictureCodes {
        guard kind != SemanticTokenizerConfiguration.kind else {
            return try SemanticCodes(folder: self, device: device)
        }
        let codebook = try codebook(folder: path)
        let sizes = try weightFiles().flatMap { file in
            file.names.map { (file.shape(of: $0) ?? []).reduce(DType.float32.size, *) }
        }
        return CodebookCodes(codebook: codebook, byteCount: sizes.reduce(0, +))
    }
}
