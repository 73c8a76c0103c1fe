import Foundation
import Torch
import TorchNN

@testable import VLSATraining

/// An example of the stand-in: a few rows of inputs with their targets, and perhaps a "picture" number.
struct LineExample: TrainingExample, Sendable {
    var recordID: String
    var inputs: [Float]  // [n, 3]
    var targets: [Float]  // [n]
    var picture: Float?
    var tokenCount: Int { targets.count }

    /// Examples of an exact line, of 1 to 4 rows each, every third with a picture.
    static func some(_ count: Int, seed: UInt64 = 1) -> [LineExample] {
        var random = SplitMix(state: seed)
        return (0..<count).map { index in
            let rows = index % 4 + 1
            let inputs = (0..<rows * 3).map { _ in Float.random(in: -1...1, using: &random) }
            let targets = (0..<rows).map { row -> Float in
                let (a, b, c) = (inputs[row * 3], inputs[row * 3 + 1], inputs[row * 3 + 2])
                let slope: Float = a - 2 * b
                return slope + 0.5 * c + 0.25
            }
            return LineExample(
                recordID: "line-\(index)", inputs: inputs, targets: targets,
                picture: index % 3 == 0 ? Float.random(in: -1...1, using: &random) : nil)
        }
    }
}

/// A stand-in with the shape of a real model: a part that learns from "text", one that learns from noisy
/// "pictures", and one that stays frozen.
final class LineModel: Trainable {
    let store: ParameterStore
    let hidden: Linear
    let text: Linear
    let visual: Linear
    let frozen: Linear
    /// Has a loss of 0 with an infinite derivative.
    var hasCusp = false
    /// Throws in the middle of a save.
    var failsToSave = false
    /// Kills the process in the middle of a save.
    var diesInSave = false
    /// Called at the start of each save, on the thread that saves.
    var duringSave: (() -> Void)?
    /// Claims more units than there are.
    var miscounts = false

    init(folder: String? = nil, dtype: DType = .float32, seed: UInt64 = 3) throws {
        store = ParameterStore(dtype: dtype, seed: seed)
        if let folder {
            try store.load([try SafetensorsFile(path: folder + "/model.safetensors")])
        }
        hidden = try Linear(3, 8, in: store.scope["body"]["hidden"])
        text = try Linear(8, 1, in: store.scope["body"]["text"])
        visual = try Linear(8, 1, in: store.scope["head"]["visual"])
        frozen = try Linear(3, 8, in: store.scope["frozen"]["branch"])
        try store.checkComplete()
    }

    func counts(_ examples: [LineExample]) -> [String: Int] {
        [
            "text": examples.reduce(miscounts ? 1 : 0) { $0 + $1.targets.count },
            "visual": examples.count { $0.picture != nil },
        ]
    }

    func losses(_ examples: [LineExample], generators: [Generator]) throws -> [LossTerm] {
        let inputs = examples.flatMap(\.inputs)
        let targets = examples.flatMap(\.targets)
        var terms: [LossTerm] = []
        func body(_ x: Tensor) -> Tensor {
            let x = x.to(store.dtype)
            return (hidden(x) + frozen(x) * 0.1).tanh()
        }
        if targets.isEmpty {
            terms.append(LossTerm(name: "text", sum: nil, count: 0))
        } else {
            let predicted = text(body(Tensor(inputs, shape: [targets.count, 3]))).to(.float32)
            let error = predicted.squeezed(-1) - Tensor(targets, shape: [targets.count])
            var sum = error.square().sum()
            if hasCusp { sum = sum + (text.weight.sum() * 0).sqrt() }
            terms.append(LossTerm(name: "text", sum: sum, count: targets.count))
        }
        let pictures = examples.compactMap(\.picture)
        let seen = zip(examples, generators).filter { $0.0.picture != nil }
        if !pictures.isEmpty {
            let z = Tensor(pictures, shape: [pictures.count, 1])
            let noise = Tensor.stacked(seen.map { .normal([1], generator: $1) }, axis: 0)
            let features = body((z + noise * 0.1).expanded(to: [pictures.count, 3]))
            let error = visual(features).to(.float32) - z
            terms.append(LossTerm(name: "visual", sum: error.square().sum(), count: pictures.count))
        }
        return terms
    }

    func weight(of loss: String, step: Int) -> Double { loss == "visual" ? 0.5 : 1 }

    func save(_ weights: ParameterStore, to folder: String) throws {
        duringSave?()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try SafetensorsFile.write(
            weights.tensors().map { ($0.name, $0.tensor) }, metadata: [:],
            to: folder + "/model.safetensors")
        if diesInSave { kill(getpid(), SIGKILL) }
        if failsToSave {
            throw RunError.cannotWrite(path: folder, reason: "No space left on device")
        }
        try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + "/config.json"))
    }

    /// All parameters as bytes.
    var bytes: [String: [UInt8]] {
        Dictionary(
            uniqueKeysWithValues: store.tensors().map { ($0.name, $0.tensor.detached().bytes()) })
    }
}
