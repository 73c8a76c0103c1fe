import Torch

/// A place in the tree of names, from which layers ask for their parameters.
///
/// `scope["layers"][3]["self_attn"]` is `layers.3.self_attn`; segments are the checkpoint's, verbatim.
public struct ParameterScope {
    /// The store that the parameters go to.
    public let store: ParameterStore
    /// The name up to here, without a dot at the end; empty at the root.
    public let path: String

    /// The place one segment further.
    public subscript(_ segment: String) -> ParameterScope {
        ParameterScope(store: store, path: name(segment))
    }

    /// The place one numbered segment further.
    public subscript(_ index: Int) -> ParameterScope { self["\(index)"] }

    /// The full name of `last` here.
    public func name(_ last: String) -> String { path.isEmpty ? last : "\(path).\(last)" }

    /// The parameter `name` here: the checkpoint's, or filled with `initial`.
    ///
    /// - Parameter dtype: its type; the store's when nil.
    /// - Throws: ``ParameterError`` for a missing, misshapen or duplicate name, or the file's error.
    public func parameter(
        _ name: String, shape: [Int], initial: Initial, dtype: DType? = nil
    ) throws -> Tensor {
        try store.parameter(self.name(name), shape: shape, initial: initial, dtype: dtype)
    }

    /// A tensor that is loaded and saved like a parameter but never trained, such as a position table.
    public func buffer(
        _ name: String, shape: [Int], initial: Initial, dtype: DType? = nil
    ) throws -> Tensor {
        try store.buffer(self.name(name), shape: shape, initial: initial, dtype: dtype)
    }

    /// The parameter whose full name is `target`, to be known as `name` here too; a checkpoint's own
    /// tensor of that second name is passed over.
    public func tied(_ name: String, to target: String) throws -> Tensor {
        try store.tie(self.name(name), to: target)
    }

    /// Whether a loaded checkpoint offers a tensor `name` here that nobody asked for yet.
    public func offers(_ name: String) -> Bool { store.isOffered(self.name(name)) }
}
