import AnyRes
import ArgumentParser
import Foundation
import Torch

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Says what this machine has, what is wrong and how to mend it.",
        discussion: "Exit code 0 when nothing is wrong, 1 otherwise.")

    func run() throws {
        var problems: [String] = []
        func line(_ name: String, _ value: String) {
            print(name.padding(toLength: 12, withPad: " ", startingAt: 0) + value)
        }

        line("vlsa", VLSACommand.configuration.version)
        line("system", systemName())
        let features = processorFeatures()
        let known = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"]
        let present = known.filter(features.contains)
        line(
            "processor",
            "\(ProcessInfo.processInfo.activeProcessorCount) cores; "
                + (present.isEmpty ? "no AVX2" : present.joined(separator: ", ")))
        if !features.isEmpty, !features.contains("avx2") {
            problems.append("the processor has no AVX2: everything runs, slowly")
        }
        line(
            "memory",
            "\(ProcessInfo.processInfo.physicalMemory / (1 << 30)) GiB")

        line(
            "libtorch",
            "\(TorchRuntime.version), \(TorchRuntime.capability), \(TorchRuntime.threads) threads")
        line("", TorchRuntime.libraryFolder)
        let waiting = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"].compactMap { name in
            ProcessInfo.processInfo.environment[name].map { "\(name)=\($0)" }
        }
        line(
            "waiting",
            waiting.isEmpty ? "as the OpenMP library has it" : waiting.joined(separator: ", "))
        if Device.hasCUDA {
            line("CUDA", "\(Device.cudaCount) devices")
        } else {
            line("CUDA", "no device")
            if FileManager.default.fileExists(atPath: "/dev/nvidia0") {
                problems.append(
                    "there is an NVIDIA device, but this libtorch cannot use it: point LIBTORCH at a CUDA build "
                        + "and run make build again")
            }
        }

        line(
            "processes",
            (ProcessGroup.isAvailable ? "Gloo for the CPU" : "no Gloo") + ", "
                + (ProcessGroup.ncclVersion.map { "NCCL \($0) for GPUs" } ?? "no NCCL"))
        if !ProcessGroup.isAvailable {
            problems.append(
                "several processes cannot train together, because Gloo's headers were not found: install them "
                    + "(Debian: libgloo-dev) and run make build again")
        }
        if Device.cudaCount > 1, ProcessGroup.ncclVersion == nil {
            problems.append(
                "there are \(Device.cudaCount) GPUs, but several processes cannot use them: libnccl.so.2 cannot be "
                    + "opened; the CUDA build of PyTorch brings it (LIBTORCH_USE_PYTORCH=1)")
        }

        if LibVips.isStarted {
            let loaders = PictureFormat.allCases.filter(\.isInstalled).map(\.name)
            line("libvips", "\(LibVips.version); reads \(loaders.joined(separator: ", "))")
            for format in PictureFormat.standard.sorted(by: { $0.name < $1.name })
            where !format.isInstalled {
                problems.append(
                    "libvips cannot read \(format.name): install a complete libvips (Debian: libvips-dev)"
                )
            }
        } else {
            line("libvips", "does not start")
            problems.append("libvips does not start: run make setup")
        }
        do {
            _ = try renderSVG(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"8\" height=\"8\"><rect width=\"8\" height=\"8\"/></svg>"
            )
        } catch {
            problems.append("vlsa synth cannot draw: \(error)")
        }
        let font = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
        if !FileManager.default.fileExists(atPath: font) {
            problems.append(
                "the font DejaVu Sans is not in \(font): what vlsa synth writes may look different "
                    + "(Debian: fonts-dejavu-core)")
        }

        if problems.isEmpty {
            print("nothing is wrong")
        } else {
            for problem in problems { print("problem: \(problem)") }
            throw ExitCode.failure
        }
    }

    private func systemName() -> String {
        let release = (try? String(contentsOfFile: "/etc/os-release", encoding: .utf8)) ?? ""
        let name = release.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        return name.map { $0.dropFirst("PRETTY_NAME=".count).trimmingCharacters(in: ["\""]) }
            ?? ProcessInfo.processInfo.operatingSystemVersionString
    }

    /// The flags of `/proc/cpuinfo`; empty where there are none.
    private func processorFeatures() -> Set<String> {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8),
            let flags = text.split(separator: "\n").first(where: { $0.hasPrefix("flags") })
        else { return [] }
        return Set(flags.split(separator: " ").map(String.init))
    }
}
