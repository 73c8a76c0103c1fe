import Foundation
import Torch

/// What a run was made with.
public struct RunVersions: Codable, Sendable {
    /// Version of libtorch.
    public let libtorch: String
    /// Vector instructions libtorch's kernels were chosen for.
    public let capability: String
    /// Threads of the tensor engine.
    public let threads: Int
    /// Processes that train together, each with so many threads.
    public let processes: Int
    /// Operating system.
    public let system: String
    /// Start of this sitting, ISO 8601.
    public let started: String
    /// The command.
    public let commandLine: [String]

    /// The versions in use now.
    public init(commandLine: [String], processes: Int = 1) {
        libtorch = TorchRuntime.version
        capability = TorchRuntime.capability
        threads = TorchRuntime.threads
        system = ProcessInfo.processInfo.operatingSystemVersionString
        started = Date().formatted(.iso8601)
        self.commandLine = commandLine
        self.processes = processes
    }
}
