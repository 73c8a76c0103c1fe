import Torch

extension ParameterStore {
    /// The type in its file of a parameter of a store on ``Torch/Device/meta``; nil when no file has it.
    public func storedType(of name: String) -> DType? { claimed[name]?.dtype }

    /// The shape in its file of a parameter of a store on ``Torch/Device/meta``; nil when no file has it.
    public func storedShape(of name: String) -> [Int]? { claimed[name]?.shape }

    /// The values in its file of a parameter of a store on ``Torch/Device/meta``, in the file's type; nil
    /// when no file has it.
    public func storedTensor(_ name: String) throws -> Tensor? { try claimed[name]?.make() }

    /// The name in its file of a parameter of a store on ``Torch/Device/meta``; nil when no file has it.
    public func storedName(of name: String) -> String? { claimed[name]?.storedName }

    /// Second names and the parameters they stand for.
    public var tiedNames: [String: String] { ties }
}
