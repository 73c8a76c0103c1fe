import Foundation
import GoldenSupport
import Testing
import Torch

@testable import TorchNN

@Suite struct RotaryGoldenTests {
    private struct Case: Decodable {
        struct Parameters: Decodable {
            let rope_type: String
            let rope_theta: Double
            let factor: Double?
            let low_freq_factor: Double?
            let high_freq_factor: Double?
            let original_max_position_embeddings: Int?
        }
        let head_dim: Int
        let rope_parameters: Parameters

        func scaling() throws -> RotaryScaling {
            let p = rope_parameters
            switch p.rope_type {
            case "linear": return .linear(factor: try #require(p.factor))
            case "llama3":
                return .llama3(
                    factor: try #require(p.factor),
                    lowFrequencyFactor: try #require(p.low_freq_factor),
                    highFrequencyFactor: try #require(p.high_freq_factor),
                    originalContext: try #require(p.original_max_position_embeddings))
            default: return .none
            }
        }
    }

    private static let cases: [String: Case] = {
        guard let data = FileManager.default.contents(atPath: fixture("rope/cases.json")) else {
            return [:]
        }
        return (try? JSONDecoder().decode([String: Case].self, from: data)) ?? [:]
    }()

    @Test(.enabled(if: GoldenFolder.isOwn)) func everyCaseIsCompared() {
        #expect(
            Self.cases.keys.sorted() == [
                "linear4", "llama2", "llama3", "llama3.1", "llama3.2-1b", "qwen2",
            ])
    }

    @Test("tables and rotations of rope", arguments: cases.keys.sorted())
    func tablesAndRotationsMatchTheReference(_ name: String) throws {
        let one = try #require(Self.cases[name])
        let file = try SafetensorsFile(path: fixture("rope/golden.safetensors"))
        let table = RotaryTable(
            headWidth: one.head_dim, theta: one.rope_parameters.rope_theta,
            scaling: try one.scaling())
        expectGolden(
            "rope", table.frequencies, try file.tensor("\(name).out.inv_freq"), relative: 1e-6,
            "inv_freq")
        let (cosines, sines) = table(positions: try file.tensor("\(name).in.positions"))
        expectGolden(
            "rope", cosines.squeezed(1), try file.tensor("\(name).out.cos"), absolute: 1e-4, "cos")
        expectGolden(
            "rope", sines.squeezed(1), try file.tensor("\(name).out.sin"), absolute: 1e-4, "sin")
        let rotated = applyRotary(try file.tensor("\(name).in.q"), cosines, sines)
        expectGolden(
            "rope", rotated, try file.tensor("\(name).out.q_rotated"), absolute: 1e-4, "q_rotated")
    }

    @Test func scoresDependOnDistanceOnly() {
        let table = RotaryTable(headWidth: 8, theta: 100)
        let generator = Generator(seed: 1)
        let q = Tensor.normal([1, 1, 1, 8], generator: generator)
        let k = Tensor.normal([1, 1, 1, 8], generator: generator)
        func score(_ i: Int, _ j: Int) -> Double {
            let (a, b) = (table(from: i, count: 1), table(from: j, count: 1))
            return (applyRotary(q, a.cosines, a.sines) * applyRotary(k, b.cosines, b.sines)).sum()
                .item()
        }
        #expect(abs(score(3, 1) - score(10, 8)) < 1e-5)
        #expect(abs(score(3, 1) - score(3, 2)) > 1e-3)
        #expect(table(from: 2, count: 3, dtype: .bfloat16).cosines.dtype == .bfloat16)
    }
}
