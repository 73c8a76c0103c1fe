import Foundation
import Torch

/// The checkpoints of a run, `step-N` each, complete or absent.
///
/// A checkpoint is filled under a temporary name, listed with sizes and CRC-32C in `manifest.json`, synced,
/// and published by a rename. One that is published is never written again.
public struct CheckpointStore: Sendable {
    /// Folder that holds the checkpoints.
    public let folder: String

    public init(folder: String) { self.folder = folder }

    private struct Manifest: Codable {
        struct File: Codable {
            let name: String
            let bytes: Int
            let crc32c: UInt32
        }
        let format: Int
        let files: [File]
    }

    /// Path of the checkpoint of a step.
    public func path(step: Int) -> String { "\(folder)/step-\(step)" }

    /// Steps that have a checkpoint, newest first.
    public func steps() -> [Int] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }
            .filter { $0 >= 0 }.sorted(by: >)
    }

    /// Publishes the checkpoint of `state.step`; `write` puts weights and optimizer into the folder it gets, and gives
    /// the sums of files that need not be read again for them, by path.
    ///
    /// A damaged checkpoint of the same step is kept aside as `damaged-step-N`.
    public func save(_ state: RunState, write: (String) throws -> [String: WrittenSum]) throws {
        let final = path(step: state.step)
        if FileManager.default.fileExists(atPath: final) {
            if (try? load(step: state.step)) == state { return }
            try setAside(step: state.step)
        }
        try AtomicFiles.makeFolder(final) { folder in
            let sums = try write(folder)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            do {
                try encoder.encode(state).write(to: URL(fileURLWithPath: folder + "/state.json"))
                let files = try AtomicFiles.files(beneath: folder).map { name in
                    let path = folder + "/" + name
                    let sum = try sums[path] ?? CheckpointStore.sum(path)
                    return Manifest.File(name: name, bytes: sum.bytes, crc32c: sum.crc.value)
                }
                encoder.outputFormatting.insert(.prettyPrinted)
                try encoder.encode(Manifest(format: 1, files: files))
                    .write(to: URL(fileURLWithPath: folder + "/manifest.json"))
            } catch let error as RunError {
                throw error
            } catch {
                throw RunError.cannotWrite(path: final, reason: reason(of: error))
            }
        }
    }

    /// The state of a checkpoint, after every file was held against the manifest.
    ///
    /// - Throws: ``RunError/damaged(checkpoint:reason:)`` with the file's name.
    public func load(step: Int) throws -> RunState {
        let path = path(step: step)
        func damaged(_ reason: String) -> RunError { .damaged(checkpoint: path, reason: reason) }
        guard let data = FileManager.default.contents(atPath: path + "/manifest.json") else {
            throw damaged("manifest.json is missing")
        }
        guard let manifest = try? JSONDecoder().decode(Manifest.self, from: data) else {
            throw damaged("manifest.json cannot be read")
        }
        guard manifest.format == 1 else {
            throw damaged("its format is \(manifest.format), this version reads 1")
        }
        for file in manifest.files {
            guard let sum = try? CheckpointStore.sum(path + "/" + file.name) else {
                throw damaged("\(file.name) is missing")
            }
            guard sum.bytes == file.bytes else {
                throw damaged("\(file.name) has \(sum.bytes) bytes, \(file.bytes) were saved")
            }
            guard sum.crc.value == file.crc32c else {
                throw damaged("\(file.name) has changed since it was saved")
            }
        }
        guard manifest.files.contains(where: { $0.name == "state.json" }),
            let state = FileManager.default.contents(atPath: path + "/state.json")
                .flatMap({ try? JSONDecoder().decode(RunState.self, from: $0) }), state.step == step
        else { throw damaged("state.json cannot be read") }
        return state
    }

    /// The state of the newest checkpoint that is whole, and what is wrong with the newer ones.
    public func newest() -> (state: RunState?, problems: [RunError]) {
        var problems: [RunError] = []
        for step in steps() {
            do {
                return (try load(step: step), problems)
            } catch let error as RunError {
                problems.append(error)
            } catch {
                problems.append(.damaged(checkpoint: path(step: step), reason: "\(error)"))
            }
        }
        return (nil, problems)
    }

    /// Removes all but the `keep` newest checkpoints, and the one of least validation loss when `best`.
    ///
    /// - Parameter spared: a step whose checkpoint stays in any case.
    public func prune(keep: Int, best: Bool, sparing spared: Int? = nil) {
        var doomed = Set(steps().dropFirst(keep)).subtracting(spared.map { [$0] } ?? [])
        if best {
            let losses = steps().compactMap { step -> (Int, Double)? in
                guard
                    let data = FileManager.default.contents(
                        atPath: path(step: step) + "/state.json"),
                    let loss = try? JSONDecoder().decode(RunState.self, from: data).validationLoss
                else { return nil }
                return (step, loss)
            }
            if let least = losses.min(by: { $0.1 < $1.1 }) { doomed.remove(least.0) }
        }
        for step in doomed {
            // Renamed first, so that a removal cut short leaves no half checkpoint under a good name.
            let temporary = "\(folder)/\(AtomicFiles.temporaryPrefix)old-\(step)"
            guard rename(path(step: step), temporary) == 0 else { continue }
            try? FileManager.default.removeItem(atPath: temporary)
        }
    }

    /// Renames the checkpoint of a step to `damaged-step-N`.
    private func setAside(step: Int) throws {
        var name = "\(folder)/damaged-step-\(step)"
        var attempt = 1
        while FileManager.default.fileExists(atPath: name) {
            attempt += 1
            name = "\(folder)/damaged-step-\(step)-\(attempt)"
        }
        guard rename(path(step: step), name) == 0 else {
            throw RunError.cannotWrite(path: name, reason: String(cString: strerror(errno)))
        }
    }

    /// Size and checksum of a file that is there.
    private static func sum(_ path: String) throws -> WrittenSum {
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            var sum = WrittenSum()
            while let chunk = try handle.read(upToCount: 4 << 20), !chunk.isEmpty {
                chunk.withUnsafeBytes { sum.update($0) }
            }
            return sum
        } catch {
            throw RunError.cannotRead(path: path, reason: reason(of: error))
        }
    }
}
