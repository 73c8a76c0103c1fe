import Foundation
import Testing
import Torch

@testable import VLSATraining

private func state(_ step: Int, loss: Double? = nil) -> RunState {
    RunState(
        step: step, samples: step * 4, tokens: step * 100, seconds: 1.25,
        position: Array("{}".utf8), validationLoss: loss, plan: "name: a\n")
}

@discardableResult
private func fill(_ folder: String) throws -> [String: WrittenSum] {
    try FileManager.default.createDirectory(
        atPath: folder + "/model/language", withIntermediateDirectories: true)
    try Data((0..<5000).map { UInt8(truncatingIfNeeded: $0) })
        .write(to: URL(fileURLWithPath: folder + "/model/language/model.safetensors"))
    try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + "/model/config.json"))
    return [:]
}

@Suite struct RunFilesTests {
    @Test func checkpointsComeBackAndOldOnesGo() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.path + "/checkpoints")
        for (step, loss) in [(10, 3.0), (20, 1.0), (30, 2.0), (40, nil), (100, 2.5)]
            as [(Int, Double?)]
        {
            try store.save(state(step, loss: loss), write: fill)
            store.prune(keep: 2, best: true)
        }
        #expect(store.steps() == [100, 40, 20])
        #expect(try store.load(step: 100) == state(100, loss: 2.5))
        #expect(store.newest().state?.step == 100)
        store.prune(keep: 1, best: false)
        #expect(store.steps() == [100])
    }

    @Test func everyDamagedFileIsNamedAndTheOlderCheckpointTaken() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.path)
        try store.save(state(1), write: fill)
        let names = [
            "manifest.json", "model/config.json", "model/language/model.safetensors", "state.json",
        ]
        try store.save(state(2), write: fill)
        #expect(try AtomicFiles.files(beneath: store.path(step: 2)) == names)
        for name in names {
            let path = store.path(step: 2) + "/" + name
            let whole = try Data(contentsOf: URL(fileURLWithPath: path))
            var flipped = whole
            flipped[whole.count / 2] ^= 0x40
            for broken in [whole.dropLast(), flipped, Data()] {
                try broken.write(to: URL(fileURLWithPath: path))
                let (newest, problems) = store.newest()
                #expect(newest == state(1))
                #expect(problems.count == 1)
                #expect("\(problems)".contains(name), "\(problems)")
            }
            try FileManager.default.removeItem(atPath: path)
            #expect(store.newest().state == state(1))
            try whole.write(to: URL(fileURLWithPath: path))
            #expect(store.newest().state == state(2))
        }
        // The step is reached again: the damaged one is kept aside, a whole one takes its place.
        try Data().write(to: URL(fileURLWithPath: store.path(step: 2) + "/state.json"))
        try store.save(state(2), write: fill)
        #expect(store.newest().state == state(2))
        #expect(
            FileManager.default.fileExists(atPath: folder.path + "/damaged-step-2/manifest.json"))
    }

    /// Bytes that never reached the disk as they were meant do not pass for saved.
    @Test func sumsTakenWhileWritingAreThoseThatCount() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.path)
        try store.save(state(1)) { folder in
            try fill(folder)
            return [folder + "/model/config.json": WrittenSum()]
        }
        let error = #expect(throws: RunError.self) { try store.load(step: 1) }
        #expect("\(error as Any)".contains("model/config.json has 2 bytes, 0 were saved"))
    }

    @Test func aSaveThatFailsLeavesNothing() throws {
        struct Failure: Error {}
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.path)
        try store.save(state(1), write: fill)
        #expect(throws: Failure.self) {
            try store.save(state(2)) { folder in
                try fill(folder)
                throw Failure()
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["step-1"])
        #expect(store.newest().state == state(1))
    }

    @Test func whatACrashLeftIsSwept() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(folder: folder.path)
        try store.save(state(1), write: fill)
        try fill(folder.path + "/" + AtomicFiles.temporaryPrefix + "step-2-99999")
        #expect(store.steps() == [1])
        AtomicFiles.sweep(folder.path)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["step-1"])
    }

    @Test func filesAreReplacedWhole() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/a.txt"
        try AtomicFiles.write(Data("one".utf8), to: path)
        try AtomicFiles.write(Data("two".utf8), to: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "two")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.txt"])
        let error = #expect(throws: RunError.self) {
            try AtomicFiles.write(Data(), to: folder.path + "/none/a.txt")
        }
        #expect(
            "\(error as Any)".contains("none/a.txt cannot be written: No such file or directory"))
    }

    @Test func aRunFolderBelongsToOneProcess() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/run.lock"
        var lock: RunLock? = try RunLock(path: path)
        let error = #expect(throws: RunError.self) { try RunLock(path: path) }
        #expect("\(error as Any)".contains("in use by a live run (process \(getpid()) on"))
        #expect(error?.exitCode == 64)
        withExtendedLifetime(lock) {}
        lock = nil
        lock = try RunLock(path: path)  // free again
    }

    @Test(arguments: [
        (0.4, "0 s"), (59, "59 s"), (61, "1:01"), (7387, "2:03:07"), (.infinity, "?"),
    ])
    func durationsAreShort(seconds: Double, text: String) {
        #expect(duration(seconds) == text)
    }
}
