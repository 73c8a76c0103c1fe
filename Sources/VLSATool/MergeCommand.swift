import ArgumentParser
import Foundation
import Torch
import VLSA
import VLSATraining

struct MergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Writes a model with its LoRA adapters added into the weights.",
        discussion: """
            The new folder answers as the adapted model does and needs no adapters: each part is an ordinary folder of \
            its family. The model stays as it is.

            Example: vlsa merge --model runs/3/model --out merged
            """)

    @Option(help: "Model folder with adapters.") var model: String
    @Option(help: "Folder to write, which must not exist.") var out: String
    @Option(help: "Number type to merge in and to write: float32, bfloat16 or float16.")
    var dtype = "float32"

    func validate() throws {
        guard ["float32", "bfloat16", "float16"].contains(dtype) else {
            throw ValidationError("--dtype is \(dtype), not float32, bfloat16 or float16")
        }
    }

    func run() throws {
        try requireExisting(model, "--model")
        guard !FileManager.default.fileExists(atPath: out) else {
            throw ValidationError("--out: \(out) is there already")
        }
        let loaded = try VLSAModel(
            folder: model, dtype: DType(rawValue: dtype) ?? .float32)
        guard loaded.isAdapted else {
            throw ValidationError("--model: \(model) has no adapters to merge")
        }
        try AtomicFiles.makeFolder(out) { try loaded.save(to: $0, merging: true) }
        print(out)
    }
}
