import Foundation
import Prompting
import Torch
import TorchNN

/// What a model folder holds: its family, configuration, parameters and tokenizer, and what the strict loader
/// would object to. Only headers are read, however large the files are.
public struct FolderInspection {
    /// Where it is.
    public let path: String
    /// `model_type` or `_class_name`.
    public let kind: String
    /// The network it holds; nil where nothing here loads it, and then names are the files' own.
    public let family: CheckpointFamily?
    /// `config.json` by dotted key, each value as JSON; a part folder's keys begin with `PART/`.
    public let configuration: [String: String]
    /// In natural order of the names.
    public let parameters: [ListedParameter]
    /// Second names of parameters.
    public let tied: [String: String]
    /// Names in the files that the family's model has no place for and does not miss, such as a text tower.
    public let passedOver: [String]
    /// nil where there is no `tokenizer.json`.
    public let tokenizer: TokenizerFacts?
    /// What keeps the folder from loading; empty when it loads.
    public let faults: [String]

    private let store: ParameterStore
    private let files: [SafetensorsFile]

    /// - Throws: ``CheckpointError`` when there is no folder with a readable `config.json`. Everything else that
    ///   is wrong is among the ``faults``.
    public init(_ path: String) throws {
        let folder = try CheckpointFolder(path)
        let store = ParameterStore(collectingFaultsAs: .float32)
        var faults: [String] = []
        var family: CheckpointFamily?
        do { family = try folder.outline(into: store) } catch { faults.append("\(error)") }
        faults += store.faults.map { "\($0)" }

        var folders = [("", folder)]
        if folder.kind == "vlsa" {
            for part in ["vision", "language", "denoiser", "latents", "codebook"]
            where folder.contains(part) {
                do { folders.append((part + "/", try folder.component(part))) } catch {
                    if family != nil { faults.append("\(error)") }
                }
            }
        }
        var configuration: [String: String] = [:]
        var files: [SafetensorsFile] = []
        for (front, folder) in folders {
            let text = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/config.json"))
            let value = try JSONSerialization.jsonObject(with: text)
            flatten(value, key: "") { configuration[front + $0] = $1 }
            // A codebook is no parameter of the model; its own reader takes what it needs of the files.
            guard front != "codebook/" else { continue }
            do { files += try folder.weightFiles() } catch {
                if !faults.contains("\(error)") { faults.append("\(error)") }
            }
        }
        self.path = path
        kind = folder.kind
        self.family = family
        self.configuration = configuration
        self.store = store
        self.files = files
        tied = store.tiedNames
        if family != nil {
            parameters = store.tensors().map { name, tensor in
                ListedParameter(
                    name: name, shape: store.storedShape(of: name) ?? tensor.shape,
                    dtype: store.storedType(of: name))
            }.sorted { isNaturallyBefore($0.name, $1.name) }
            let used = Set(
                store.names.compactMap { name in
                    store.storedName(of: name).map { (store.sources[name] ?? "") + "\0" + $0 }
                })
            passedOver = files.flatMap { file in
                file.names.filter { !used.contains(file.path + "\0" + $0) }
            }.sorted(by: isNaturallyBefore)
        } else {
            parameters = files.flatMap { file in
                file.names.map { name in
                    ListedParameter(
                        name: name, shape: file.shape(of: name) ?? [], dtype: file.dtype(of: name))
                }
            }.sorted { isNaturallyBefore($0.name, $1.name) }
            passedOver = []
        }
        do {
            let place = folder.kind == "vlsa" ? path + "/language" : path
            tokenizer = try TokenizerFacts(folder: place)
        } catch {
            tokenizer = nil
            if !faults.contains("\(error)") { faults.append("\(error)") }
        }
        self.faults = faults
    }

    /// The values of a parameter, in its file's type; nil where no file has it.
    public func tensor(_ name: String) throws -> Tensor? {
        if family != nil { return try store.storedTensor(name) }
        return try files.first { $0.contains(name) }?.tensor(name)
    }
}

/// What a folder's tokenizer says of itself.
public struct TokenizerFacts: Codable, Equatable, Sendable {
    /// Tokens, added ones included.
    public let tokenCount: Int
    /// One more than the greatest id.
    public let idLimit: Int
    /// Begins a text, ends one, fills a batch: spelled out, nil where there is none.
    public let beginning: String?
    public let end: String?
    public let padding: String?
    /// Special tokens, by id.
    public let special: [Int: String]

    /// nil where the folder has no `tokenizer.json`.
    init?(folder: String) throws {
        guard FileManager.default.fileExists(atPath: folder + "/tokenizer.json") else { return nil }
        let tokenizer = try Tokenizer(folder: folder)
        tokenCount = tokenizer.vocabularySize
        idLimit = tokenizer.idLimit
        beginning = tokenizer.beginningID.flatMap(tokenizer.token)
        end = tokenizer.endID.flatMap(tokenizer.token)
        padding = tokenizer.paddingID.flatMap(tokenizer.token)
        special = Dictionary(
            uniqueKeysWithValues: (0..<tokenizer.idLimit).filter(tokenizer.isSpecial).compactMap {
                id in
                tokenizer.token(of: id).map { (id, $0) }
            })
    }
}

/// Every value that is no object, with its dotted key.
private func flatten(_ value: Any, key: String, _ take: (String, String) -> Void) {
    if let object = value as? [String: Any] {
        for (name, inner) in object {
            flatten(inner, key: key.isEmpty ? name : key + "." + name, take)
        }
    } else {
        let options: JSONSerialization.WritingOptions = [
            .fragmentsAllowed, .sortedKeys, .withoutEscapingSlashes,
        ]
        let text = try? JSONSerialization.data(withJSONObject: value, options: options)
        take(key, text.map { String(decoding: $0, as: UTF8.self) } ?? "\(value)")
    }
}

extension FolderInspection: Encodable {
    enum CodingKeys: String, CodingKey {
        case path, kind, family, configuration, parameters, tied, passedOver, tokenizer, faults
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(path, forKey: .path)
        try values.encode(kind, forKey: .kind)
        try values.encode(family, forKey: .family)
        try values.encode(configuration, forKey: .configuration)
        try values.encode(parameters, forKey: .parameters)
        try values.encode(tied, forKey: .tied)
        try values.encode(passedOver, forKey: .passedOver)
        try values.encode(tokenizer, forKey: .tokenizer)
        try values.encode(faults, forKey: .faults)
    }
}
