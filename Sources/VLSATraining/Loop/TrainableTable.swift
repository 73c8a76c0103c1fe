import Foundation
import Torch
import TorchNN
import VLSA

/// What a run trains: the choice, its groups, and the table that is printed.
enum TrainableTable {
    /// Trains exactly the parameters that the plan names, and the adapters where it has some.
    ///
    /// - Throws: ``RunError/trainsNothing(prefix:nearest:parts:)`` for a prefix that names none,
    ///   ``RunError/adaptsTrained(layer:)`` for an adapted layer whose own weight would be trained,
    ///   ``RunError/setsNothing(key:prefix:)`` for a rate or decay of nothing that is trained.
    static func train(_ plan: LoopPlan, in store: ParameterStore) throws {
        guard let wrong = store.train(plan.train, adapters: plan.trainsAdapters).first else {
            let layers = plan.trainsAdapters ? store.adaptedLayers : []
            for layer in layers where store[layer + ".weight"]?.requiresGradient == true {
                throw RunError.adaptsTrained(layer: layer)
            }
            let trained = store.trainable.map(\.name)
            for (key, names) in [
                ("rates", plan.optimizer.rates.keys), ("decays", plan.optimizer.decays.keys),
            ] {
                for prefix in names.sorted()
                where !trained.contains(where: { isPrefix(prefix, of: $0) }) {
                    throw RunError.setsNothing(key: "optimizer.\(key)", prefix: prefix)
                }
            }
            return
        }
        let parts = Set(store.names.map { String($0.prefix { $0 != "." }) }).sorted()
        let depth = wrong.split(separator: ".").count
        let candidates = store.names.map {
            $0.split(separator: ".").prefix(depth).joined(separator: ".")
        }
        throw RunError.trainsNothing(
            prefix: wrong, nearest: VLSATraining.nearestName(to: wrong, among: candidates),
            parts: parts)
    }

    /// The trained parameters, one group for each part, rate and decay.
    static func groups(_ plan: LoopPlan, of store: ParameterStore) -> [ParameterGroup] {
        struct Key: Hashable {
            let part: String
            let rate: Double
            let decay: Double
        }
        var order: [Key] = []
        var members: [Key: [(name: String, tensor: Tensor)]] = [:]
        for (name, tensor) in store.trainable {
            let part =
                store.isAdapter(name)
                ? String(name.prefix { $0 != "." }) + " lora"
                : plan.train.filter { isPrefix($0, of: name) }.max { $0.count < $1.count } ?? name
            let key = Key(
                part: part, rate: plan.optimizer.rate(of: name),
                decay: plan.optimizer.decay(of: name, rank: tensor.rank))
            if members[key] == nil { order.append(key) }
            members[key, default: []].append((name, tensor))
        }
        return order.map { key in
            ParameterGroup(
                name: key.part, parameters: members[key] ?? [], rate: key.rate, decay: key.decay)
        }
    }

    /// Part, tensors, parameters, rate and decay of each group, then what is frozen.
    static func text(_ groups: [ParameterGroup], store: ParameterStore) -> String {
        var rows = [["part", "tensors", "parameters", "rate", "decay"]]
        for group in groups {
            let count = group.parameters.reduce(0) { $0 + $1.tensor.count }
            rows.append([
                group.name, "\(group.parameters.count)", groupedDigits(count), "\(group.rate)",
                "\(group.decay)",
            ])
        }
        let trained = store.trainable
        let total = trained.reduce(0) { $0 + $1.tensor.count }
        rows.append(["trained", "\(trained.count)", groupedDigits(total), "", ""])
        var frozen: [String: (tensors: Int, count: Int)] = [:]
        for (name, tensor) in store.tensors() where !tensor.requiresGradient {
            frozen[String(name.prefix { $0 != "." }), default: (0, 0)].tensors += 1
            frozen[String(name.prefix { $0 != "." }), default: (0, 0)].count += tensor.count
        }
        for (part, numbers) in frozen.sorted(by: { $0.key < $1.key }) {
            rows.append([part, "\(numbers.tensors)", groupedDigits(numbers.count), "frozen", ""])
        }
        return alignedColumns(rows).joined(separator: "\n") + "\n"
    }
}
