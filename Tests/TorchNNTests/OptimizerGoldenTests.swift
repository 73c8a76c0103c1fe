import Foundation
import GoldenSupport
import Testing
import Torch

@testable import TorchNN

/// AdamW, clipping and schedule of the family `optimizer`, step by step.
@Suite(.enabled(if: GoldenFolder.contains("optimizer"))) struct OptimizerGoldenTests {
    private struct Settings: Decodable {
        let lr: Double
        let betas: [Double]
        let eps: Double
        let weight_decay: Double
        let max_norm: Double
        let warmup: Int
        let total: Int
        let steps: Int
        let decay: [String: [String]]
    }

    private func settings() throws -> Settings {
        let data = try Data(contentsOf: URL(fileURLWithPath: fixture("optimizer/config.json")))
        return try JSONDecoder().decode(Settings.self, from: data)
    }

    /// Clips, schedules and steps as the reference did, comparing everything on the way.
    private func follow(
        _ model: String, _ names: [String], loss: ([String: Tensor]) throws -> Tensor
    ) throws {
        let settings = try settings()
        let file = try SafetensorsFile(path: fixture("optimizer/golden.safetensors"))
        var weights: [String: Tensor] = [:]
        for name in names {
            let weight = try file.tensor("\(model).init.\(name)").cloned()
            weight.requiresGradient = true
            weights[name] = weight
        }
        let decayed = Set(try #require(settings.decay[model]))
        func group(_ decays: Bool) -> ParameterGroup {
            let members = names.filter { decayed.contains($0) == decays }
            return ParameterGroup(
                name: "\(decays)",
                parameters: members.compactMap { name in weights[name].map { (name, $0) } },
                rate: settings.lr, decay: decays ? settings.weight_decay : 0)
        }
        let optimizer = AdamW(
            groups: [group(true), group(false)], beta1: settings.betas[0], beta2: settings.betas[1],
            epsilon: settings.eps)
        let schedule = Schedule(.cosine, warmup: settings.warmup, total: settings.total)
        for step in 0..<settings.steps {
            let at = "\(model).step\(step)"
            optimizer.clearGradients()
            let value = try loss(weights)
            expectGolden(
                "optimizer", value, try file.tensor("\(at).loss"), relative: 1e-5, "\(at).loss")
            value.backward()
            for (name, weight) in weights {
                let gradient = try #require(weight.gradient)
                expectGolden(
                    "optimizer", gradient, try file.tensor("\(at).grad.\(name)"), absolute: 1e-5,
                    "\(at) grad")
            }
            let norm = clipGradients(of: optimizer.tensors, maxNorm: settings.max_norm)
            expectGolden(
                "optimizer", Tensor(norm), try file.tensor("\(at).grad_norm_before_clip"),
                relative: 1e-5,
                "\(at) norm")
            for (name, weight) in weights {
                let gradient = try #require(weight.gradient)
                expectGolden(
                    "optimizer", gradient, try file.tensor("\(at).clipped_grad.\(name)"),
                    absolute: 1e-6,
                    "\(at) clipped")
            }
            let multiplier = schedule.multiplier(step)
            expectGolden(
                "optimizer", Tensor(multiplier * settings.lr), try file.tensor("\(at).lr"),
                relative: 1e-6,
                "\(at).lr")
            optimizer.step(rateMultiplier: multiplier)
            for (name, weight) in weights {
                expectGolden(
                    "optimizer", weight, try file.tensor("\(at).param.\(name)"), absolute: 1e-5,
                    "\(at).\(name)")
            }
        }
        let state = Dictionary(uniqueKeysWithValues: optimizer.state)
        for name in names {
            for moment in ["exp_avg", "exp_avg_sq"] {
                let found = try #require(state["\(name).\(moment)"])
                expectGolden(
                    "optimizer", found, try file.tensor("\(model).final.\(moment).\(name)"),
                    absolute: 1e-5,
                    moment)
            }
        }
    }

    @Test func multilayerPerceptronStepsMatchTheReference() throws {
        let file = try SafetensorsFile(path: fixture("optimizer/golden.safetensors"))
        let (x, y) = (try file.tensor("mlp.in.x"), try file.tensor("mlp.in.y"))
        try follow("mlp", ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]) { weights in
            let hidden = x.linear(try #require(weights["fc1.weight"]), bias: weights["fc1.bias"])
                .tanh()
            let out = hidden.linear(try #require(weights["fc2.weight"]), bias: weights["fc2.bias"])
            return (out - y).square().mean()
        }
    }

    @Test func quadraticStepsMatchTheReference() throws {
        let file = try SafetensorsFile(path: fixture("optimizer/golden.safetensors"))
        let (a, b) = (try file.tensor("quadratic.in.A"), try file.tensor("quadratic.in.b"))
        try follow("quadratic", ["w"]) { weights in
            let w = try #require(weights["w"])
            return 0.5 * w.matmul(a).matmul(w) - b.matmul(w)
        }
    }

    @Test func cosineScheduleMatchesTheReference() throws {
        let file = try SafetensorsFile(path: fixture("optimizer/golden.safetensors"))
        let names = file.names.filter { $0.hasPrefix("schedule.") }
        #expect(!names.isEmpty)
        for name in names {
            let match = try #require(
                name.wholeMatch(of: /schedule\.warmup([0-9]+)\.total([0-9]+)\.multiplier/))
            let schedule = Schedule(
                .cosine, warmup: try #require(Int(match.1)), total: try #require(Int(match.2)))
            let expected = try file.tensor(name)
            let found = (0..<expected.count).map { schedule.multiplier($0) }
            expectGolden(
                "optimizer", Tensor(doubles: found, shape: expected.shape), expected,
                absolute: 1e-6, name)
        }
    }
}
