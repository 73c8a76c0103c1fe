import Torch
import TorchNN

/// What becomes of one tensor of a checkpoint file.
enum NameMapping {
    /// Not this part's, or nothing a model holds (old buffers).
    case passedOver
    /// Taken as it is, under this name below the part's scope.
    case named(String)
    /// Taken apart or changed: each name with how its tensor is made.
    case converted([(name: String, make: (Tensor) -> Tensor)])
}

/// How a layout's names become ours.
typealias NameTable = (String) -> NameMapping

extension ParameterStore {
    /// Offers the tensors of `files` below `prefix`, under the names `table` gives; a parameter
    /// there that is not among them will be an error. Tensors stay in the mapped file until they are
    /// asked for; how a changed one is shaped is found out without its values.
    func offer(_ files: [SafetensorsFile], at prefix: String, table: NameTable) throws {
        let front = prefix.isEmpty ? "" : prefix + "."
        for file in files {
            for name in file.names {
                guard let shape = file.shape(of: name), let dtype = file.dtype(of: name) else {
                    continue
                }
                switch table(name) {
                case .passedOver: continue
                case .named(let target):
                    try offer(
                        front + target, shape: shape, dtype: dtype, source: file.path,
                        storedName: name
                    ) {
                        try file.tensor(name)
                    }
                case .converted(let targets):
                    let outline = Tensor.uninitialized(shape, dtype: dtype, device: .meta)
                    for (target, make) in targets {
                        let made = withoutGradients { make(outline) }
                        try offer(
                            front + target, shape: made.shape, dtype: made.dtype, source: file.path,
                            storedName: name
                        ) {
                            let source = try file.tensor(name)
                            return withoutGradients { make(source) }
                        }
                    }
                }
            }
        }
        cover(prefix, source: files.map(\.path).joined(separator: ", "))
    }
}

extension CheckpointFolder {
    /// Offers the folder's weights below `prefix`, under the names of the table that is made for the names
    /// in its files.
    ///
    /// A store without values also takes a folder without weight files, as its configuration describes it; one
    /// that starts anew looks for none.
    func offerWeights(
        to store: ParameterStore, at prefix: String, table: (Set<String>) throws -> NameTable
    ) throws {
        if store.startsAnew || store.device == .meta && !hasWeights { return }
        let files = try weightFiles()
        try store.offer(files, at: prefix, table: table(Set(files.flatMap(\.names))))
    }
}

/// The prefix among `candidates` under which one of `anchors` is found in `names`.
func findPrefix(
    _ candidates: [String], anchors: [String], in names: Set<String>, folder: String, part: String
) throws -> String {
    for anchor in anchors {
        for candidate in candidates where names.contains(candidate + anchor) { return candidate }
    }
    throw CheckpointError.missingPart(
        folder: folder, part: part,
        expected: candidates.flatMap { prefix in anchors.map { prefix + $0 } })
}
