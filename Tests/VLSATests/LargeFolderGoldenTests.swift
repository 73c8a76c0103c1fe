import Foundation
import Testing
import Torch
import TorchNN

@testable import VLSA

/// A folder of Llama-3-8B's size: four sparse shards that hold nothing but zeros and take no disk.
@Suite struct LargeFolderGoldenTests {
    private static func makeFolder() throws -> String {
        let folder = try TemporaryFolder.make()
        let config = """
            {"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096,
             "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
             "max_position_embeddings": 8192, "eos_token_id": 128001}
            """
        try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        let layer: [(String, [Int])] = [
            ("input_layernorm.weight", [4096]), ("post_attention_layernorm.weight", [4096]),
            ("self_attn.q_proj.weight", [4096, 4096]), ("self_attn.k_proj.weight", [1024, 4096]),
            ("self_attn.v_proj.weight", [1024, 4096]), ("self_attn.o_proj.weight", [4096, 4096]),
            ("mlp.gate_proj.weight", [14_336, 4096]), ("mlp.up_proj.weight", [14_336, 4096]),
            ("mlp.down_proj.weight", [4096, 14_336]),
        ]
        var tensors: [(String, [Int])] = [("model.embed_tokens.weight", [128_256, 4096])]
        for index in 0..<32 {
            tensors += layer.map { ("model.layers.\(index).\($0.0)", $0.1) }
        }
        tensors += [("model.norm.weight", [4096]), ("lm_head.weight", [128_256, 4096])]
        var map: [String: String] = [:]
        for shard in 0..<4 {
            let name = "model-0000\(shard + 1)-of-00004.safetensors"
            var (header, offset) = ([String](), 0)
            for (index, (tensor, shape)) in tensors.enumerated()
            where index * 4 / tensors.count == shard {
                let end = offset + shape.reduce(2, *)
                let place = #""data_offsets":[\#(offset),\#(end)]"#
                header.append(#""\#(tensor)":{"dtype":"BF16","shape":\#(shape),\#(place)}"#)
                map[tensor] = name
                offset = end
            }
            // Padded to whole words, as every writer does, or the tensors would lie unaligned.
            var text = "{" + header.joined(separator: ",") + "}"
            text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
            var data = withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { Data($0) }
            data += Data(text.utf8)
            try data.write(to: URL(fileURLWithPath: folder + "/" + name))
            #expect(truncate(folder + "/" + name, data.count + offset) == 0)
        }
        try JSONEncoder().encode(["weight_map": map])
            .write(to: URL(fileURLWithPath: folder + "/model.safetensors.index.json"))
        return folder
    }

    /// In a process of its own, so that no other test's memory is counted.
    @Test func eightBillionParametersOpenInTwoSecondsAndAreReadWithoutACopy() async {
        await #expect(processExitsWith: .success) {
            let folder = try LargeFolderGoldenTests.makeFolder()
            let disk = try FileManager.default.contentsOfDirectory(atPath: folder).map { name in
                var status = stat()
                return stat(folder + "/" + name, &status) == 0 ? Int(status.st_blocks) * 512 : .max
            }.reduce(0, +)
            #expect(disk < 1 << 20, "the shards must be sparse")

            let before = Process.ownBytes
            let start = Process.processorSeconds
            let store = ParameterStore(dtype: .bfloat16, seed: 1)
            let model = try CheckpointFolder(folder).languageModel(into: store)
            try store.checkComplete()
            // Processor time, which neighbours do not lengthen; nothing here waits for the disk.
            #expect(Process.processorSeconds - start < 2)
            #expect(store.count() == 8_030_261_248)

            // Every byte of three matrices, 252 MB, through the mapping.
            for name in ["mlp.down_proj", "mlp.up_proj", "self_attn.k_proj"] {
                let tensor = try #require(store["language.model.layers.7.\(name).weight"])
                #expect(tensor.max().item() == 0)
            }
            #expect(model.embed(Tensor([1, 2], shape: [1, 2])).shape == [1, 2, 4096])
            // Pages of the files themselves are not the process' own.
            #expect(Process.ownBytes - before < 96 << 20)
        }
    }
}

private enum Process {
    /// Resident bytes that belong to this process and to no file.
    static var ownBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 << 10 } ?? .max
    }

    /// Time the processors have spent on this process.
    static var processorSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
